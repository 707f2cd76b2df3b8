"""The parts of a report that only a study has: its networks, trials and circumstances.

What a trial recorded is read back here; nothing is trained, and no password of a
storage's address is repeated.
"""

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from nasdepth.analysis.document import Section, Table
from nasdepth.architecture.spec import Architecture
from nasdepth.evidence.records import ARMS, STATES, TrialRecord
from nasdepth.guide.coverage import Prediction, prediction
from nasdepth.guide.history import ATTRIBUTE
from nasdepth.measures.catalogue import SHOWN
from nasdepth.pictures.network import architecture_svg
from nasdepth.report_page import Listing, Part, Picture
from nasdepth.search.config import StudyConfig
from nasdepth.search.storage import study_config
from nasdepth.tables import accuracy_text, quantity, shorthand

#: best architectures that are shown
BEST: Final = 5
# Trials that a table names by number.
_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What a study keeps beside its records.

    Attributes:
        name: Of the study.
        storage: Its address, without a password.
        toml: Its configuration.
        seed: Of sampling, design and trainings.
        config_digest: SHA-256 of what may not change.
        screens: For each screened trial what was drawn, dropped and chosen.
        processes: Worker processes that ran trials.
        machines: Machines that they ran on.
        precisions: Number formats of the trainings, with how many of each.
        speed: Median images a second in training, None where it is not recorded.
        objectives: Accuracy, and the costs that it is weighed against.
        reference: Accuracy and cost from which the hypervolume counts; None where the
            study fixed none.
        log_cost: Whether the logarithm of the cost counts there.
        finished: Numbers of the complete and pruned trials, as they finished.
        predictions: What the guide expected of trials that ran to their end.
    """

    name: str
    storage: str
    toml: str
    seed: int
    config_digest: str
    screens: tuple[Mapping[str, Any], ...]
    processes: int
    machines: int
    precisions: tuple[tuple[str, int], ...]
    speed: float | None
    objectives: tuple[str, ...] = ("accuracy",)
    reference: tuple[float, float] | None = None
    log_cost: bool = True
    finished: tuple[int, ...] = ()
    predictions: tuple[Prediction, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return asdict(self)


def facts_of(study: optuna.Study, storage: str) -> StudyFacts:
    """What a study keeps beside its records.

    Args:
        study: One of ours.
        storage: Its address.
    """
    config = study_config(study)
    trials = study.get_trials(deepcopy=False)
    attributes = [trial.user_attrs for trial in trials]
    workers = [each["worker"] for each in attributes if "worker" in each]
    outcomes = [each.get("outcome", {}) for each in attributes]
    speeds = sorted(o["images_per_second"] for o in outcomes if "precision" in o)
    formats = Counter(o["precision"] for o in outcomes if "precision" in o)
    return StudyFacts(
        name=study.study_name,
        storage=without_password(storage),
        toml=toml_of(config),
        seed=config.search.seed,
        config_digest=study.user_attrs.get("config_digest", ""),
        screens=tuple(each["screen"] for each in attributes if "screen" in each),
        processes=len({(w["host"], w["pid"], w["born"]) for w in workers}),
        machines=len({worker["host"] for worker in workers}),
        precisions=tuple(formats.most_common()),
        speed=speeds[len(speeds) // 2] if speeds else None,
        objectives=config.search.objectives,
        reference=config.search.reference,
        log_cost=config.search.log_cost,
        finished=_finished(trials),
        predictions=_predictions(trials),
    )


def best_part(records: Sequence[TrialRecord]) -> Part | None:
    """The most accurate architectures with drawings, None where there is none."""
    done = [row for row in records if row.state == "complete" and row.accuracy]
    best = sorted(done, key=lambda row: (-(row.accuracy or 0.0), row.number))[:BEST]
    if not best:
        return None
    table = Table(
        f"The best {len(best)} of {len(done):,} complete trials",
        ("trial", "validation accuracy", *SHOWN),
        tuple(_best_row(row) for row in best),
        "Chosen by the validation accuracy, which is therefore too high for them:"
        " judge them by test images.",
    )
    drawn = tuple(_picture(row) for row in best if row.architecture)
    return Part(Section("Best architectures", tables=(table,)), pictures=drawn)


def fate_part(
    records: Sequence[TrialRecord], screens: Sequence[Mapping[str, Any]]
) -> Part:
    """What was drawn, dropped, pruned and failed, and why."""
    tables = [_states(records)]
    cut = [row for row in records if row.state != "complete"]
    if cut:
        tables.append(_reasons(cut))
    diverged = [row for row in records if row.accuracies and row.diverged_replicates]
    if diverged:
        tables.append(_diverged(diverged))
    if screens:
        tables = [_dropped(screens), _origins(screens), *tables]
    title = "What was pruned or failed, and why"
    if screens:
        title = "What was drawn, dropped and pruned, and why"
    return Part(Section(title, tables=tuple(tables)))


def compute_part(records: Sequence[TrialRecord], facts: StudyFacts | None) -> Part:
    """Time, trials, processes and software of the trainings."""
    seconds = sum(row.seconds for row in records)
    pairs = [
        ("trainings", _trainings(records)),
        ("time of all trials", duration(seconds)),
    ]
    for state in STATES:
        spent = [row.seconds for row in records if row.state == state]
        pairs += [(f"of it {state}", duration(sum(spent)))] if spent else []
    if facts is not None:
        pairs += _workers(facts)
    software = Counter(row.versions for row in records if row.versions)
    pairs += [
        ("software", f"{name} ({count:,} trials)")
        for name, count in sorted(software.items())
    ]
    return Part(Section("Compute used", pairs=tuple(pairs)))


def repeat_pairs(facts: StudyFacts) -> tuple[tuple[str, str], ...]:
    """Seed, digests and storage of a study."""
    return (
        ("study", facts.name),
        ("storage", facts.storage),
        ("seed", str(facts.seed)),
        ("configuration", f"sha256 {facts.config_digest}"),
    )


def study_listings(facts: StudyFacts) -> tuple[Listing, Listing]:
    """The command that makes the study again, and the file that it reads."""
    file = shlex.quote(f"{facts.name}.toml")
    command = f"nasdepth search {file} --storage {shlex.quote(facts.storage)}"
    return (
        Listing("The study, from the file below", command),
        Listing("The study's file, with every default written out", facts.toml),
    )


def without_password(url: str) -> str:
    """An address in which stars stand for the password.

    >>> without_password("mysql://me:secret@host/db")
    'mysql://me:***@host/db'
    """
    return re.sub(r"(://[^/:@\s]*):[^/\s]*@", r"\1:***@", url)


def duration(seconds: float) -> str:
    """A time span as a person reads it.

    >>> duration(7.25), duration(4000)
    ('7.2 s', '1 h 7 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"


def toml_of(config: StudyConfig) -> str:
    """A study's configuration as a TOML file that reads back as the same."""
    return "\n".join(_toml(json.loads(config.to_json()), ())).strip()


def _finished(trials: Sequence[FrozenTrial]) -> tuple[int, ...]:
    """Numbers of the complete and pruned trials, as they finished."""
    dated = [
        (trial.datetime_complete, trial.number)
        for trial in trials
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        and trial.datetime_complete is not None
    ]
    return tuple(number for _, number in sorted(dated))


def _predictions(trials: Sequence[FrozenTrial]) -> tuple[Prediction, ...]:
    """What the guide expected of the trials that ran to their end."""
    found = (
        prediction(trial.number, trial.user_attrs.get(ATTRIBUTE), trial.value)
        for trial in trials
        if trial.state == TrialState.COMPLETE
    )
    return tuple(each for each in found if each is not None)


def _toml(values: Mapping[str, Any], place: tuple[str, ...]) -> Iterable[str]:
    """Lines of a table: its values, then the tables in it; None is left out."""
    own = {k: v for k, v in values.items() if v is not None and not _is_table(v)}
    if place and (own or not values):
        yield ""
        yield f"[{'.'.join(map(_key, place))}]"
    yield from (f"{_key(name)} = {_toml_value(value)}" for name, value in own.items())
    for name, value in values.items():
        if _is_table(value):
            yield from _toml(value, (*place, name))


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _toml_value(name)


def _toml_value(value: object) -> str:
    """A scalar or a list; TOML writes them as JSON does, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _best_row(row: TrialRecord) -> tuple[str, ...]:
    values = (quantity(row.measures.get(name)) for name in SHOWN.values())
    return (f"{row.number} ({row.arm})", accuracy_text(row, ".2%"), *values)


def _picture(row: TrialRecord) -> Picture:
    architecture = Architecture.from_json(row.architecture)
    words = shorthand(architecture)
    return Picture(
        f"Trial {row.number}, {accuracy_text(row, '.2%')}",
        f"Layers from image to classes: {words}. Below, the law of its path lengths.",
        architecture_svg(architecture, title=f"trial {row.number}"),
    )


def _trainings(records: Sequence[TrialRecord]) -> str:
    """Trainings and their epochs, a diverged replicate's counted as if it had ended."""
    trainings = sum(row.replicates for row in records)
    epochs = sum(row.replicates * len(row.curve) for row in records)
    short = any(row.accuracies and row.diverged_replicates for row in records)
    most = "at most " if short else ""
    trials = f" in {len(records):,} trials" if trainings > len(records) else ""
    return f"{trainings:,}{trials}, {most}{epochs:,} epochs"


def _states(records: Sequence[TrialRecord]) -> Table:
    """Trials by arm and state."""
    rows = []
    for arm in ARMS:
        states = Counter(row.state for row in records if row.arm == arm)
        counts = (f"{states[state]:,}" for state in STATES)
        rows.append((f"{arm} arm", *counts, f"{sum(states.values()):,}"))
    return Table("Trials", ("arm", *STATES, "all"), tuple(rows))


def _reasons(cut: Sequence[TrialRecord]) -> Table:
    """Why trials are not complete, with their numbers."""
    groups: dict[tuple[str, str], list[int]] = {}
    for row in cut:
        reason = row.reason or f"{row.state}, no reason recorded"
        groups.setdefault((reason, row.arm), []).append(row.number)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    rows = tuple(
        (reason, arm, f"{len(numbers):,}", _numbers(numbers))
        for (reason, arm), numbers in ordered
    )
    return Table("Why trials ended early", ("reason", "arm", "trials", "numbers"), rows)


def _diverged(rows: Sequence[TrialRecord]) -> Table:
    """Trials of which some replicates diverged, the others' mean being their value."""
    cells = tuple(
        (str(row.number), str(row.diverged_replicates), str(row.replicates))
        for row in rows
    )
    head = ("trial", "diverged", "of replicates")
    return Table("Replicates that diverged", head, cells)


def _numbers(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers[:_NAMED]))
    return named if len(numbers) <= _NAMED else f"{named}, …"


