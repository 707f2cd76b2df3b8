"""Measures of an architecture from those of its parts; equal parts are measured once.

Sections (stem, stages, head) are in series, and so are the blocks of most stages: one
tensor leads from each part to the next. In series numbers of paths multiply, so mean,
variance and extremes of the weight add, as do parameters, MACs and the masses of cells;
attenuation multiplies along a path, so the attenuated depth adds too. Peak memory is
that of the hungriest part, whose input is alive with it. A window of side s and jump j
behind one of S and J sees S + (s - 1) J and jumps J j.

`measure(lower(architecture))` defines every value. It is what remains for measures
without a rule here and for networks with a part that cannot be measured alone.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import fields, replace
from functools import lru_cache
from math import sqrt
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias

from nasdepth.architecture.blocks import Style
from nasdepth.architecture.graph import Graph
from nasdepth.architecture.lower import Part, Place, Section, lower, parts, sections
from nasdepth.architecture.ops import AdaptivePool, Add, Concat, Shape
from nasdepth.architecture.spec import Architecture, Head, Stage, Stem
from nasdepth.measures import cost
from nasdepth.measures.catalogue import CATALOGUE, Subject, measure
from nasdepth.measures.depth import DEFAULT, DepthConvention
from nasdepth.measures.structure import Structure, Undefined

#: measures that add up over parts in series
ADDED: Final = frozenset(
    (
        "params",
        "macs",
        "nominal_depth",
        "weighted_layers",
        "longest_path",
        "effective_depth",
        "midrange_depth",
        "merge_depth",
        "shortest_path",
        "nn_mass",
        "mass_cells",
        "attenuated_depth",
        "log2_paths",
        "live_params",
        "activations",
    )
)
#: measures with a rule of their own
RULED: Final = ADDED | {"path_sd", "peak_memory", "receptive_field"}
#: summaries of sections, and of blocks, that are kept; see benchmarks/measures.py
SIZE: Final = 2**14

#: like blocks in a row that are measured faster in the whole graph than one for all
_FEW: Final = 4

_ATTRIBUTES: Final[dict[type, Callable[[Any], tuple[Any, ...]]]] = {
    # tuples of attributes are compared faster than the dataclasses
    kind: attrgetter(*(each.name for each in fields(kind)))
    for kind in (Stem, Stage, Head)
}
_Key: TypeAlias = tuple[tuple[Any, ...], Place, Shape, tuple[Any, ...]]


class Summary(NamedTuple):
    """What is known of a part of a network.

    Attributes:
        row: what adds up, one column for each measure of the catalogue.
        peak: peak memory in bytes.
        side: of its receptive field, in elements of its input.
        jump: between neighbouring elements of its output, in those of its input.
        shape: of its output; () where the part cannot be measured alone.
    """

    row: tuple[float, ...]
    peak: int
    side: int
    jump: int
    shape: Shape


INSEPARABLE: Final = Summary((), 0, 1, 1, ())


class Memo:
    """Summaries by key, at most `size`; what was not used for long is forgotten.

    Two generations: what is new or used anew is in the recent one. When that holds half
    of `size`, it becomes the earlier one, and the one before is dropped.

    >>> memo = Memo(4)
    >>> for number in range(100):
    ...     memo.put(number, INSEPARABLE)
    >>> len(memo), memo.get(99) is INSEPARABLE, memo.get(0)
    (4, True, None)

    Attributes:
        recent: the recent generation; to be read without a call.
    """

    def __init__(self, size: int) -> None:
        self._half = size // 2
        self._earlier: dict[Hashable, Summary] = {}
        self.recent: dict[Hashable, Summary] = {}

    def __len__(self) -> int:
        return len(self._earlier.keys() | self.recent.keys())

    def get(self, key: Hashable) -> Summary | None:
        """The summary of a key, which is recent from then on."""
        found = self.recent.get(key)
        if found is None and (found := self._earlier.get(key)):
            self.put(key, found)
        return found

    def put(self, key: Hashable, summary: Summary) -> None:
        """Keep a summary; nothing is kept where the size is 0."""
        if not self._half:
            return
        if len(self.recent) >= self._half:
            self._earlier, self.recent = self.recent, {}
        self.recent[key] = summary


class Summaries:
    """Measures of architectures under one convention, equal parts measured once.

    Args:
        convention: what counts as a transformation.
        size: summaries kept of sections, and as many of blocks; 0 keeps nothing.
    """

    def __init__(self, convention: DepthConvention = DEFAULT, size: int = SIZE) -> None:
        self._convention = convention
        # the classifier is the last linear layer of the network, not of each part
        self._inner = replace(convention, classifier=True)
        self._size = size
        self._reset()

    def __len__(self) -> int:
        return len(self._sections) + len(self._blocks)

    def measure(self, architecture: Architecture) -> dict[str, float | None]:
        """Values of all graph measures of the catalogue; None where one is undefined.

        They equal `measure(lower(architecture))`, floats up to the order of sums.

        >>> from nasdepth.architecture.families import family
        >>> values = Summaries().measure(family("resnet50"))
        >>> values["nominal_depth"], values["params"]
        (50, 25557032)

        Raises:
            InvalidGraph: as `lower` does.
        """
        if len(CATALOGUE) != len(self._names):
            self._reset()
        if not self._size and not _repeats(architecture):
            return self._whole(architecture)
        shape = architecture.input_shape
        style = (architecture.activation, architecture.norm, architecture.bias)
        recent = self._sections.recent
        rows: list[tuple[float, ...]] = []
        most, side, jump = 0, 1, 1
        for section, place in sections(architecture):
            key = (_ATTRIBUTES[type(section)](section), place, shape, style)
            summary = recent.get(key)
            if summary is None:
                summary = self._section(key, section, shape, architecture.style)
            if summary is INSEPARABLE:
                return measure(lower(architecture), None, self._convention)
            row, peak, window, stride, shape = summary
            rows.append(row)
            if peak > most:
                most = peak
            side += (window - 1) * jump
            jump *= stride
        return self._values(architecture, map(sum, zip(*rows, strict=True)), most, side)

    def _values(
        self, architecture: Architecture, row: Iterable[float], peak: int, side: int
    ) -> dict[str, float | None]:
        values: dict[str, float | None] = dict(zip(self._names, row, strict=True))
        values["path_sd"] = sqrt(values["path_sd"] or 0.0)
        values["peak_memory"] = peak
        values["receptive_field"] = side
        if self._unruled:
            graph = lower(architecture)
            values.update(measure(graph, self._unruled, self._convention))
        return values

    def _whole(self, architecture: Architecture) -> dict[str, float | None]:
        """Values of a network that is taken as one part."""
        own = self._measured(lower(architecture), last=True)
        if own is INSEPARABLE:
            return measure(lower(architecture), None, self._convention)
        return self._values(architecture, own.row, own.peak, own.side)

    def _reset(self) -> None:
        """Read the catalogue, and forget what was kept for a shorter one."""
        self._names = tuple(CATALOGUE)
        self._unruled = [name for name in CATALOGUE if name not in RULED]
        self._columns = [_column(name) for name in CATALOGUE]
        self._sections = Memo(self._size)
        self._blocks = Memo(self._size)

    def _section(
        self, key: _Key, section: Section, shape: Shape, style: Style
    ) -> Summary:
        """Summary of a section on a map of the shape."""
        found = self._sections.get(key)
        if found is not None:
            return found
        total = Summary((0,) * len(self._names), 0, 1, 1, shape)
        place = key[1]
        for part in parts(section, place):
            total = self._behind(total, part, style, last=bool(place.classes))
        self._sections.put(key, total)
        return total

    def _behind(self, total: Summary, part: Part, style: Style, last: bool) -> Summary:
        """What is known so far with all repetitions of a part behind it."""
        left = part.times
        while left and total is not INSEPARABLE:
            key = (part.wire, part.value, total.shape, style)
            own = self._blocks.get(key)
            if own is None:
                own = self._measured(part.graph(total.shape, style), last)
                self._blocks.put(key, own)
            # on a map of the same shape the next repetition is the same
            times = left if own.shape == total.shape else 1
            total = _joined(total, own, times)
            left -= times
        return total

    def _measured(self, graph: Graph, last: bool) -> Summary:
        """Summary of a part, perhaps the network's last, from its graph."""
        structure = Structure(graph)
        subject = Subject(structure, self._convention if last else self._inner)
        if not _separable(structure, last):
            return INSEPARABLE
        try:
            row = tuple([column(subject) for column in self._columns])
            side, jump = _window(structure)
        except Undefined:
            return INSEPARABLE
        peak = cost.peak_memory(structure)
        return Summary(row, peak, side, jump, structure.shapes[-1])


