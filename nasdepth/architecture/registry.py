"""Named open sets: a read-only mapping that only its decorator extends."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Generic, TypeVar

T = TypeVar("T")


def unknown(kind: str, name: str, choices: object) -> str:
    """Message for a name outside a closed set, with the choices and the nearest.

    >>> unknown("block", "botleneck", ["conv", "bottleneck"])
    "Unknown block 'botleneck'; choose from: bottleneck, conv. Did you mean 'bottleneck'?"
    """  # noqa: E501 -- a doctest shows one line of output
    known = sorted(map(str, choices))  # type: ignore[call-overload]
    near = get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Unknown {kind} {name!r}; choose from: {', '.join(known)}.{hint}"


class Registry(Mapping[str, T], Generic[T]):
    """Mapping from names to members of one kind, in order of registration.

    >>> colours = Registry[str]("colour")
    >>> colours.register("red")("#f00")
    '#f00'
    >>> colours["red"], list(colours)
    ('#f00', ['red'])
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._members: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that adds its argument under `name`.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._members:
            raise ValueError(f"{self._kind} {name!r} is registered already.")

        def add(member: T) -> T:
            self._members[name] = member
            return member

        return add

    def __getitem__(self, name: str) -> T:
        try:
            return self._members[name]
        except KeyError:
            raise ValueError(unknown(self._kind, name, self._members)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)
