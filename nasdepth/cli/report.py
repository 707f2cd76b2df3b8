"""The command report: evidence and what it says as one page."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from nasdepth.cli.base import main, output_path, study_of
from nasdepth.cli.evidence import Choice, analysis_options, evidence_options, gather

if TYPE_CHECKING:
    from nasdepth.analysis.answer import Analysis
    from nasdepth.evidence.observations import Evidence
    from nasdepth.report import Body


@main.command()
@evidence_options
@analysis_options
@click.option(
    "-o", "--output", type=output_path, required=True, help="File to write; - prints."
)
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["html", "markdown", "json"]),
    default="html",
    show_default=True,
)
def report(
    claims: tuple[str, ...],
    allow_selected: bool,
    draws: int,
    seed: int,
    brief: bool,
    output: Path,
    form: str,
    **choice: Unpack[Choice],
) -> None:
    """Verdict, figures, best networks and how to repeat it, on one page.

    The page opens in any browser, without a network, and prints well.

    \b
    Example:  nasdepth report --study-name fashion-mnist -o report.html
              nasdepth report --table nasbench201:cifar10 -o table.html
    """
    from datetime import date

    from nasdepth import report_page
    from nasdepth.analysis.answer import analyze_all
    from nasdepth.claims.claim import CLAIMS, Options
    from nasdepth.report import Origin, report_of
    from nasdepth.report_study import without_password

    _check_folder(output)
    sources = gather(**choice)
    options = Options(seed=seed, draws=draws, allow_selected=allow_selected)
    found = analyze_all(
        sources,
        claims=tuple(CLAIMS) if "all" in claims else claims or ("H1",),
        options=options,
        explore=not brief,
    )
    command = without_password(shlex.join(["nasdepth", *sys.argv[1:]]))
    bodies = [_body(*each, choice) for each in zip(sources, found, strict=True)]
    made = report_of(bodies, Origin(date.today().isoformat(), command, options))
    write = {
        "html": report_page.html,
        "markdown": report_page.markdown,
        "json": report_page.plain_json,
    }[form]
    if str(output) == "-":
        click.echo(write(made))
        return
    output.write_text(write(made), encoding="utf-8")
    click.echo(f"Wrote {output}.")


def _check_folder(output: Path) -> None:
    """Raises before the work where the page could not be written."""
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{output.parent} is no folder to write into.")


def _body(evidence: "Evidence", found: "Analysis", choice: Choice) -> "Body":
    """A source with its trials, where it has any."""
    from nasdepth.report import Body

    if choice["study_name"]:
        from nasdepth.report_study import facts_of
        from nasdepth.search.storage import records

        study = study_of(choice["storage"], choice["study_name"])
        facts = facts_of(study, choice["storage"])
        return Body(evidence, found, records(study), facts)
    if choice["records"] and _is_ours(choice["records"]):
        from nasdepth.evidence.records import read_csv

        return Body(evidence, found, read_csv(choice["records"]))
    return Body(evidence, found)


def _is_ours(path: Path) -> bool:
    """Whether a CSV holds the records of a study."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return stream.readline().startswith("format,number,arm,")