def summarize(
    architecture: Architecture,
    names: Iterable[str] | None = None,
    convention: DepthConvention = DEFAULT,
) -> dict[str, float | None]:
    """Values of `measure(lower(architecture), names, convention)`, from kept summaries.

    >>> from nasdepth.architecture.families import family
    >>> summarize(family("resnet18"), ["nominal_depth", "effective_depth"])
    {'nominal_depth': 18, 'effective_depth': 10.0}

    Raises:
        ValueError: unknown name.
        InvalidGraph: as `lower` does.
    """
    values = _summaries(convention).measure(architecture)
    if names is None:
        return values
    return {CATALOGUE[name].name: values[name] for name in names}


@lru_cache(maxsize=4)
def _summaries(convention: DepthConvention) -> Summaries:
    return Summaries(convention)


def _repeats(architecture: Architecture) -> bool:
    """Whether a network has enough like blocks that to measure one for all saves time.

    A part alone takes as long as about three operations more in a graph.
    """
    return any(
        part.times > _FEW
        for section, place in sections(architecture)
        for part in parts(section, place)
    )


def _column(name: str) -> Callable[[Subject], float]:
    """What a measure's column adds up; 0 where it has another rule."""
    if name == "path_sd":
        return lambda subject: subject.paths.variance
    if name in _SHORTER:
        return _SHORTER[name]
    return CATALOGUE[name].function if name in ADDED else lambda subject: 0


