"""An architecture as a picture (SVG, drawn from its graph) and as a table of layers."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from math import dist
from typing import Final, TypeAlias

from nasdepth import sketch
from nasdepth.architecture.graph import Graph
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import (
    AdaptivePool,
    Add,
    Concat,
    Conv,
    Linear,
    Op,
    Pool,
    Shape,
)
from nasdepth.architecture.spec import Architecture
from nasdepth.measures.catalogue import CATALOGUE, SHOWN, measure
from nasdepth.sketch import GAP, Edge, Place, Row, Sketch, Unit

_Point: TypeAlias = tuple[float, float]

_MARGIN: Final = 26.0
_LABEL: Final = 24.0  # height of a frame's label
_OVERHANG: Final = 240.0  # by which a line may grow to hold the last frame
_BRACKET: Final = 20.0  # height of the number of equal blocks
_PORT: Final = -1  # stands for the node, outside a row, that the row reads

_INK, _GREY, _WIRE, _LINK = "#1F2933", "#66717E", "#55606C", "#A23B72"
_BARS: Final = {"norm": "#7A8794", "activation": "#D55E00"}
#: fill and outline by kind
_COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "convolution 1×1": ("#E6F0FA", "#7FA8CF"),
    "convolution 3×3": ("#B4D3EE", "#4B86BC"),
    "larger convolution": ("#7FB2DF", "#2F6BA3"),
    "depthwise": ("#C9E7D5", "#4E9B72"),
    "linear": ("#F8E2BC", "#C08A35"),
    "pooling": ("#ECEEF1", "#9AA4AF"),
}
_STYLE: Final = f"""
text{{font-family:Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif}}
text{{fill:{_INK};font-size:11px}}.a,.b,.c{{text-anchor:middle}}
.a{{font-size:10px;font-weight:600}}.b{{font-size:9.5px}}.c,.n{{font-weight:600}}
.t{{font-size:15px}}.v{{font-weight:700}}.g{{fill:{_GREY};font-weight:400}}
.wire,.reuse,.link{{fill:none;stroke:{_WIRE};stroke-width:1.2}}
.to{{marker-end:url(#to)}}.fork{{fill:{_WIRE}}}
.reuse{{stroke:#5B8DB8;stroke-width:1;opacity:.75}}.link{{stroke:{_LINK};opacity:.5}}
.frame{{fill:#F7F8FA;stroke:#D3D9E0}}
"""
_NORMS: Final = {"batch": "batch norm", "group": "group norm", "none": "no norm"}


@dataclass(frozen=True, slots=True)
class _Frame:
    """SVG relative to where a wire comes in, and how far it extends around that."""

    body: str
    width: float
    up: float
    down: float


def architecture_svg(architecture: Architecture, *, title: str = "") -> str:
    """Drawing of the network as a self-contained SVG.

    Boxes are as tall as their channels are many, on a logarithmic scale; equal blocks
    of deep networks are drawn once, with their number.

    Args:
        architecture: what to draw.
        title: first words of the title line, before the measures.
    """
    graph = lower(architecture)
    plan = sketch.sketch(graph)
    frames = [_frame(plan, row) for row in plan.rows]
    start = _words_frame("image", _times(architecture.input_shape))
    end = _words_frame(f"{architecture.num_classes}", "classes")
    head = _headline(graph, title, architecture)
    return _page([start, *frames, end], head, _legend(plan))


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
        case Conv(kernel=kernel) if kernel in (1, 3):
            return f"convolution {kernel}×{kernel}"
        case Conv():
            return "larger convolution"
        case Linear():
            return "linear"
    return "pooling"


def _caption(op: Op, shape: Shape) -> tuple[str, str]:
    """The two lines in a box."""
    match op:
        case Conv(kernel=k, stride=stride, groups=groups, channels=channels):
            grouped = f" ÷{groups}" if 1 < groups < channels else ""
            return f"{k}×{k}{_step(stride)}", f"{channels}{grouped}"
        case Pool(kind=kind, kernel=k, stride=stride):
            return kind, f"{k}×{k}{_step(stride)}"
        case AdaptivePool(grid=grid):
            return "avg", f"to {grid}×{grid}" if grid > 1 else "global"
    return "linear", f"{shape[0]}"


def _step(stride: int) -> str:
    return f" /{stride}" if stride > 1 else ""


def _frame(plan: Sketch, row: Row) -> _Frame:
    found = sketch.places(plan, row)
    last = row.nodes[-1]
    label, size = row.name.replace("stage", "stage "), _times(plan.shapes[last])
    natural = found[last].right + GAP / 2 + sketch.PAD
    width = max(natural, 6.0 * len(label) + 5.6 * len(size) + 32)
    shift = (width - natural) / 2
    found = {n: replace(place, x=place.x + shift) for n, place in found.items()}
    wires, roof = _wires(plan, {_PORT: Place(0.0, 0.0, 0.0, 0.0), **found})
    wires += _path([(found[last].right, 0.0), (width, 0.0)], "wire")
    low = max(place.bottom for place in found.values())
    repeated = [unit for unit in row.units if unit.repeat > 1]
    up, down = _LABEL - roof, low + 10 + (_BRACKET if repeated else 0.0)
    body = (
        f'<rect class="frame" y="{-up:.1f}" width="{width:.1f}" rx="7"'
        f' height="{up + down:.1f}"/><text class="n" x="9" y="{15 - up:.1f}">{label}'
        f'<tspan class="g" dx="6">{size}</tspan></text>{wires}'
    )
    body += "".join(_drawn(plan, node, place) for node, place in found.items())
    body += "".join(_bracket(unit, found, low + 5) for unit in repeated)
    return _Frame(body, width, up, down)


def _wires(plan: Sketch, found: Mapping[int, Place]) -> tuple[str, float]:
    """SVG of the wires that end in a row, and the highest point of all in it."""
    edges = {
        replace(edge, source=edge.source if edge.source in found else _PORT)
        for edge in plan.edges
        if edge.target in found
    }
    # what lies under: links, then wires
    order = sorted(
        edges, key=lambda e: (not e.channels, e.source, e.target, e.channels)
    )
    drawn = [_wire(plan, edge, found) for edge in order]
    sources = [edge.source for edge in order]
    forks = [found[i] for i in sorted(set(sources)) if sources.count(i) > 1]
    dots = (f'<circle class="fork" cx="{p.fork:.1f}" cy="0" r="1.9"/>' for p in forks)
    tops = [top for _, top in drawn] + [place.top for place in found.values()]
    return "".join([*(text for text, _ in drawn), *dots]), min(tops)


def _wire(plan: Sketch, edge: Edge, found: Mapping[int, Place]) -> tuple[str, float]:
    """SVG of a wire, and the highest point it reaches."""
    start, end = found[edge.source], found[edge.target]
    origin, merge = (start.right, start.y), plan.is_merge(edge.target)
    kind = "wire" if merge else "wire to"
    between = [p for p in found.values() if start.right < p.left and p.right < end.left]
    if abs(end.y - start.y) > 1:
        side = end.bottom if start.y > end.y else end.top
        into = [(end.x, start.y), (end.x, side)]
        out = [(start.fork, start.y), (start.fork, end.y), (end.left, end.y)]
        return _path([origin, *(into if merge else out)], kind), 0.0
    if not any(abs(p.y - start.y) < p.height / 2 for p in between):
        return _path([origin, (end.left, end.y)], kind), 0.0
    roof = min(place.top for place in between)
    if isinstance(plan.op(edge.target), Add):
        over = roof - 11
        points = [(start.fork, start.y), (start.fork, over), (end.x, over)]
        return _path([*points, (end.x, end.top)], "wire"), over
    over = roof - 10 - 7 * ((end.x - start.x) / (sketch.BOX + GAP)) ** 0.85
    # a cubic curve reaches three quarters of the way to its control points
    control = start.y + (over - start.y) / 0.75
    share = edge.channels / plan.shapes[edge.source][0] if edge.source >= 0 else 0
    style = f' style="stroke-width:{0.8 + 2.4 * share:.2f}"' if edge.channels else ""
    return (
        f'<path class="{"link" if edge.channels else "reuse"}"{style} '
        f'd="M{start.fork:.1f} {start.y:.1f}C{start.fork:.1f} {control:.1f} '
        f'{end.x:.1f} {control:.1f} {end.x:.1f} {end.top:.1f}"/>'
    ), over


def _path(points: Sequence[_Point], kind: str) -> str:
    """SVG of a line through the points, with round corners."""
    text = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(6, dist(before, corner) / 2, dist(after, corner) / 2)
        first, second = (_toward(corner, end, radius) for end in (before, after))
        text += f"L{first}Q{corner[0]:.1f} {corner[1]:.1f} {second}"
    return f'<path class="{kind}" d="{text}L{points[-1][0]:.1f} {points[-1][1]:.1f}"/>'


def _toward(start: _Point, end: _Point, way: float) -> str:
    part = way / (dist(start, end) or 1)
    x, y = (a + part * (b - a) for a, b in zip(start, end, strict=True))
    return f"{x:.1f} {y:.1f}"


def _drawn(plan: Sketch, node: int, place: Place) -> str:
    """SVG of a box or a merge, with a tooltip."""
    op, bars = plan.op(node), plan.after.get(node, ())
    scope, size = plan.graph.nodes[node].scope, _times(plan.shapes[node])
    body = f"<title>{escape(f'{scope}: {sketch.words(op)}, {size}')}</title>"
    if plan.is_merge(node):
        ring = _BARS["activation"] if "activation" in bars else _WIRE
        body += _merge(isinstance(op, Add), ring, sketch.RADIUS)
    else:
        front, half = plan.before.get(node, ()), place.width / 2
        body += _box(_kind(op), place)
        for index, bar in enumerate(front):
            body += _bar(4 * index + 2 - half, place.height, bar)
        for index, bar in enumerate(reversed(bars)):
            body += _bar(half - 4 * index - 4, place.height, bar)
        first, second = _caption(op, plan.shapes[node])
        middle = (bool(front) - bool(bars)) * 3
        body += f'<text class="a" x="{middle}" y="-1.5">{first}</text>'
        body += f'<text class="b" x="{middle}" y="9.5">{second}</text>'
    return f'<g transform="translate({place.x:.1f} {place.y:.1f})">{body}</g>'


def _merge(adds: bool, ring: str, radius: float) -> str:
    sign = "M-4 0H4M0-4V4" if adds else "M-2-4V4M2-4V4"
    return (
        f'<circle r="{radius}" fill="#fff" stroke="{ring}" stroke-width="1.4"/>'
        f'<path d="{sign}" stroke="{_INK}" stroke-width="1.4"/>'
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
        f'<path fill="none" stroke="{_INK}" d="M{left:.1f} {y:.1f}v5H{right:.1f}v-5"/>'
        f'<text class="c" x="{(left + right) / 2:.1f}" y="{y + 17:.1f}">'
        f"× {unit.repeat}</text>"
    )


def _words_frame(first: str, second: str) -> _Frame:
    """Two words where a row would stand: what comes in, what goes out."""
    width = max(36.0, 5.4 * len(second))
    body = f'<text class="c" x="{width / 2:.1f}" y="-2">{first}</text>'
    body += f'<text class="b" x="{width / 2:.1f}" y="11">{second}</text>'
    return _Frame(body, width, 14.0, 14.0)


def _page(frames: Sequence[_Frame], head: str, legend: str) -> str:
    """The frames set like words in lines, wires between them."""
    lines = _set(frames)
    body, y, right = "", 74.0, 0.0
    for index, line in enumerate(lines):
        x, base = _MARGIN, y + max(frame.up for frame in line)
        for frame in line:
            if frame is not line[0]:
                body += _path([(x - GAP, base), (x, base)], "wire")
            body += f'<g transform="translate({x:.1f} {base:.1f})">{frame.body}</g>'
            x += frame.width + GAP
        right = max(right, x - GAP)
        y = base + max(frame.down for frame in line)
        if index + 1 < len(lines):
            end = y + GAP * 2 + max(frame.up for frame in lines[index + 1])
            out, home = x - GAP + 12, _MARGIN - 12
            corners = [(out, base), (out, y + GAP), (home, y + GAP), (home, end)]
            body += _path([(x - GAP, base), *corners, (_MARGIN, end)], "wire")
            y += GAP * 2
    size = f'width="{max(right + _MARGIN, 880):.0f}" height="{y + 54:.0f}"'
    box = size.replace('width="', 'viewBox="0 0 ').replace('" height="', " ")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img">'
        f'<style>{_STYLE}</style><defs><marker id="to" viewBox="0 0 6 6" refX="5.4" '
        f'refY="3" markerWidth="5" markerHeight="5" orient="auto"><path fill="{_WIRE}" '
        f'd="M0 0L6 3L0 6z"/></marker></defs><rect width="100%" height="100%" '
        f'fill="#fff"/>{head}{body}'
        f'<g transform="translate({_MARGIN} {y + 32:.1f})">{legend}</g></svg>\n'
    )


def _set(frames: Sequence[_Frame]) -> list[list[_Frame]]:
    """Frames in lines; the first and the last one never stand alone."""
    start, *middle, end = frames
    words = [[frame] for frame in middle]
    words[0] = [start, *words[0]]
    words[-1] = [*words[-1], end]
    lengths = [sum(frame.width + GAP for frame in word) for word in words]
    limit = max(sketch.PAGE, *lengths) + 1
    lines: list[list[_Frame]] = [[]]
    room = limit
    for word, length in zip(words, lengths, strict=True):
        if length > room + (_OVERHANG if word is words[-1] else 0.0):
            lines.append([])
            room = limit
        lines[-1] += word
        room -= length
    return lines


def _headline(graph: Graph, title: str, architecture: Architecture) -> str:
    """Title and measures, and below them what is the same in all layers."""
    found = measure(graph, SHOWN.values())
    parts = [f'<tspan class="v">{escape(title)}</tspan>'] if title else []
    for name in SHOWN.values():
        value = f'<tspan class="v">{_short(found[name])}</tspan>'
        parts.append(f'<tspan class="g">{CATALOGUE[name].label}</tspan> {value}')
    text = '<tspan class="g"> · </tspan>'.join(parts)
    style = f"{architecture.activation}, {_NORMS[architecture.norm]}"
    return (
        f'<text class="t" x="{_MARGIN}" y="34">{text}</text>'
        f'<text class="g" x="{_MARGIN}" y="54">{style}</text>'
    )


def _legend(plan: Sketch) -> str:
    """What the colours and signs in this picture mean."""
    nodes = [node for row in plan.rows for node in row.nodes]
    kinds = {_kind(plan.op(node)) for node in nodes if not plan.is_merge(node)}
    bars = {
        bar for bars in (*plan.before.values(), *plan.after.values()) for bar in bars
    }
    merges = {type(plan.op(node)) for node in nodes if plan.is_merge(node)}
    small = Place(0, 0, 14, 14)
    line = '<path class="link" d="M-7 0H7" style="stroke-width:2"/>'
    items = [(_box(kind, small), kind, kind in kinds) for kind in _COLOURS]
    items += [(_bar(-1, 22, bar), bar, bar in bars) for bar in _BARS]
    items += [
        (_merge(True, _WIRE, 7), "sum", Add in merges),
        (_merge(False, _WIRE, 7), "concatenation", Concat in merges),
        (line, "long-range link", any(edge.channels for edge in plan.edges)),
    ]
    text, x = "", 8.0
    for picture, word, shown in items:
        if shown:
            text += f'<g transform="translate({x:.0f} 0)">{picture}</g>'
            text += f'<text class="g" x="{x + 12:.0f}" y="4">{word}</text>'
            x += 34 + 5.6 * len(word)
    return text


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
