"""The page around a report: its parts as HTML that needs no network, or as Markdown.

Everything that comes from a study or a file is escaped. A content security policy
forbids the browser to load anything at all; drawings of networks are images of their
own, so that their styles stay inside.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from nasdepth.analysis.document import Section, Table, as_markdown
from nasdepth.analysis.plotting import Key, Plot, library, plot_html
from nasdepth.analysis.wording import p_text
from nasdepth.claims.finding import Finding
from nasdepth.report_style import SCRIPT, STYLE

#: what may be loaded: nothing but what the page itself holds
_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
    " img-src data: blob:"
)
#: a sign beside every verdict's colour
_SIGNS: Final = {
    "supported": "✓",
    "contradicted": "✗",
    "undecided": "?",
    "undecidable": "–",
}
#: what a Markdown reader could take for the start of a tag
_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing.

    Attributes:
        title: Over it.
        caption: Below it; it describes the drawing to who cannot see it.
        svg: The drawing.
    """

    title: str
    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Text that is to be copied: a command or a file."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a report: words and tables, then figures, drawings and listings."""

    section: Section
    plots: tuple[Plot, ...] = ()
    pictures: tuple[Picture, ...] = ()
    listings: tuple[Listing, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report says.

    Attributes:
        title: The question.
        sources: Names of the evidence.
        findings: The verdicts, one for each claim and source.
        parts: In their order.
        data: The same as plain values.
        made: Date of the report.
    """

    title: str
    sources: tuple[str, ...]
    findings: tuple[Finding, ...]
    parts: tuple[Part, ...]
    data: Mapping[str, Any]
    made: str


def html(report: Report) -> str:
    """The report as one page."""
    names = [_slug(part.section.title, i) for i, part in enumerate(report.parts)]
    body = "\n".join(
        _part(part, name, first=i == _first_plot(report.parts))
        for i, (part, name) in enumerate(zip(report.parts, names, strict=True))
    )
    links = "".join(
        f'<li><a href="#{name}">{escape(part.section.title)}</a></li>'
        for part, name in zip(report.parts, names, strict=True)
    )
    source = escape(", ".join(report.sources))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(report.title)} {source}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<p class="kicker">{source}</p>
<h1>{escape(report.title)}</h1>
{_verdicts(report)}
</header>
<nav aria-label="Contents"><ol>{links}</ol></nav>
<main>
<noscript><p class="note">The figures are drawn by the browser: they need JavaScript.
Nothing is loaded from anywhere.</p></noscript>
{body}
</main>
<footer><p>Made on {escape(report.made)} with nasdepth.</p></footer>
<script type="application/json" id="analysis">{_embedded(report.data)}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


def markdown(report: Report) -> str:
    """The report as Markdown, figures and drawings by their captions alone."""
    lines = [f"# {report.title}", "", ", ".join(report.sources)]
    for found in report.findings:
        verdict = f"**{found.claim}: {_word(found).upper()}.**"
        lines += ["", f"{verdict} {_sentence(found.words)}"]
        lines += ["", f"{_where(found, report)}{found.reason}"]
        lines += ["", f"> {found.quote}"] if found.quote != found.reason else []
    head = _TAG.sub(r"\\<", "\n".join(lines))
    parts = "\n\n".join(_part_markdown(part) for part in report.parts)
    return f"{head}\n\n{parts}\n\nMade on {report.made} with nasdepth.\n"


def plain_json(report: Report) -> str:
    """The report's numbers as JSON."""
    return json.dumps(report.data, indent=2, allow_nan=False)


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON in which no HTML can begin or end."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")


def _first_plot(parts: Sequence[Part]) -> int:
    """Place of the first part with a figure, -1 without."""
    return next((i for i, part in enumerate(parts) if part.plots), -1)


def _slug(title: str, index: int) -> str:
    words = re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")
    return f"part-{index + 1}-{words[:40]}".rstrip("-")


def _verdicts(report: Report) -> str:
    """A card for each claim: verdict in words, by colour and by sign."""
    cards = "".join(_verdict(found, report) for found in report.findings)
    return f'<div class="verdicts">{cards}</div>'


def _verdict(found: Finding, report: Report) -> str:
    quote = f"<blockquote>{escape(found.quote)}</blockquote>"
    return (
        f'<section class="verdict {found.verdict}">'
        f'<h2><span class="badge"><span aria-hidden="true">{_SIGNS[found.verdict]}'
        f"</span> {_word(found).capitalize()}</span></h2>"
        f"<p><strong>{escape(found.claim)}.</strong>"
        f" {escape(_sentence(found.words))}</p>"
        f"<p>{escape(_where(found, report))}{escape(found.reason)}</p>"
        f"{quote if found.quote and found.quote != found.reason else ''}"
        f"{_pairs(_facts(found))}</section>"
    )


def _word(found: Finding) -> str:
    """The verdict as it is to be quoted; undecidable is said of the data alone."""
    late = found.exploratory and found.verdict != "undecidable"
    return f"{found.verdict}, exploratory" if late else found.verdict


