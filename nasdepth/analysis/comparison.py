"""What a regression found: frozen values that print as text and turn into JSON."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from nasdepth.analysis.regression import Correlation, Interval, PartialCorrelation
from nasdepth.analysis.sample import Response
from nasdepth.measures.catalogue import label_of

Nominal = Literal["nominal_depth", "weighted_layers"]
Direction = Literal["positive", "negative"]
Verdict = Literal["supported", "contradicted", "undecided", "undecidable"]
Role = Literal["headline", "mirror"]

WIDTH = 88
EFFECTIVE = "effective_depth"


@dataclass(frozen=True, slots=True)
class Preregistration:
    """What a study commits to before its first trial.

    Attributes:
        response: ``log_error`` (sign flipped so that larger is better, clipped at
            half a validation image), ``accuracy`` or ``rank``.
        nominal: Which reading of nominal depth is primary.
        baselines: Measures of size held fixed; their logarithms are taken.
        direction: Expected sign of effective depth's effect.
        smallest_effect: Smallest |partial correlation| of interest.
    """

    response: Response = "log_error"
    nominal: Nominal = "nominal_depth"
    baselines: tuple[str, ...] = ("params", "macs")
    direction: Direction = "positive"
    smallest_effect: float = 0.2

    def __post_init__(self) -> None:
        """Refuses what no test could be made of."""
        choices = {"response": Response, "nominal": Nominal, "direction": Direction}
        for name, kind in choices.items():
            value = getattr(self, name)
            if value not in get_args(kind):
                raise ValueError(
                    f"Preregistration.{name} must be one of"
                    f" {', '.join(get_args(kind))}, but got {value!r}."
                )
        if not 0 < self.smallest_effect < 1:
            raise ValueError(
                "Preregistration.smallest_effect must lie in (0, 1), but got"
                f" {self.smallest_effect}."
            )
        object.__setattr__(self, "baselines", tuple(self.baselines))
        tested = {EFFECTIVE, self.nominal} & set(self.baselines)
        if tested or len(set(self.baselines)) < len(self.baselines):
            raise ValueError(
                "Preregistration.baselines must name each measure once and none of"
                f" the compared depths, but got {', '.join(self.baselines)}."
            )


@dataclass(frozen=True, slots=True)
class Scope:
    """What the data can say, known before any coefficient is looked at.

    Attributes:
        rows: Rows recorded.
        used: Rows in the sample.
        left_out: Reason and number of the rows or architectures left out.
        arms: Arm and number of its rows.
        n: Architectures in the sample (digests): the unit of replication.
        replicated: Architectures with more than one row.
        datasets: Labels of the data sets in the sample.
        accuracy_range: Least and greatest mean accuracy in [0, 1].
        reliability: Share of the response's variance that is no seed noise.
        r_nominal: Pearson's r of nominal and effective depth.
        r_weighted: Pearson's r of weighted layers and effective depth.
        unexplained: Share of effective depth's variance the covariates leave.
        detectable: Smallest |partial r| that n detects with 80 % power.
        needed: Architectures that detect the smallest effect with 80 % power.
    """

    rows: int
    used: int
    left_out: tuple[tuple[str, int], ...]
    arms: tuple[tuple[str, int], ...]
    n: int
    replicated: int
    datasets: tuple[str, ...]
    accuracy_range: Interval | None
    reliability: float | None
    r_nominal: float | None
    r_weighted: float | None
    unexplained: float | None
    detectable: float
    needed: int


@dataclass(frozen=True, slots=True)
class Alone:
    """One measure and the response, nothing held fixed."""

    measure: str
    label: str
    result: Correlation


@dataclass(frozen=True, slots=True)
class Fit:
    """One depth and the response, the other depth and the size held fixed."""

    role: Role
    preregistered: bool
    predictor: str
    covariates: tuple[str, ...]
    result: PartialCorrelation


@dataclass(frozen=True, slots=True)
class Comparison:
    """Effective against nominal depth on one sample; prints as text.

    Attributes:
        claim: The claim in words.
        plan: What was preregistered.
        opening: Whether the data can decide the claim at all, in one sentence.
        data: What the data can say.
        alone: Each measure alone.
        fits: Effective depth given nominal and the mirror, for both readings of
            nominal depth, the preregistered one first.
        verdict: ``undecidable`` where the data cannot say, whatever the response.
        reason: The verdict in one sentence.
        warnings: What a reader has to know before quoting a number.
    """

    claim: str
    plan: Preregistration
    opening: str
    data: Scope
    alone: tuple[Alone, ...]
    fits: tuple[Fit, ...]
    verdict: Verdict
    reason: str
    warnings: tuple[str, ...]

    @property
    def headline(self) -> PartialCorrelation | None:
        """Effective depth given the preregistered nominal depth and size."""
        return self._fit("headline")

    @property
    def mirror(self) -> PartialCorrelation | None:
        """The preregistered nominal depth given effective depth and size."""
        return self._fit("mirror")

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values that `json.dumps` takes."""
        return {"format": 1, **asdict(self)}

    def __str__(self) -> str:
        """Plain text of at most 88 columns, the opening first."""
        parts = [
            _wrap(self.opening),
            _pair("Claim", self.claim) + "\n" + _pair("Verdict", self._verdict()),
            "What the data can say\n" + _scope_text(self.data, self.plan),
        ]
        if self.alone:
            parts.append(_alone_text(self.alone, self.plan))
        if self.fits:
            parts.append(_fits_text(self.fits))
        if self.warnings:
            lines = (_wrap(text, "  - ", "    ") for text in self.warnings)
            parts.append("Warnings\n" + "\n".join(lines))
        return "\n\n".join(parts)

    def _verdict(self) -> str:
        return f"{self.verdict.upper()}: {self.reason}"

    def _fit(self, role: Role) -> PartialCorrelation | None:
        found = (f.result for f in self.fits if f.role == role and f.preregistered)
        return next(found, None)


