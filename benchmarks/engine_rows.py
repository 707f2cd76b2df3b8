"""Which rows there are, and the file that keeps what they came to."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Row:
    """A comparison.

    Args:
        name: by which it is asked for, as a whole or by a part between hyphens.
        compares: what, in words.
        goal: least or greatest value, as in ">= 0.97"; "" for none.
        function: `module:name`, called with the settings and the arguments.
        arguments: of the function.
        unit: of the values: "" for ratios.
        threads: of each process.
        needs: device without which it is left out.
        asked: whether it runs only where it is asked for.
    """

    name: str
    compares: str
    goal: str
    function: str
    arguments: tuple[str, ...] = ()
    unit: Literal["", "%", "ms", "points"] = ""
    threads: int = 1
    needs: Literal["cpu", "cuda"] = "cpu"
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a row came to, and where.

    Args:
        row: its name.
        command: that ran it.
        n: values.
        middle: their median; of points their mean.
        low: of the interval.
        high: likewise.
        seconds: that the row took.
        hardware: processor and cores, or device.
        torch: version.
        threads: of each process.
        load: average of a minute, before.
        digest: of the code.
        note: what must be said beside the value.
        values: one a pair.
    """

    row: str
    command: str
    n: int
    middle: float
    low: float
    high: float
    seconds: float
    hardware: str
    torch: str
    threads: int
    load: float
    digest: str
    note: str
    values: tuple[float, ...]


def _bare(kind: str, shown: str, goal: str) -> Row:
    compares = f"engine / bare loop, {shown}"
    return Row(f"bare-{kind}", compares, goal, "engine_loops:bare", (kind,))


def _framework(name: str, shown: str, goal: str) -> Row:
    compares = f"engine / {shown}, tiny, not augmented"
    return Row(f"{name}-tiny", compares, goal, "engine_frameworks:beside", (name,))


def _probe(kind: str, goal: str) -> Row:
    compares = f"precision and layout by probe / fp32 NCHW, {kind}"
    return Row(f"probe-{kind}", compares, goal, "engine_parts:probed", (kind,))


def _checkpoint(kind: str, shown: str) -> Row:
    return Row(
        f"checkpoint-{kind}",
        f"time that checkpoints add, {shown}",
        "<= 1",
        "engine_parts:checkpointed",
        (kind,),
        "%",
    )


def _gap(sampler: str) -> Row:
    return Row(
        f"gap-{sampler}",
        f"from a trial's last epoch to the next one's first step, {sampler}",
        "<= 50",
        "engine_studies:gap",
        (sampler,),
        "ms",
    )


def _cuda(name: str, compares: str, goal: str, function: str, *arguments: str) -> Row:
    return Row(
        f"cuda-{name}", compares, goal, function, (*arguments, "cuda"), needs="cuda"
    )


def _cuda_bare(kind: str) -> Row:
    compares = f"engine / bare loop on CUDA, {kind}"
    return _cuda(kind, compares, ">= 0.95", "engine_loops:bare", kind)


