"""Which channels the long-range links of a cell draw."""

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from nasdepth.architecture.blocks import Layers
from nasdepth.architecture.ops import Select


@dataclass(frozen=True, slots=True)
class Links:
    """The long-range links of one stage.

    Attributes:
        seed: of the draw.
        number: of the stage, from 1 on.
    """

    seed: int
    number: int

    def select(self, layers: Layers, outputs: list[int], wanted: int) -> list[int]:
        """Drawn channels of the layers before the last, one node per source layer."""
        width = layers.channels(outputs[0])
        sources = len(outputs) - 1
        drawn = draw_links(self.seed, self.number, sources * width, wanted)
        arms, low = [], 0
        for source in range(sources):
            first = source * width
            high = bisect_left(drawn, first + width, low)
            if high > low:
                own = tuple([channel - first for channel in drawn[low:high]])
                arms.append(layers.emit(Select(own), outputs[source]))
            low = high
        return arms


@lru_cache(maxsize=4096)
def draw_links(seed: int, place: int, candidates: int, wanted: int) -> tuple[int, ...]:
    """Channels that a layer draws without replacement, sorted.

    The channels 0 … candidates − 1 of all earlier layers but the last are ordered by
    SHA-256 of "seed:stage:candidates:channel" (the number of candidates identifies
    the layer) and the first min(wanted, candidates) taken: the same draw in every
    version of every library. [N] leaves the generator open; this one is ours.

    >>> draw_links(0, 1, 4, 9)
    (0, 1, 2, 3)
    """
    if wanted >= candidates:
        return tuple(range(candidates))

    def order(channel: int) -> bytes:
        return sha256(f"{seed}:{place}:{candidates}:{channel}".encode()).digest()

    return tuple(sorted(sorted(range(candidates), key=order)[:wanted]))