def _nominal_depth(subject: Subject) -> float:
    # by its definition the longest path under the default, where there is one already
    if subject.convention == DEFAULT:
        return subject.paths.longest
    return CATALOGUE["nominal_depth"].function(subject)


def _live_params(subject: Subject) -> float:
    # nothing is dead where the canonical graph is the graph itself
    structure = subject.structure
    name = "params" if structure.graph is structure.source else "live_params"
    return CATALOGUE[name].function(subject)


_SHORTER: Final[dict[str, Callable[[Subject], float]]] = {
    "nominal_depth": _nominal_depth,
    "live_params": _live_params,
}


def _joined(first: Summary, second: Summary, times: int) -> Summary:
    """Summary of a part with repetitions of another one behind it."""
    if second is INSEPARABLE:
        return INSEPARABLE
    row = tuple([a + b * times for a, b in zip(first.row, second.row, strict=True)])
    side, jump = first.side, first.jump
    if second.jump == 1:
        side += times * (second.side - 1) * jump
    else:
        for _ in range(times):
            side += (second.side - 1) * jump
            jump *= second.jump
    return Summary(row, max(first.peak, second.peak), side, jump, second.shape)


def _separable(structure: Structure, last: bool) -> bool:
    """Whether a part may be measured alone.

    Not without a path; not where a merge alone reads its input, which in the network
    may be one with a merge in front of it; and not where windows end within the
    network, at a pooling to a fixed grid.
    """
    ops = [node.op for node in structure.graph.nodes]
    readers = set(structure.consumers[0])
    joins = len(readers) == 1 and isinstance(ops[readers.pop()], Add | Concat)
    ends = not last and any(type(op) is AdaptivePool for op in ops)
    return structure.has_path and not joins and not ends


def _window(structure: Structure) -> tuple[int, int]:
    """Side of the window that an element of the last map sees, and that of its step.

    Raises:
        Undefined: as `cost.window`; or height and width differ, which no one number
            tells.
    """
    found = cost.window(structure)
    ops = [node.op for node in structure.ungated.graph.nodes]
    if any(op.window(0) != op.window(1) for op in ops):
        raise Undefined("Windows are of other height than width.")
    return found
