"""A network as a picture, SVG or PNG, and as a table of its layers."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nasdepth.architecture.graph import Graph
from nasdepth.architecture.lower import lower
from nasdepth.architecture.opaque import Gate, Opaque
from nasdepth.architecture.ops import (
    Activation,
    Add,
    BatchNorm,
    Concat,
    Conv,
    GroupNorm,
    Linear,
    Op,
    Shape,
)
from nasdepth.architecture.spec import Architecture
from nasdepth.measures.catalogue import CATALOGUE, SHOWN, measure
from nasdepth.measures.structure import Undefined
from nasdepth.pictures import layout, rows, sketch
from nasdepth.pictures.layout import GAP, Panel, Place, Tag, Wire
from nasdepth.pictures.paths import law_plot, path_law
from nasdepth.pictures.sketch import Sketch
from nasdepth.pictures.stages import Unit
from nasdepth.pictures.svg import (
    ACCENT,
    INK,
    MARGIN,
    WIRE,
    check,
    page,
    path,
    plain,
    rounded,
    save,
    words,
)

_LABEL: Final = 24.0  # height of a frame's label
_OVERHANG: Final = 240.0  # by which a line may grow to hold the last frame
_BRACKET: Final = 20.0  # height of the number of equal blocks
_LEAST: Final = 880.0  # width of a page

_BARS: Final = {"norm": "#7A8794", "activation": ACCENT}
#: fill and outline by kind
_COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "convolution 1×1": ("#E6F0FA", "#7FA8CF"),
    "convolution 3×3": ("#B4D3EE", "#4B86BC"),
    "larger convolution": ("#7FB2DF", "#2F6BA3"),
    "depthwise": ("#C9E7D5", "#4E9B72"),
    "linear": ("#F8E2BC", "#C08A35"),
    "other layer": ("#EFDCEB", "#A0618F"),
    "pooling": ("#ECEEF1", "#9AA4AF"),
    "resizing": ("#FFFFFF", "#9AA4AF"),
}
#: what a circle holds by what it does
_SIGNS: Final = {
    "sum": "M-4 0H4M0-4V4",
    "concatenation": "M-2-4V4M2-4V4",
    "gate": "M-3-3L3 3M3-3L-3 3",
    "other merge": "M-3.5 0H3.5",
}


@dataclass(frozen=True, slots=True)
class _Frame:
    """SVG relative to where a wire comes in, and how far it extends around that."""

    body: str
    width: float
    up: float
    down: float
    enters: bool = True
    leaves: bool = True


def graph_svg(graph: Graph, *, title: str = "", law: bool = True) -> str:
    """Drawing of a network as a self-contained SVG.

    Boxes are as tall as their channels are many, on a logarithmic scale; equal blocks
    of deep networks are drawn once, with their number.

    Args:
        graph: what to draw; its scopes say what is a stage and what a block.
        title: first words of the title line, before the measures.
        law: whether the law of its path lengths stands below.
    """
    plan = sketch.sketch(graph)
    panels = rows.panels(plan)
    names = rows.letters(panels)
    frames = [_frame(plan, panel, names) for panel in panels]
    start = _words_frame("image", _times(plan.shapes[0]))
    end = _output_frame(plan.shapes[-1])
    body, width, height = _lines([start, *frames, end])
    head, room = _headline(graph, title)
    legend, long = _legend(plan, panels)
    width = max(width, room, long + 2 * MARGIN, _LEAST)
    body += f'<g class="legend" transform="translate({MARGIN} {height + 32:.1f})">'
    body, height = f"{body}{legend}</g>", height + 54
    if law:
        foot, deep = _law(graph, height)
        body, height = body + foot, height + deep
    name = f"{title}: {len(panels)} stages" if title else f"{len(panels)} stages"
    return page(head + body, width, height, f"Network {name}")


def architecture_svg(
    architecture: Architecture, *, title: str = "", law: bool = True
) -> str:
    """Drawing of an architecture, see `graph_svg`."""
    return graph_svg(lower(architecture), title=title, law=law)


def picture(graph: Graph, target: str | Path, *, title: str = "") -> Path:
    """Draw a network into a file, `.svg` or `.png`, and return its path.

    Raises:
        ValueError: another suffix, or a PNG of more pixels than any viewer likes.
    """
    return save(graph_svg(graph, title=title), check(target))


def layer_table(architecture: Architecture) -> str:
    """CSV with one row an operation: scope, operation, output, parameters, MACs."""
    graph = lower(architecture)
    shapes = graph.shapes()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("scope", "operation", "output", "parameters", "macs"))
    for node, shape in zip(graph.nodes, shapes, strict=True):
        inputs = [shapes[i] for i in node.inputs]
        costs = (node.op.params(inputs), node.op.macs(inputs))
        size = "x".join(map(str, shape))
        writer.writerow((node.scope, sketch.words(node.op), size, *costs))
    return text.getvalue()


def _kind(op: Op) -> str:
    """Key of `_COLOURS`."""
    match op:
        case Conv(groups=groups, channels=channels) if groups == channels > 1:
            return "depthwise"
        case Conv(kernel=1 | 3 | (1, 1) | (3, 3)):
            return f"convolution {sketch.square(op.kernel, '×')}"
        case Conv():
            return "larger convolution"
        case Linear():
            return "linear"
        case Opaque():
            if op.transforms:
                return "other layer"
            return "pooling" if "pool" in op.kind or "mean" in op.kind else "resizing"
    return "pooling"


def _sign(op: Op) -> str:
    """Key of `_SIGNS`."""
    match op:
        case Add():
            return "sum"
        case Concat():
            return "concatenation"
        case Gate():
            return "gate"
    return "other merge"


def _frame(plan: Sketch, panel: Panel, names: Mapping[int, str]) -> _Frame:
    last = panel.row.nodes[-1]
    label = (
        panel.row.name.replace("stage", "stage ", 1)
        if panel.row.name.startswith("stage")
        else panel.row.name
    )
    size = _times(plan.shapes[last])
    repeated = [unit for unit in panel.row.units if unit.repeat > 1]
    up, low = panel.up + _LABEL, panel.down
    down = low + 10 + (_BRACKET if repeated else 0.0)
    # links lie under wires
    order = sorted(panel.wires, key=lambda wire: not (wire.edge and wire.edge.channels))
    inside = "".join(_wire(plan, wire) for wire in order)
    for x, y in panel.forks:
        inside += f'<circle class="fork" cx="{x:.1f}" cy="{y:.1f}" r="1.9"/>'
    for node, place in panel.places.items():
        inside += _drawn(plan, node, place)
    for tag, place in panel.tags:
        inside += _tag(plan, tag, place, names)
    inside += "".join(_bracket(unit, panel.places, low + 5) for unit in repeated)
    body = (
        f'<rect class="frame" y="{-up:.1f}" width="{panel.width:.1f}" rx="7"'
        f' height="{up + down:.1f}"/><text class="n" x="9" y="{15 - up:.1f}">'
        f'{plain(label)}<tspan class="g" dx="6">{size}</tspan></text>{inside}'
    )
    return _Frame(body, panel.width, up, down, panel.enters, panel.leaves)


def _wire(plan: Sketch, wire: Wire) -> str:
    edge = wire.edge
    if edge is None:
        return path(wire.before, "wire way")
    if wire.over is None:
        kind = "wire" if plan.is_merge(edge.target) else "wire to"
        return path(wire.before, "gate" if edge.gates else kind)
    (x1, y1), (x2, y2) = wire.before[-1], wire.after[0]
    # a cubic curve reaches three quarters of the way to its control points
    control = y1 + (wire.over - y1) / 0.75
    kind = "gate" if edge.gates else "link" if edge.channels else "reuse"
    share = edge.channels / plan.features(edge.source)
    style = f' style="stroke-width:{0.8 + 2.4 * share:.2f}"' if edge.channels else ""
    way = rounded(wire.before) if len(wire.before) > 1 else f"M{x1:.1f} {y1:.1f}"
    way += f"C{x1:.1f} {control:.1f} {x2:.1f} {control:.1f} {x2:.1f} {y2:.1f}"
    way += "".join(f"L{x:.1f} {y:.1f}" for x, y in wire.after[1:])
    return f'<path class="{kind}"{style} d="{way}"/>'


def _drawn(plan: Sketch, node: int, place: Place) -> str:
    """SVG of a box or a merge, with a tooltip."""
    op, bars = plan.op(node), plan.after.get(node, ())
    scope, size = plan.graph.nodes[node].scope, _times(plan.shapes[node])
    branch = [sketch.words(plan.op(i)) for i in plan.branch(node)]
    weighs = f", weighed by {', '.join(branch)}" if branch else ""
    said = f"{scope}: {sketch.words(op)}{weighs}, {size}"
    body = f"<title>{plain(said)}</title>"
    if plan.is_merge(node):
        ring = _BARS["activation"] if "activation" in bars else WIRE
        body += _merge(_sign(op), ring, layout.RADIUS)
    else:
        front, half = plan.before.get(node, ()), place.width / 2
        body += _box(_kind(op), place)
        for index, bar in enumerate(front):
            body += _bar(4 * index + 2 - half, place.height, bar)
        for index, bar in enumerate(reversed(bars)):
            body += _bar(half - 4 * index - 4, place.height, bar)
        first, second = sketch.caption(plan, node)
        middle = (bool(front) - bool(bars)) * 3
        body += words(first, middle, -1.5, "a") + words(second, middle, 9.5, "b")
    return f'<g transform="translate({place.x:.1f} {place.y:.1f})">{body}</g>'


def _tag(plan: Sketch, tag: Tag, place: Place, names: Mapping[int, str]) -> str:
    """A letter at which a wire to or from another row ends."""
    scope = plan.graph.nodes[tag.node].scope
    said = f"{scope}, read further on" if tag.leaves else f"from {scope}"
    return (
        f'<g class="tag" transform="translate({place.x:.1f} {place.y:.1f})">'
        f'<title>{plain(said)}</title><circle r="8" fill="{INK}"/>'
        f'<text class="c" y="4" style="fill:#fff">{names[tag.node]}</text></g>'
    )


def _merge(sign: str, ring: str, radius: float) -> str:
    return (
        f'<circle r="{radius}" fill="#fff" stroke="{ring}" stroke-width="1.4"/>'
        f'<path d="{_SIGNS[sign]}" stroke="{INK}" stroke-width="1.4"/>'
    )


def _box(kind: str, place: Place) -> str:
    fill, edge = _COLOURS[kind]
    return (
        f'<rect x="{-place.width / 2:.1f}" y="{-place.height / 2:.1f}" rx="4" '
        f'width="{place.width:.1f}" height="{place.height:.1f}" fill="{fill}" '
        f'stroke="{edge}"/>'
    )


def _bar(x: float, height: float, bar: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{4 - height / 2:.1f}" width="2" rx="1" '
        f'height="{height - 8:.1f}" fill="{_BARS[bar]}"/>'
    )


def _bracket(unit: Unit, found: Mapping[int, Place], y: float) -> str:
    """The number of equal blocks below the one that is drawn."""
    left = min(found[node].left for node in unit.nodes) - 2
    right = max(found[node].right for node in unit.nodes) + 2
    return (
        f'<path fill="none" stroke="{INK}" d="M{left:.1f} {y:.1f}v5H{right:.1f}v-5"/>'
        f'<text class="c" x="{(left + right) / 2:.1f}" y="{y + 17:.1f}">'
        f"× {unit.repeat}</text>"
    )


def _words_frame(first: str, second: str) -> _Frame:
    """Two words where a row would stand: what comes in, what goes out."""
    width = max(36.0, 5.4 * len(second))
    body = f'<text class="c" x="{width / 2:.1f}" y="-2">{first}</text>'
    body += f'<text class="b" x="{width / 2:.1f}" y="11">{second}</text>'
    return _Frame(body, width, 14.0, 14.0)


def _output_frame(shape: Shape) -> _Frame:
    if len(shape) == 1:
        return _words_frame(f"{shape[0]}", "outputs")
    return _words_frame("output", _times(shape))


def _lines(frames: Sequence[_Frame]) -> tuple[str, float, float]:
    """The frames set like words in lines, wires between them; right and lower end."""
    lines = _set(frames)
    body, y, right = "", 74.0, 0.0
    before, out = frames[0], (0.0, 0.0, 0.0)
    for index, line in enumerate(lines):
        y += GAP * 2 * bool(index)
        x, base = MARGIN, y + max(frame.up for frame in line)
        if index and before.leaves and line[0].enters:
            body += _return(out, base)
        for frame in line:
            if frame is not line[0] and before.leaves and frame.enters:
                body += path([(x - GAP, base), (x, base)], "wire")
            body += f'<g transform="translate({x:.1f} {base:.1f})">{frame.body}</g>'
            x, before = x + frame.width + GAP, frame
        right = max(right, x - GAP)
        y = base + max(frame.down for frame in line)
        out = (x - GAP, base, y)
    return body, right + MARGIN, y


def _return(out: tuple[float, float, float], end: float) -> str:
    """The wire from the end of a line, above its lower side, to the next one."""
    x, base, low = out
    right, home = x + 12, MARGIN - 12
    corners = [(right, base), (right, low + GAP), (home, low + GAP), (home, end)]
    return path([(x, base), *corners, (MARGIN, end)], "wire")


def _set(frames: Sequence[_Frame]) -> list[list[_Frame]]:
    """Frames in lines; the first and the last one never stand alone."""
    start, *middle, end = frames
    if not middle:
        return [[start, end]]
    words = [[frame] for frame in middle]
    words[0] = [start, *words[0]]
    words[-1] = [*words[-1], end]
    lengths = [sum(frame.width + GAP for frame in word) for word in words]
    limit = max(rows.PAGE, *lengths) + 1
    lines: list[list[_Frame]] = [[]]
    room = limit
    for word, length in zip(words, lengths, strict=True):
        if length > room + (_OVERHANG if word is words[-1] else 0.0):
            lines.append([])
            room = limit
        lines[-1] += word
        room -= length
    return lines


def _headline(graph: Graph, title: str) -> tuple[str, float]:
    """Title and measures, below them what is the same in all layers; and its width."""
    found = measure(graph, SHOWN.values())
    parts = [f'<tspan class="v">{plain(title)}</tspan>'] if title else []
    long = len(title)
    for name in SHOWN.values():
        label, value = CATALOGUE[name].label, _short(found[name])
        parts.append(
            f'<tspan class="g">{label}</tspan> <tspan class="v">{value}</tspan>'
        )
        long += len(label) + len(value) + 4
    text = '<tspan class="g"> · </tspan>'.join(parts)
    body = f'<text class="t" x="{MARGIN}" y="34">{text}</text>'
    return body + words(_style(graph), MARGIN, 54, "g"), 8.9 * long + 2 * MARGIN


def _style(graph: Graph) -> str:
    """Activations and norms of a network, the most frequent first."""
    ops = [node.op for node in graph.nodes]
    kinds = Counter(op.kind for op in ops if isinstance(op, Activation))
    norms = Counter(
        sketch.words(op)
        for op in ops
        if isinstance(op, BatchNorm | GroupNorm)
        or (isinstance(op, Opaque) and op.kind.endswith("norm"))
    )
    found = [name for name, _ in kinds.most_common()] or ["no activation"]
    return ", ".join([*found, *([n for n, _ in norms.most_common()] or ["no norm"])])


def _law(graph: Graph, top: float) -> tuple[str, float]:
    """The law of the path lengths as a footer, and its height; none without a path."""
    try:
        found = path_law(graph)
    except Undefined:
        return "", 0.0
    body, _, height = law_plot(found)
    return f'<g transform="translate({MARGIN} {top:.1f})">{body}</g>', height + 16


def _legend(plan: Sketch, panels: Sequence[Panel]) -> tuple[str, float]:
    """What the colours and signs in this picture mean, and how long that is."""
    nodes = [node for row in plan.rows for node in row.nodes]
    kinds = {_kind(plan.op(node)) for node in nodes if not plan.is_merge(node)}
    bars = {b for n in nodes for b in (*plan.before.get(n, ()), *plan.after.get(n, ()))}
    merges = {_sign(plan.op(node)) for node in nodes if plan.is_merge(node)}
    small = Place(0, 0, 14, 14)
    line = '<path class="link" d="M-7 0H7" style="stroke-width:2"/>'
    dashed = '<path class="gate" d="M-7 0H7"/>'
    letter = f'<circle r="7" fill="{INK}"/>'
    items = [(_box(kind, small), kind, kind in kinds) for kind in _COLOURS]
    items += [(_bar(-1, 22, bar), bar, bar in bars) for bar in _BARS]
    items += [(_merge(sign, WIRE, 7), sign, sign in merges) for sign in _SIGNS]
    items += [
        (line, "long-range link", any(edge.channels for edge in plan.edges)),
        (dashed, "branch that weighs", any(edge.gates for edge in plan.edges)),
        (letter, "goes on at the same letter", any(panel.tags for panel in panels)),
    ]
    text, x = "", 8.0
    for sample, word, shown in items:
        if shown:
            text += f'<g transform="translate({x:.0f} 0)">{sample}</g>'
            text += words(word, x + 12, 4, "g")
            x += 34 + 5.9 * len(word)
    return text, x


def _times(shape: Shape) -> str:
    return " × ".join(map(str, shape))


def _short(value: float | None) -> str:
    """Number in three digits and a letter: 11.7 M."""
    if value is None:
        return "undefined"
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= max(size, 1e4):
            return f"{value / size:.3g}{letter}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
