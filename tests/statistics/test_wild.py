"""The wild bootstrap against the plain formula, and its jackknife against refits."""

from dataclasses import dataclass

import numpy as np
import pytest

from nasdepth.statistics import wild
from nasdepth.statistics.linear import Codes, Vector, basis, group_codes, residual
from nasdepth.statistics.wild import Design, WildBootstrap

DRAWS = 60


@dataclass(frozen=True)
class Case:
    """Unit residuals of response and predictor, with their covariates and groups."""

    y: Vector
    x: Vector
    span: Vector
    codes: Codes
    count: int

    def design(self) -> Design:
        return Design(self.x, self.span, self.codes, self.count)

    def bootstrap(self, seed: int = 5, draws: int = DRAWS) -> WildBootstrap:
        generator = np.random.default_rng(seed)
        return WildBootstrap(self.y, self.design(), generator, draws)


def case(n: int, labels: list[int] | None = None, *, outlier: float = 0.0) -> Case:
    """A case of three covariates; an outlier has a leverage near 1."""
    draw = np.random.default_rng(n)
    z = draw.standard_normal((3, n))
    z[0, 0] += outlier
    span = basis(z, n)
    y, x = (residual(draw.standard_normal(n), span)[0] for _ in range(2))
    codes, count = group_codes(labels, n)
    return Case(y / np.linalg.norm(y), x / np.linalg.norm(x), span, codes, count)


CASES = {
    "rows": case(300),
    "few rows": case(9),
    "a row of leverage .999": case(60, outlier=200.0),
    "pairs": case(80, [i // 2 for i in range(80)]),
    "unequal groups": case(60, [min(i * i // 60, 30) for i in range(60)]),
    "few groups": case(45, [i % 9 for i in range(45)]),
    "a group of leverage .999": case(60, [i // 3 for i in range(60)], outlier=200.0),
}
every_case = pytest.mark.parametrize("given", CASES.values(), ids=CASES.keys())


def plain_moments(given: Case, seed: int) -> Vector:
    """The five numbers of each draw, group by group as the formulas stand."""
    full = np.column_stack([given.span, given.x])
    hat, restricted = full @ full.T, given.span @ given.span.T
    members = [np.flatnonzero(given.codes == code) for code in range(given.count)]
    scale = np.zeros((len(given.y), len(given.y)))
    jackknife = np.zeros((given.count, len(given.y)))
    for code, rows in enumerate(members):
        block, eye = np.ix_(rows, rows), np.eye(len(rows))
        scale[block] = np.linalg.inv(eye - restricted[block])
        jackknife[code, rows] = given.x[rows] @ np.linalg.inv(eye - hat[block])
    draw = np.random.default_rng(seed)
    signs = draw.integers(0, 2, (DRAWS, given.count)) * 2.0 - 1
    found = []
    for sign in signs[:, given.codes]:
        of_y, of_x = sign * (scale @ given.y), sign * (scale @ given.x)
        left_y, left_x = (
            jackknife @ (values - hat @ values) for values in (of_y, of_x)
        )
        moments = (left_y @ left_y, left_y @ left_x, left_x @ left_x)
        found.append((of_y @ given.x, of_x @ given.x, *moments))
    return np.array(found).T


@every_case
def test_moments_are_those_of_the_plain_formula(given: Case) -> None:
    found = given.bootstrap(seed=3)

    expected = plain_moments(given, seed=3)
    for name, values in zip("acpqr", expected, strict=True):
        spread = float(np.max(np.abs(values)))
        assert getattr(found, name) == pytest.approx(values, rel=0, abs=1e-10 * spread)


@every_case
def test_standard_error_is_that_of_leaving_each_group_out(given: Case) -> None:
    found = given.bootstrap()

    full = np.column_stack([given.span, given.x])
    left_out = [
        np.linalg.lstsq(full[given.codes != code], given.y[given.codes != code])[0][-1]
        for code in range(given.count)
    ]
    distances = np.array(left_out) - found.slope
    assert found.error == pytest.approx(float(np.linalg.norm(distances)))


@pytest.mark.parametrize("given", [CASES["rows"], CASES["pairs"]])
def test_blocks_of_draws_change_nothing(
    given: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = given.bootstrap()

    monkeypatch.setattr(wild, "BLOCK", 7 * given.count)

    assert given.bootstrap().p == pytest.approx(whole.p)


def test_only_groups_of_high_leverage_are_heavy() -> None:
    assert CASES["rows"].design().heavy.tolist() == []
    assert CASES["a row of leverage .999"].design().heavy.tolist() == [0]
    assert CASES["a group of leverage .999"].design().heavy.tolist() == [0]


def test_signs_that_are_all_alike_are_a_tie_that_counts() -> None:
    # no covariate: every leverage is 1/n, and these signs give the data again
    draw = np.random.default_rng(2)
    y, x = (residual(draw.standard_normal(6), basis([], 6))[0] for _ in range(2))
    codes, count = group_codes(None, 6)
    given = Case(
        y / np.linalg.norm(y), x / np.linalg.norm(x), basis([], 6), codes, count
    )
    signs = np.random.default_rng(5).integers(0, 2, (600, 6))
    alike = int(np.sum(np.ptp(signs, axis=1) == 0))

    found = given.bootstrap(draws=600)

    beyond = [found.p_values(np.array([b]))[0] for b in np.linspace(-50, 50, 41)]
    assert alike > 0
    assert min(beyond) >= (1 + alike) / 601


def test_group_that_alone_decides_a_coefficient_has_no_jackknife() -> None:
    labels = [i // 3 for i in range(30)]
    z = np.random.default_rng(1).standard_normal(30)
    span = basis([np.equal(labels, 4) * 1.0], 30)
    x, _ = residual(z, span)

    found = Design(x / np.linalg.norm(x), span, *group_codes(labels, 30))

    assert found.problem == "one group alone decides a coefficient (leverage 1)"
