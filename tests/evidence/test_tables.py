"""Published tables by name."""

import pytest

from nasdepth.evidence import tables as module
from nasdepth.evidence.nasbench201_cells import DATA_SETS
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.tables import TABLES, table


def test_the_tables_are_these() -> None:
    assert list(TABLES) == [
        "nasbench201:cifar10",
        "nasbench201:cifar100",
        "nasbench201:imagenet16-120",
        "torchvision:imagenet",
    ]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("nasbench201:cifar1O", "nasbench201:cifar10"),
        ("nasbench201", "nasbench201:cifar10"),
        ("torchvision", "torchvision:imagenet"),
    ],
)
def test_an_unknown_table_is_told_the_nearest(name: str, nearest: str) -> None:
    message = rf"^Unknown table '{name}'; choose from: .*\. Did you mean '{nearest}'\?$"

    with pytest.raises(ValueError, match=message):
        table(name)


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_name_leads_to_its_data_set(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "nasbench201", lambda each: Evidence(each, ()))

    assert table(f"nasbench201:{name}").name == name
