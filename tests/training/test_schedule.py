"""Facts about the learning-rate schedules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasdepth.training.schedule import rate_factor, stable_steps

KINDS = ("wsd", "one-cycle", "cosine", "constant")

runs = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS),
        "steps": st.integers(1, 500),
        "warmup": st.floats(0, 0.9),
        "decay": st.floats(0, 1),
    }
)


def factors(
    kind: str, steps: int, warmup: float = 0.0, decay: float = 0.0
) -> list[float]:
    return [
        rate_factor(kind, step, steps, warmup=warmup, decay=decay)
        for step in range(steps)
    ]


@given(runs)
def test_factor_is_above_zero_and_at_most_one(run):
    assert all(0 < factor <= 1 for factor in factors(**run))


@given(runs)
def test_rate_rises_then_falls_and_never_rises_again(run):
    values = factors(**run)

    peak = values.index(max(values))

    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)


@given(runs)
def test_factor_at_the_end_is_zero_where_the_schedule_decays(run):
    end = rate_factor(
        run["kind"],
        run["steps"],
        run["steps"],
        warmup=run["warmup"],
        decay=run["decay"],
    )

    decays = run["kind"] in ("one-cycle", "cosine") or (
        run["kind"] == "wsd" and run["decay"] > 0
    )
    assert end == pytest.approx(0 if decays else 1)


@given(st.integers(1, 500), st.floats(0.01, 1))
def test_wsd_falls_only_after_its_stable_steps(steps, decay):
    stable = stable_steps(steps, decay)

    values = factors("wsd", steps, decay=decay)

    assert all(value == pytest.approx(1) for value in values[:stable])
    assert all(value < 1 for value in values[stable + 1 :])


def test_wsd_decays_linearly():
    assert factors("wsd", 10, decay=0.4)[6:] == pytest.approx([1, 0.75, 0.5, 0.25])


def test_warmup_is_a_linear_ramp_to_one():
    assert factors("constant", 10, warmup=0.4)[:5] == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1]
    )


def test_cosine_is_half_way_down_in_the_middle():
    assert factors("cosine", 10)[5] == pytest.approx(0.5)


def test_one_cycle_peaks_at_the_end_of_the_ramp():
    values = factors("one-cycle", 100, warmup=0.3)

    assert values.index(max(values)) == 29


def test_schedule_depends_on_the_share_done_alone():
    short = rate_factor("wsd", 9, 10, warmup=0.1, decay=0.5)
    long = rate_factor("wsd", 900, 1000, warmup=0.1, decay=0.5)

    assert short == pytest.approx(long)
