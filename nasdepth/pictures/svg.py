"""What all pictures share: colours, style, paths, the page and how it is saved.

Pixels come from the same SVG by resvg, in a font that matplotlib brings along, so a
picture looks alike on every machine.
"""

import re
from collections.abc import Sequence
from html import escape
from math import dist
from pathlib import Path
from typing import Final, TypeAlias

Point: TypeAlias = tuple[float, float]

MARGIN: Final = 26.0
INK, GREY, WIRE, LINK, ACCENT = "#1F2933", "#5A6672", "#55606C", "#A23B72", "#D55E00"
#: pixels of a PNG by those of its SVG
SCALE: Final = 2
#: pixels above which no PNG is drawn
MOST_PIXELS: Final = 80_000_000
SUFFIXES: Final = (".svg", ".png")
_FONTS: Final = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
_STYLE: Final = f"""
text{{font-family:Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif}}
text{{fill:{INK};font-size:11px}}.a,.b,.c{{text-anchor:middle}}
.a{{font-size:10px;font-weight:600}}.b{{font-size:9.5px}}.c,.n{{font-weight:600}}
.t{{font-size:15px}}.v{{font-weight:700}}.g{{fill:{GREY};font-weight:400}}
.e{{text-anchor:end}}.halo{{paint-order:stroke;stroke:#fff;stroke-width:3px}}
.wire,.reuse,.link,.gate{{fill:none;stroke:{WIRE};stroke-width:1.2}}
.to{{marker-end:url(#to)}}.fork{{fill:{WIRE}}}.gate{{stroke-dasharray:3 2.4}}
.reuse{{stroke:#3F77A8;stroke-width:1;stroke-opacity:.75}}
.link{{stroke:{LINK};stroke-opacity:.5}}
.frame{{fill:#F7F8FA;stroke:#D3D9E0}}
"""


def path(points: Sequence[Point], kind: str) -> str:
    """A line through the points, with round corners."""
    return f'<path class="{kind}" d="{rounded(points)}"/>'


def rounded(points: Sequence[Point]) -> str:
    """Commands of a path through the points, with round corners."""
    text = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(6, dist(before, corner) / 2, dist(after, corner) / 2)
        first, second = (_toward(corner, end, radius) for end in (before, after))
        text += f"L{first}Q{corner[0]:.1f} {corner[1]:.1f} {second}"
    return f"{text}L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def words(text: str, x: float, y: float, kind: str = "") -> str:
    """A line of text whose characters are safe in XML."""
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}">{plain(text)}</text>'


def plain(text: str) -> str:
    """Text for XML, without the characters that no XML may hold."""
    return escape(
        re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)
    )


def page(body: str, width: float, height: float, title: str) -> str:
    """A whole SVG, white behind its body; the title is what screen readers say."""
    size = f'width="{width:.0f}" height="{height:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
        f"<title>{plain(title)}</title><style>{_STYLE}</style>"
        f'<defs><marker id="to" viewBox="0 0 6 6" refX="5.4" refY="3" markerWidth="5" '
        f'markerHeight="5" orient="auto"><path fill="{WIRE}" d="M0 0L6 3L0 6z"/>'
        f'</marker></defs><rect width="100%" height="100%" fill="#fff"/>{body}</svg>\n'
    )


def check(target: str | Path) -> Path:
    """The path of a picture to be.

    Raises:
        ValueError: its suffix is none of those that can be written.
    """
    found = Path(target)
    if found.suffix.lower() not in SUFFIXES:
        choices = " or ".join(SUFFIXES)
        raise ValueError(f"A picture ends in {choices}, but got {found.name!r}.")
    return found


def save(svg: str, target: str | Path) -> Path:
    """Write a picture as its suffix says, `.svg` or `.png`.

    Raises:
        ValueError: another suffix, or more pixels than a PNG should have.
    """
    found = check(target)
    if found.suffix.lower() == ".png":
        found.write_bytes(png(svg))
    else:
        found.write_text(svg, encoding="utf-8", newline="\n")
    return found


def png(svg: str) -> bytes:
    """A picture in pixels, twice as many each way as its SVG has.

    Raises:
        ValueError: more than `MOST_PIXELS`.
    """
    size = re.search(r'width="(\d+)" height="(\d+)"', svg)
    width, height = (SCALE * int(n) for n in size.groups()) if size else (0, 0)
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"A PNG of {width} × {height} pixels is larger than any viewer likes; "
            f"write .svg instead."
        )
    # inside, for whoever only describes a network need not wait for them
    import matplotlib
    import resvg_py

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg,
            zoom=SCALE,
            skip_system_fonts=True,
            font_files=[str(fonts / name) for name in _FONTS],
        )
    )


def _toward(start: Point, end: Point, way: float) -> str:
    part = way / (dist(start, end) or 1)
    x, y = (a + part * (b - a) for a, b in zip(start, end, strict=True))
    return f"{x:.1f} {y:.1f}"
