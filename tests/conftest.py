"""What all tests share: golden files, hypothesis profiles, parts that must be real."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# set before torch is imported: on a shared machine threads that wait for each other
# made the tests of the network package ten times slower
os.environ.setdefault("OMP_NUM_THREADS", "1")
#: invented studies and tables, as fixtures
pytest_plugins = ("inventions",)
GOLDEN = Path(__file__).parent / "golden"
CI = os.environ.get("CI") == "true"

# no deadline: the machine may be shared; slow drawing is no reason to fail either
settings.register_profile(
    "local",
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
# a change is not blamed for an example that chance found: that is for local runs
settings.register_profile(
    "ci", settings.get_profile("local"), derandomize=True, max_examples=100
)
settings.load_profile("ci" if CI else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--overwrite-golden",
        action="store_true",
        help="write the golden texts anew instead of comparing with them",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Comparison of a text with the golden file of that name."""

    def check(name: str, text: str) -> None:
        if request.config.getoption("--overwrite-golden"):
            (GOLDEN / name).write_text(text, encoding="utf-8")
        assert text == (GOLDEN / name).read_text(encoding="utf-8")

    return check


@pytest.fixture
def require() -> Callable[[bool, str], None]:
    """Demand for a real part: skips where it is missing, fails in CI (CI=true)."""

    def check(condition: bool, how: str) -> None:
        if condition:
            return
        if CI:
            pytest.fail(f"CI must not skip this: {how}")
        pytest.skip(how)

    return check


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a CUDA device where there is none: nothing can be installed."""
    if any(item.get_closest_marker("gpu") for item in items):
        import torch

        if not torch.cuda.is_available():
            skip = pytest.mark.skip(reason="needs a CUDA device")
            for item in items:
                if item.get_closest_marker("gpu"):
                    item.add_marker(skip)
