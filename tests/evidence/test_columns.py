"""Any CSV with a response is evidence; what cannot be read is named, never dropped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nasdepth.architecture.canonical import digest
from nasdepth.architecture.families import family
from nasdepth.architecture.graph import Graph
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import Shape
from nasdepth.evidence.columns import evidence_of_csv
from nasdepth.evidence.delimited import read_delimited
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.records import TrialRecord, write_csv
from nasdepth.evidence.units import by_digest

Csv = Callable[[str], Path]


@pytest.fixture
def csv(tmp_path: Path) -> Csv:
    def make(text: str) -> Path:
        path = tmp_path / "mine.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def some_network(name: str, shape: Shape | None) -> Graph:
    if name != "torchvision:resnet18":
        raise ValueError(f"Unknown network {name!r}")
    return lower(family("resnet18"))


def any_network(name: str, shape: Shape | None) -> Graph:
    return lower(family("resnet18"))


# --- the text


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_delimiter_is_found(csv: Csv, mark: str) -> None:
    path = csv(f"accuracy{mark}params\n0.5{mark}10\n0.75{mark}20\n")

    found = evidence_of_csv(path)

    assert found.name == "mine.csv"
    assert [row.measures["params"] for row in found.observations] == [10, 20]


def test_a_byte_order_mark_and_quotes_are_no_part_of_a_name(csv: Csv) -> None:
    path = csv('\ufeff"accuracy","params, all"\n"0.5","10"\n"0.75","20"\n')

    found = evidence_of_csv(path, columns={"params": "params, all"})

    assert [row.measures["params"] for row in found.observations] == [10, 20]


def test_semicolons_go_with_decimal_commas(csv: Csv) -> None:
    found = evidence_of_csv(csv("accuracy;params\n0,5;10,5\n0.75;20\n"))

    assert [row.outcomes["accuracy"] for row in found.observations] == [(0.5,), (0.75,)]
    assert [row.measures["params"] for row in found.observations] == [10.5, 20]


def test_empty_lines_are_no_rows(csv: Csv) -> None:
    table = read_delimited(csv("\naccuracy,params\n\n0.5,1\n,\n0.6,2\n"))

    assert [(row.number, row.cells["params"]) for row in table.rows] == [
        (1, "1"),
        (2, "2"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a CSV file, but it is empty"),
        (b"\n\n", "must be a CSV file, but it is empty"),
        (b"accuracy,params\n", "must have rows below its header, but got none"),
        (b"PK\x03\x04\0\0", "is not a CSV file: it holds binary data"),
        (b"accuracy,\xff\n1,2\n", "is not a CSV file: not UTF-8 text"),
        (b'accuracy,x\n0.5,"1\n', "is not a CSV file: "),
        (b"x" * 200_000, "is not a CSV file: field larger"),
        (
            b"# Title\nSome prose.\n",
            "must have a header of several columns, but got one",
        ),
        (b"accuracy,x,x\n0.5,1,2\n", "names a column twice: 'x'"),
    ],
)
def test_what_is_no_csv_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=message) as error:
        evidence_of_csv(path)

    text = str(error.value)
    assert text.startswith(str(path))
    assert "\n" not in text


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.csv cannot be read: No such file"):
        evidence_of_csv(tmp_path / "none.csv")


# --- the response


@pytest.mark.parametrize("name", ["accuracy", "Acc", "top1", "acc@1", "VAL_ACC"])
def test_an_accuracy_is_known_by_its_name(csv: Csv, name: str) -> None:
    found = evidence_of_csv(csv(f"{name},params\n0.5,1\n0.6,2\n"))

    assert [row.outcomes for row in found.observations] == [
        {"accuracy": (0.5,)},
        {"accuracy": (0.6,)},
    ]
    assert found.plan.response == "log_error"
    assert found.caveats == (f"Column {name!r} was read as the accuracy, a fraction.",)


def test_accuracies_above_1_are_percent(csv: Csv) -> None:
    found = evidence_of_csv(csv("acc,params\n0.9,1\n91.5,2\n100,3\n"))

    accuracies = [row.outcomes["accuracy"][0] for row in found.observations]
    assert accuracies == pytest.approx([0.009, 0.915, 1])
    assert "percent" in found.caveats[0]


def test_fractions_among_percentages_are_warned_of(csv: Csv) -> None:
    mixed = evidence_of_csv(csv("acc,params\n0.9,1\n91.5,2\n0,3\n"))
    clean = evidence_of_csv(csv("acc,params\n90,1\n91.5,2\n0,3\n"))

    assert mixed.caveats[1].startswith("1 of these percentages are at most 1")
    assert len(clean.caveats) == 1


@pytest.mark.parametrize("role", ["family", "digest"])
def test_the_response_is_no_role_too(csv: Csv, role: str) -> None:
    path = csv("accuracy,params\n0.5,1\n0.6,2\n")

    with pytest.raises(ValueError, match=f"accuracy is the response and .* the {role}"):
        evidence_of_csv(path, columns={role: "accuracy"})


@pytest.mark.parametrize(("low", "high"), [("-0.1", "0.5"), ("50", "101")])
def test_an_accuracy_outside_its_range_is_refused(
    csv: Csv, low: str, high: str
) -> None:
    path = csv(f"acc,params\n{low},1\n{high},2\n")

    with pytest.raises(ValueError, match=r"row [12]: acc must lie in \[0, 1\], or in"):
        evidence_of_csv(path)


def test_another_response_is_taken_as_it_is(csv: Csv) -> None:
    found = evidence_of_csv(csv("speed,params\n200,1\n-3,2\n"), response="speed")

    assert found.plan.response == "speed"
    assert [row.outcomes["speed"] for row in found.observations] == [(200,), (-3,)]
    assert "speed" not in found.observations[0].measures
    assert found.caveats == (
        "Column 'speed' is explained as it is: larger counts as better.",
    )


@pytest.mark.parametrize(
    ("response", "planned"),
    [("", "log_error"), ("accuracy", "log_error"), ("rank", "rank")],
)
def test_accuracy_is_tested_as_log_error_unless_told(
    csv: Csv, response: str, planned: str
) -> None:
    found = evidence_of_csv(csv("accuracy,x\n0.5,1\n0.6,2\n"), response=response)

    assert found.plan.response == planned
    assert found.observations[0].outcomes == {"accuracy": (0.5,)}


def test_a_named_accuracy_wins_over_the_others(csv: Csv) -> None:
    path = csv("val_acc,top1,params\n0.5,0.4,1\n0.6,0.5,2\n")

    found = evidence_of_csv(path, response="top1")

    assert found.observations[0].outcomes == {"accuracy": (0.4,)}
    # the other one is no predictor
    assert found.observations[0].measures == {"params": 1}
    assert "Columns that were not read: 'val_acc'." in found.caveats


def test_outcomes_of_a_training_are_no_measures(csv: Csv) -> None:
    path = csv("accuracy,validation_loss,diverged\n0.5,1.5,0\n0.6,1.2,1\n")

    found = evidence_of_csv(path, response="validation_loss")

    assert found.plan.response == "validation_loss"
    assert found.observations[1].measures == {}
    assert found.observations[1].outcomes["validation_loss"] == (1.2,)


@pytest.mark.parametrize(
    ("text", "response", "message"),
    [
        ("a,b\n1,2\n3,4\n", "", r"must have a response; name one of its columns: a, b"),
        ("a,b\n1,2\n3,4\n", "c", r"Unknown column 'c'; choose from: a, b"),
        ("speed,b\n1,2\n3,4\n", "sped", r"Did you mean 'speed'\?"),
        ("a,b\n1,2\n3,4\n", "train_loss", "Unknown column 'train_loss'"),
        ("a,b\n1,2\n3,4\n", "rank", "must have a response"),
        ("top1,val_acc\n1,2\n", "", "several columns are accuracies: top1, val_acc"),
        ("acc,b\n0.5,2\n0.5,4\n", "", "accuracy must differ between rows, but is 0.5"),
        ("acc,b\nx,2\n,4\n", "", "accuracy must be a number in one row or more"),
        ("params,b\n1,2\n3,4\n", "params", "must be what a training gave, but params"),
    ],
)
def test_a_response_that_is_none_is_refused(
    csv: Csv, text: str, response: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        evidence_of_csv(csv(text), response=response)

    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rows", ["0.5,1\n", "0.5,1\n0.6,2\n"])
def test_a_table_of_few_rows_is_no_error(csv: Csv, rows: str) -> None:
    found = evidence_of_csv(csv(f"accuracy,params\n{rows}"))

    assert len(found.observations) == rows.count("\n")


# --- measures and other columns


def test_columns_are_mapped_to_measures(csv: Csv) -> None:
    path = csv("acc,deff,size,my_measure\n0.5,3,100,7\n0.6,4,200,8\n")

    found = evidence_of_csv(path, columns={"effective_depth": "deff", "params": "size"})

    assert found.observations[0].measures == {
        "effective_depth": 3,
        "params": 100,
        "my_measure": 7,
    }


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"effective_depht": "deff"}, "Unknown name of a column.*'effective_depth'"),
        ({"effective_depth": "def"}, "Unknown column 'def'.*Did you mean 'deff'"),
        ({"params": "deff"}, "params must be one column, but both 'params' and 'deff'"),
        (
            {"effective_depth": "deff", "macs": "deff"},
            "mapped to one name, but 'deff' is mapped to effective_depth, macs",
        ),
    ],
)
def test_a_wrong_mapping_is_refused(
    csv: Csv, columns: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        evidence_of_csv(csv("acc,deff,params\n0.5,1,2\n0.6,2,3\n"), columns=columns)

    assert "\n" not in str(error.value)


def test_a_mapped_column_is_not_read_under_its_own_name_too(csv: Csv) -> None:
    path = csv("acc,params\n0.5,1\n0.6,2\n")

    found = evidence_of_csv(path, columns={"macs": "params"})

    assert found.observations[0].measures == {"macs": 1}


def test_two_names_may_be_exchanged(csv: Csv) -> None:
    path = csv("acc,params,macs\n0.5,1,2\n0.6,2,3\n")

    found = evidence_of_csv(path, columns={"params": "macs", "macs": "params"})

    assert found.observations[0].measures == {"params": 2, "macs": 1}


def test_gaps_are_undefined_and_rubbish_leaves_its_row_out(csv: Csv) -> None:
    text = (
        "acc,params,macs\n0.5,1,NA\n0.6,,2\n"
        "x,3,3\n0.7,many,4\n0.8,nan,4\n0.9,5,inf\n1\n"
    )

    found = evidence_of_csv(csv(text))

    assert [row.place for row in found.observations] == ["row 1", "row 2"]
    assert [row.measures for row in found.observations] == [
        {"params": 1, "macs": None},
        {"params": None, "macs": 2},
    ]
    assert found.left_out == (
        ("acc is no number (row 3)", 1),
        ("params is no number (rows 4, 5)", 2),
        ("macs is no number (row 6)", 1),
        ("not 3 cells (row 7)", 1),
    )


def test_of_many_rows_left_out_the_first_are_named(csv: Csv) -> None:
    rows = "0.5,1\n0.6,2\n" + "0.7,x\n" * 7

    found = evidence_of_csv(csv(f"acc,params\n{rows}"))

    assert found.left_out == (("params is no number (rows 3, 4, 5, 6, 7, …)", 7),)


def test_a_row_without_a_response_is_kept_with_its_state(csv: Csv) -> None:
    path = csv(
        "acc,params,state,reason,arm\n0.5,1,complete,,unselected\n"
        ",2,failed,out of memory,unselected\n0.6,3,COMPLETE,,search\n0.7,4,,,sampled\n"
    )

    found = evidence_of_csv(path)

    assert [(row.state, row.arm) for row in found.observations] == [
        ("complete", "unselected"),
        ("failed", "unselected"),
        ("complete", "search"),
    ]
    assert found.observations[1].outcomes == {}
    assert found.observations[1].reason == "out of memory"
    assert found.left_out == (("arm is none of unselected, search (row 4)", 1),)


def test_roles_are_no_measures(csv: Csv) -> None:
    path = csv(
        "id,acc,params,seed,images,dataset,kind,digest\n"
        "1,0.5,1,7,10000,digits,vgg,aa\n2,0.6,2,8,1e4,digits,resnet,bb\n"
        "3,0.7,2,8,few,digits,resnet,bb\n"
    )

    found = evidence_of_csv(path, family="kind")

    first = found.observations[0]
    assert first.measures == {"params": 1}
    assert (first.family, first.images, first.dataset, first.digest) == (
        "vgg",
        10_000,
        "digits",
        "aa",
    )
    assert found.observations[1].images == 10_000
    assert found.left_out == (("images is no whole number (row 3)", 1),)


def test_columns_that_were_not_read_are_named(csv: Csv) -> None:
    found = evidence_of_csv(csv("acc,params,note,half\n0.5,1,a,1\n0.6,2,b,x\n"))

    assert found.observations[0].measures == {"params": 1}
    assert found.caveats[1] == "Columns that were not read: 'note', 'half'."


def test_a_factor_is_levels_and_a_column_of_numbers_a_measure(csv: Csv) -> None:
    path = csv("acc,params,recipe,width\n0.5,1,a,8\n0.6,2,b,9\n")

    found = evidence_of_csv(path, factors=("recipe", "width"))

    assert found.observations[1].factors == {"recipe": "b"}
    assert found.observations[1].measures == {"params": 2, "width": 9}
    assert found.plan.covariates == ("recipe", "width")


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        ("recpie", "Unknown column 'recpie'.*Did you mean 'recipe'"),
        ("acc", "acc is the response and cannot be held fixed"),
    ],
)
def test_a_factor_that_is_none_is_refused(csv: Csv, factor: str, message: str) -> None:
    path = csv("acc,params,recipe\n0.5,1,a\n0.6,2,b\n")

    with pytest.raises(ValueError, match=message):
        evidence_of_csv(path, factors=(factor,))


@pytest.mark.parametrize(
    ("header", "nominal", "baselines"),
    [
        ("nominal_depth,params,macs", "nominal_depth", ("params", "macs")),
        ("weighted_layers,params,x", "weighted_layers", ("params",)),
        ("x,longest_path,macs", "longest_path", ("macs",)),
        ("x,y,z", "nominal_depth", ()),
    ],
)
def test_the_default_plan_has_the_measures_that_are_there(
    csv: Csv, header: str, nominal: str, baselines: tuple[str, ...]
) -> None:
    found = evidence_of_csv(csv(f"accuracy,{header}\n0.5,1,2,3\n0.6,2,3,4\n"))

    assert (found.plan.nominal, found.plan.baselines) == (nominal, baselines)
    assert found.registered == ""


def test_a_given_plan_is_kept(csv: Csv) -> None:
    plan = Preregistration(smallest_effect=0.3)

    found = evidence_of_csv(csv("accuracy,params\n0.5,1\n0.6,2\n"), plan=plan)

    assert found.plan == plan


# --- networks


def test_networks_are_measured_and_their_rows_averaged(csv: Csv) -> None:
    tiny = family("cifar_resnet20").to_json().replace('"', '""')
    path = csv(
        "network,accuracy,seed\nresnet18,0.70,1\nresnet18,0.72,2\n"
        f'"{tiny}",0.9,1\ncifar_resnet20,0.8,1\n'
    )

    found = evidence_of_csv(path)
    units = by_digest(found.observations, ["params", "effective_depth"]).units

    assert [len(unit.places) for unit in units] == [2, 2]
    assert units[0].digest == digest(lower(family("resnet18")))
    assert units[0].measures["effective_depth"] == 10
    assert units[0].outcome("accuracy") == pytest.approx(0.71)


def test_measures_of_the_file_stand_before_ours(csv: Csv) -> None:
    path = csv("network,accuracy,params\nresnet18,0.7,5\nresnet34,0.8,6\n")

    found = evidence_of_csv(path)

    assert [row.measures["params"] for row in found.observations] == [5, 6]
    assert [row.measures["nominal_depth"] for row in found.observations] == [18, 34]


def test_an_unknown_network_is_left_out_and_named(csv: Csv) -> None:
    path = csv(
        "network,accuracy\nresnet18,0.7\nresnet5O,0.8\n{},0.9\nos:system,0.5\n"
        "/etc/x.json,0.6\n"
    )

    found = evidence_of_csv(path, graph_of=any_network)

    assert len(found.observations) == 1
    assert [text for text, _ in found.left_out] == [
        "'resnet5O' is no network that is known here (row 2)",
        "'{}' is no network that is known here (row 3)",
        "'os:system' is no network that is known here (row 4)",
        "'/etc/x.json' is no network that is known here (row 5)",
    ]


def test_an_unknown_network_with_measures_is_kept_under_its_name(csv: Csv) -> None:
    path = csv("network,accuracy,params\nmine,0.7,5\nmine,0.8,5\n")

    found = evidence_of_csv(path)

    assert {row.digest for row in found.observations} == {"mine"}


def test_foreign_networks_are_measured_where_that_is_offered(csv: Csv) -> None:
    path = csv("network,accuracy\ntorchvision:resnet18,0.7\nresnet34,0.8\n")

    without = evidence_of_csv(path)
    found = evidence_of_csv(path, graph_of=some_network)

    assert [n for _, n in without.left_out] == [1]
    assert found.left_out == ()
    assert found.observations[0].measures["effective_depth"] == 10


# --- our own records


def test_our_own_records_are_read_as_such(tmp_path: Path, record: TrialRecord) -> None:
    path = tmp_path / "records.csv"
    rows = [
        replace(record, number=n, accuracy=a, measures={"params": 5.0 + n})
        for n, a in enumerate((0.5, 0.7))
    ]
    write_csv([replace(row, architecture="") for row in rows], path)

    found = evidence_of_csv(path, response="accuracy")

    assert [row.place for row in found.observations] == ["trial 0", "trial 1"]
    assert found.observations[0].digest == record.digest
    assert found.plan.response == "log_error"
    assert evidence_of_csv(path, response="rank").plan.response == "rank"


def test_our_own_columns_need_no_names(tmp_path: Path, record: TrialRecord) -> None:
    path = tmp_path / "records.csv"
    write_csv([record], path)

    with pytest.raises(ValueError, match="holds records of nasdepth, whose columns"):
        evidence_of_csv(path, columns={"params": "size"})