def interval_text(interval: Interval | None) -> str:
    """An interval of a correlation as text of 16 characters."""
    if interval is None:
        return "none".center(16)
    return f"[{interval[0]:+.3f}, {interval[1]:+.3f}]"


def counts_text(counts: Sequence[tuple[str, int]]) -> str:
    """Counted reasons as text."""
    return ", ".join(f"{number} {reason}" for reason, number in counts)


def _scope_text(data: Scope, plan: Preregistration) -> str:
    """The scope as lines of name and value."""
    left = f"; left out: {counts_text(data.left_out)}" if data.left_out else ""
    effect = f"|partial r| = {plan.smallest_effect:.2f}"
    lines = [
        ("data set", ", ".join(data.datasets) or "none"),
        ("rows", f"{data.rows} recorded, {data.used} in the sample{left}"),
        ("arms", counts_text(data.arms) or "none"),
        ("architectures", f"{data.n}, of which {data.replicated} with several seeds"),
    ]
    if data.accuracy_range:
        low, high = data.accuracy_range
        lines.append(("accuracy", f"{low:.2%} to {high:.2%} (validation)"))
    if data.reliability is not None:
        lines.append(("reliability", f"{data.reliability:.2f} of the response"))
    for name, value in (
        ("r(nominal, eff.)", data.r_nominal),
        ("r(weighted, eff.)", data.r_weighted),
    ):
        if value is not None:
            lines.append((name, f"{value:+.3f}"))
    if data.unexplained is not None:
        text = f"{data.unexplained:.1%} of effective depth's variance, given the rest"
        lines.append(("left to test", text))
    if data.detectable < 1:
        text = f"|partial r| >= {data.detectable:.2f} with 80 % power"
        lines.append(("detectable", text))
    lines.append(("needed", f"{data.needed} architectures for {effect}, 80 % power"))
    return "\n".join(_pair(f"  {name}", text, 21) for name, text in lines)


def _alone_text(alone: Sequence[Alone], plan: Preregistration) -> str:
    """The correlations of each measure alone as a table."""
    lines = [
        f"Each measure alone with {_RESPONSES[plan.response]} (95 % intervals)",
        f"  {'measure':<20}{'n':>4}  {'Pearson r':<27}Spearman",
    ]
    for entry in alone:
        found = entry.result
        start = f"  {_cut(entry.label, 20):<20}{found.n:>4}  "
        if found.pearson is None or found.spearman is None:
            lines.append(_wrap(f"not estimable: {found.problem}", start, " " * 28))
            continue
        lines.append(
            f"{start}{found.pearson:+.3f} {interval_text(found.pearson_interval)}"
            f"    {found.spearman:+.3f} {interval_text(found.spearman_interval)}"
        )
    return "\n".join(lines)


def _fits_text(fits: Sequence[Fit]) -> str:
    """The partial correlations as a table, the preregistered reading first."""
    lines = [
        "Given the others: signed partial correlation (95 % intervals)",
        f"  {'':<43}{'r':<7}{'wild bootstrap-t':<18}check: Fisher z",
    ]
    for preregistered in (True, False):
        lines.append(f"  {_READINGS[preregistered]}")
        for fit in (f for f in fits if f.preregistered == preregistered):
            given = ", ".join(label_of(name) for name in fit.covariates)
            lines.append(_fit_line(fit))
            lines.append(_wrap(given, "      given ", " " * 12))
    return "\n".join(lines)


def _fit_line(fit: Fit) -> str:
    """One partial correlation as a line of the table."""
    found = fit.result
    start = f"    {label_of(fit.predictor):<41}"
    if found.value is None:
        start = f"    {label_of(fit.predictor)}  "
        return _wrap(f"not estimable: {found.problem}", start, " " * 6)
    return (
        f"{start}{found.value:+.3f} {interval_text(found.interval)}"
        f"  {interval_text(found.fisher)}"
    )


def _pair(name: str, text: str, column: int = 9) -> str:
    """A name and its text, wrapped beside the name."""
    return _wrap(text, name.ljust(column), " " * column)


def _wrap(text: str, first: str = "", later: str = "") -> str:
    """Text wrapped at the width of the page."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_on_hyphens=False,
    )


def _cut(text: str, width: int) -> str:
    """Text of at most the width, an ellipsis where it was cut."""
    return text if len(text) < width else text[: width - 4] + "..."


_RESPONSES = {
    "log_error": "minus log error",
    "accuracy": "accuracy",
    "rank": "the rank of accuracy",
}
_READINGS = {
    True: "preregistered reading of nominal depth",
    False: "other reading, exploratory",
}