def _dropped(screens: Sequence[Mapping[str, Any]]) -> Table:
    """Draws of all screens and why they were dropped."""
    drawn = sum(screen["drawn"] for screen in screens)
    reasons: Counter[str] = Counter()
    for screen in screens:
        reasons.update(screen["dropped"])
    counts = [("drawn", drawn)]
    counts += [(f"dropped: {name}", count) for name, count in reasons.most_common()]
    counts.append(("scored", sum(screen["pool"] for screen in screens)))
    counts.append(("chosen and trained", len(screens)))
    rows = tuple((name, f"{n:,}", f"{n / max(drawn, 1):.1%}") for name, n in counts)
    return Table(
        "Screened without training, search arm",
        ("candidates", "number", "of those drawn"),
        rows,
        "A draw over several budgets is counted under each.",
    )


def _origins(screens: Sequence[Mapping[str, Any]]) -> Table:
    """Who proposed the candidates that were chosen."""
    origins = Counter(screen["origin"] for screen in screens)
    words = {
        "sampler": "the sampler's proposal",
        "random": "a random draw",
        "neighbour": "a neighbour of one of the best",
    }
    rows = tuple((words.get(name, name), str(n)) for name, n in origins.most_common())
    return Table("Where the chosen candidates came from", ("origin", "trials"), rows)


def _workers(facts: StudyFacts) -> list[tuple[str, str]]:
    pairs = [("worker processes", str(facts.processes))]
    pairs.append(("machines", str(facts.machines)))
    if facts.speed is not None:
        pairs.append(("speed", f"{facts.speed:,.0f} images/s in training (median)"))
    if facts.precisions:
        told = ", ".join(f"{name} ({n:,} trials)" for name, n in facts.precisions)
        pairs.append(("precision", told))
    return pairs