def _sentence(text: str) -> str:
    """Words as a sentence."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _where(found: Finding, report: Report) -> str:
    return f"{found.source}: " if len(report.sources) > 1 else ""


def _facts(found: Finding) -> list[tuple[str, str]]:
    """What is missing, the p-values and the further lines of a finding."""
    facts = []
    if found.lacks:
        facts.append(("needs", f"{found.needs}. Missing: {found.lacks}"))
    if found.p_value is not None:
        holm = f", after Holm's correction {p_text(found.holm)}"
        corrected = found.holm is not None and found.holm != found.p_value
        facts.append(("p", f"{p_text(found.p_value)}{holm if corrected else ''}"))
    return [*facts, *found.details]


def _part(part: Part, name: str, *, first: bool) -> str:
    """One part; the first one with figures brings the library along."""
    section = part.section
    loaded = f"<script>{library()}</script>" if first else ""
    shared = _shared(part.plots)
    plots = "".join(_figure(plot, name, keys=not shared) for plot in part.plots)
    kind = "grid three" if len(part.plots) == 3 else "grid"
    grid = f'{shared}<div class="{kind}">{plots}</div>' if plots else ""
    mark = ' class="warnings"' if section.title.startswith("Warnings") else ""
    inner = [
        f'<h2 id="{name}">{escape(section.title)}</h2>',
        *(f"<p>{escape(text)}</p>" for text in section.paragraphs),
        _pairs(section.pairs),
        loaded,
        grid,
        *(_table(table) for table in section.tables),
        _points(section.points),
        *(_drawing(picture) for picture in part.pictures),
        *(_listing(listing) for listing in part.listings),
    ]
    text = "\n".join(piece for piece in inner if piece)
    return f'<section{mark} aria-labelledby="{name}">{text}</section>'


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in pairs
    )
    return f"<dl>{rows}</dl>" if rows else ""


def _points(points: Iterable[str]) -> str:
    rows = "".join(f"<li>{escape(text)}</li>" for text in points)
    return f"<ul>{rows}</ul>" if rows else ""


def _table(table: Table) -> str:
    """A table that scrolls sideways where the page is narrow."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
    rows = "".join(_row(row) for row in table.rows)
    caption = escape(table.caption)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0">'
        f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def _row(cells: Sequence[str]) -> str:
    numbers = "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])
    return f'<tr><th scope="row">{escape(cells[0])}</th>{numbers}</tr>'


def _shared(plots: Sequence[Plot]) -> str:
    """The legend that all figures of a part have, empty where they differ."""
    legends = {plot.legend for plot in plots}
    if len(plots) < 2 or len(legends) > 1:
        return ""
    entries = _keys(legends.pop())
    return f'<div class="shared">{entries}</div>' if entries else ""


def _figure(plot: Plot, part: str, *, keys: bool) -> str:
    kind = "plot wide" if plot.wide else "plot"
    label = escape(f"{plot.title}. {plot.reading}")
    legend = _keys(plot.legend) if keys else ""
    return (
        f'<figure class="{kind}"><h3>{escape(plot.title)}</h3>{legend}'
        f'<div role="img" aria-label="{label}">{plot_html(plot, f"{part}-{plot.name}")}'
        f"</div><figcaption>{escape(plot.reading)}</figcaption></figure>"
    )


def _keys(legend: Iterable[Key]) -> str:
    """A legend as a list; colours are ours, never a user's."""
    rows = "".join(
        f'<li><span aria-hidden="true" style="color:{key.colour}">{key.sign}</span>'
        f" {escape(key.label)}</li>"
        for key in legend
    )
    return f'<ul class="keys">{rows}</ul>' if rows else ""


def _drawing(picture: Picture) -> str:
    data = b64encode(picture.svg.encode()).decode()
    return (
        f'<figure class="drawing"><h3>{escape(picture.title)}</h3><div class="scroll">'
        f'<img alt="{escape(picture.caption)}" src="data:image/svg+xml;base64,{data}">'
        f"</div><figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _listing(listing: Listing) -> str:
    title = escape(listing.title)
    return (
        f'<figure class="listing"><figcaption>{title}</figcaption>'
        f'<pre tabindex="0">{escape(listing.text)}</pre></figure>'
    )


def _part_markdown(part: Part) -> str:
    text = as_markdown([part.section])
    for plot in part.plots:
        text += f"\n\n**Figure: {plot.title}.** {plot.reading}"
    for picture in part.pictures:
        text += f"\n\n**{picture.title}.** {picture.caption}"
    text = _TAG.sub(r"\\<", text)
    for listing in part.listings:
        fence = "`" * max(3, 1 + _longest_run(listing.text))
        text += f"\n\n{listing.title}:\n\n{fence}\n{listing.text}\n{fence}"
    return text


def _longest_run(text: str) -> int:
    """Length of the longest run of backticks."""
    return max((len(run) for run in re.findall("`+", text)), default=0)