ROWS: Final = (
    _bare("tiny", "tiny (width 8, 8x8)", ">= 0.95"),
    _bare("plain", "plain, width 16, 28x28", ">= 0.97"),
    _bare("residual", "residual, width 32, 28x28", ">= 0.97"),
    _bare("dense", "dense, growth 16, 28x28", ">= 0.97"),
    Row(
        "rungs-tiny",
        "with weights averaged at the rungs / without, tiny",
        "",
        "engine_loops:rungs",
    ),
    _framework("loader", "a loop over a DataLoader", ""),
    _framework("lightning", "Lightning", ">= 1.20"),
    _framework("skorch", "skorch", ">= 1.10"),
    Row(
        "textbook",
        "engine's defaults in 2 processes / textbook loop, 8 trainings on 2 cores",
        ">= 3.5",
        "engine_textbook:textbook",
        threads=0,
    ),
    Row(
        "workers",
        "2 workers / 1 worker, plain",
        ">= 1.9",
        "engine_crew:workers",
    ),
    _probe("plain", ">= 2.0"),
    _probe("residual", ">= 1"),
    _probe("dense", ">= 1"),
    _probe("inverted", ">= 1"),
    Row(
        "augment",
        "images made ready: resident / PIL, 3x32x32",
        ">= 7",
        "engine_parts:augmented",
    ),
    Row(
        "augment-share",
        "part of a step in which its images are made ready, plain, 3x32x32",
        "<= 5",
        "engine_parts:share_of_step",
        unit="%",
    ),
    _checkpoint("residual", "residual, width 32, 3x32x32"),
    _checkpoint("tiny", "tiny, an epoch of 10 steps"),
    _gap("random"),
    _gap("tpe"),
    _gap("guided"),
    Row(
        "population-tiny",
        "16 seeds at once / one after another, tiny",
        ">= 1.4",
        "engine_studies:population",
    ),
    Row(
        "accuracy",
        "validation accuracy, bf16 - fp32, 3 networks x 5 seeds",
        "+- 0.3",
        "engine_studies:accuracy",
        unit="points",
        asked=True,
    ),
    _cuda_bare("tiny"),
    _cuda_bare("plain"),
    _cuda_bare("residual"),
    _cuda_bare("dense"),
    _cuda(
        "graph", "step as a CUDA graph / eager, tiny", ">= 1.5", "engine_loops:graphs"
    ),
    _cuda(
        "packed",
        "64 searched networks, workers by memory / one after another",
        ">= 4",
        "engine_packed:packed",
    ),
    _cuda(
        "airbench",
        "time: airbench94's network and recipe, engine / bare script",
        "<= 1.1",
        "engine_airbench:airbench",
    ),
)


def chosen(names: str) -> tuple[Row, ...]:
    """Rows that a list of names with commas between asks for; all but some for "".

    Raises:
        ValueError: a name asks for nothing.
    """
    if not names:
        return tuple(row for row in ROWS if not row.asked)
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if not any(_is_asked(row, name) for row in ROWS):
            choices = ", ".join(row.name for row in ROWS)
            raise ValueError(
                f"--rows must name rows or their parts, but got {name!r}; choose from: "
                f"{choices}."
            )
    return tuple(row for row in ROWS if any(_is_asked(row, name) for name in wanted))


def meets(row: Row, result: Result) -> bool:
    """Whether the middle of the values reaches the goal."""
    sign, _, limit = row.goal.partition(" ")
    if sign == ">=":
        return result.middle >= float(limit)
    if sign == "<=":
        return result.middle <= float(limit)
    return abs(result.middle) <= float(limit)


def code_digest() -> str:
    """Of what is measured and what measures it; not of this table and its report."""
    others = {"engine_rows.py", "engine_report.py"}
    ours = [path for path in FOLDER.glob("engine_*.py") if path.name not in others]
    package = FOLDER.parent / "nasdepth"
    engine = [*(package / "training").glob("*.py"), *(package / "search").glob("*.py")]
    found = sha256()
    for path in sorted([*ours, *engine]):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def read(file: Path) -> list[Result]:
    """Results of a file; none where it is not there."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as stream:
        return [_parsed(line) for line in csv.DictReader(stream)]


def write(file: Path, results: Sequence[Result]) -> None:
    """Write results, in the order of the rows."""
    place = {row.name: index for index, row in enumerate(ROWS)}
    names = [each.name for each in fields(Result)]
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        for result in sorted(results, key=lambda each: place[each.row]):
            values = " ".join(f"{value:.6g}" for value in result.values)
            writer.writerow({**_shown(result), "values": values})


def replaced(results: Iterable[Result], new: Result) -> list[Result]:
    """Results with one in the place of an older one of its row."""
    return [*(each for each in results if each.row != new.row), new]


def _is_asked(row: Row, name: str) -> bool:
    if any(name == other.name for other in ROWS):
        return name == row.name
    return name in row.name.split("-")


def _shown(result: Result) -> dict[str, Any]:
    values = asdict(result)
    return {
        name: f"{value:.6g}" if isinstance(value, float) else value
        for name, value in values.items()
    }


def _parsed(line: dict[str, str]) -> Result:
    kinds = {each.name: each.type for each in fields(Result)}
    values: dict[str, Any] = {
        name: kinds[name](text) for name, text in line.items() if name != "values"
    }
    return Result(**values, values=tuple(map(float, line["values"].split())))
