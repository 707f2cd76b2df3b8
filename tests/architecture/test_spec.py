"""Architectures as values: what may be combined, JSON both ways, and every message."""

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from strategies import architectures, stages

from nasdepth.architecture.families import NETWORKS, family
from nasdepth.architecture.spec import (
    FAMILIES,
    NORMS,
    Architecture,
    Head,
    InvalidArchitecture,
    Stage,
    Stem,
)

TINY = Architecture((Stage(width=8),))


# --- values


def test_architectures_are_values() -> None:
    assert len({TINY, Architecture((Stage(width=8),)), replace(TINY, seed=1)}) == 2
    with pytest.raises(AttributeError, match="cannot assign to field"):
        TINY.seed = 1


@given(stages())
def test_a_stage_knows_its_row_of_the_table(stage: Stage) -> None:
    row = FAMILIES[stage.family]

    assert stage.block in row.blocks
    assert stage.skip == row.skip


@pytest.mark.parametrize(
    ("stage", "family"),
    [
        (Stage(), "plain"),
        (Stage(skip="add", span=2), "residual"),
        (Stage("bottleneck", skip="add"), "residual"),
        (Stage("inverted", skip="add"), "residual"),
        (Stage(skip="add"), "parallel"),
        (Stage("inception", branches=2), "inception"),
        (Stage(skip="concat", links="all"), "dense"),
        (Stage(skip="concat"), "cell"),
        (Stage("linear", skip="concat", links=3), "cell"),
    ],
)
def test_families_of_stages(stage: Stage, family: str) -> None:
    assert stage.family == family


@pytest.mark.parametrize(
    ("stage", "expansion"),
    [
        (Stage(), 1),
        (Stage("bottleneck", skip="add"), 0.25),
        (Stage("inverted", skip="add"), 6),
        (Stage("bottleneck", skip="concat", links="all"), 4),
        (Stage("bottleneck", skip="concat", links=1), 4),
        (Stage("bottleneck", skip="add", expansion=2), 2),
    ],
)
def test_expansion_defaults_to_the_blocks_own(stage: Stage, expansion: float) -> None:
    assert stage.middle == expansion
    assert isinstance(stage.middle, float)


@pytest.mark.parametrize("norm", NORMS)
def test_bias_stands_in_for_a_missing_norm(norm: str) -> None:
    styles = [replace(TINY, norm=norm, bias=b).style for b in (None, True, False)]

    assert [style.bias for style in styles] == [norm == "none", True, False]


# --- JSON


@given(architectures())
def test_json_round_trip_is_the_identity(architecture: Architecture) -> None:
    text = architecture.to_json()

    again = Architecture.from_json(text)

    assert again == architecture
    assert hash(again) == hash(architecture)
    assert again.to_json() == text


@pytest.mark.parametrize("name", NETWORKS)
def test_json_round_trip_of_families(name: str) -> None:
    architecture = family(name)

    assert Architecture.from_json(architecture.to_json()) == architecture


def test_json_of_the_smallest_architecture() -> None:
    assert TINY.to_json() == '{"format":1,"stages":[{"width":8}]}'


def test_json_leaves_defaults_out_but_none() -> None:
    text = replace(TINY, stem=Stem(8), head=Head(hidden=(4,)), bias=True).to_json()

    assert json.loads(text) == {
        "format": 1,
        "stages": [{"width": 8}],
        "stem": {"width": 8},
        "head": {"hidden": [4]},
        "bias": True,
    }


@pytest.mark.parametrize("name", ["resnet50", "cifar_resnet20", "vgg16", "nn_mass_cnn"])
def test_typical_json_has_about_350_bytes(name: str) -> None:
    assert 150 < len(family(name).to_json()) < 550


def test_every_field_survives_json() -> None:
    stage = Stage(
        "inception",
        2,
        12,
        branches=2,
        kernel=5,
        stride=2,
        expansion=2.5,
        pool=3,
        branch_widths=((4,), (2, 8)),
    )
    stem = Stem(8, 7, 2, 0, 3)
    head = Head(2, (4, 5), 6, 2, 0.5)
    full = Architecture((stage,), stem, head, "elu", "group", False, (1, 64, 64), 7, 9)

    again = Architecture.from_json(full.to_json())

    for part, default in ((full, TINY), (stem, Stem()), (head, Head())):
        names = [each.name for each in fields(part)]
        assert all(getattr(part, name) != getattr(default, name) for name in names)
    assert again == full


# --- messages: values

STAGES = [
    ({"depth": 0}, r"Stage\.depth must be a positive integer, but got depth=0\."),
    ({"depth": "3"}, r"depth must be a positive integer, but got depth='3'\."),
    ({"depth": True}, r"depth must be a positive integer, but got depth=True\."),
    ({"depth": 3.0}, r"depth must be a positive integer, but got depth=3\.0\."),
    ({"depth": float("nan")}, r"must be a positive integer, but got depth=nan\."),
    ({"depth": None}, r"must be a positive integer, but got depth=None\."),
    ({"depth": 10**9}, r"Stage\.depth must be at most 100000, but got depth=10{9}\."),
    ({"width": -8}, r"Stage\.width must be a positive integer, but got width=-8\."),
    ({"width": 10**400}, r"Stage\.width must be at most \d+, but got width=10{400}\."),
    ({"branches": 0}, r"branches must be a positive integer, but got branches=0\."),
    ({"span": 0}, r"Stage\.span must be a positive integer, but got span=0\."),
    ({"kernel": 2.0}, r"Stage\.kernel must be a positive integer, but got kernel=2"),
    ({"kernel": 4}, r"Stage\.kernel must be odd, but got kernel=4\."),
    ({"groups": 0}, r"Stage\.groups must be a positive integer, but got groups=0\."),
    ({"groups": 3}, r"Stage\.groups must be a divisor of 16, but got groups=3\."),
    ({"stride": 3}, r"Stage\.stride must be one of 1, 2, but got stride=3\."),
    ({"stride": True}, r"Stage\.stride must be one of 1, 2, but got stride=True\."),
    ({"stride": 2.0}, r"Stage\.stride must be one of 1, 2, but got stride=2\.0\."),
    ({"pool": 4}, r"Stage\.pool must be one of 0, 2, 3, but got pool=4\."),
    ({"pool": False}, r"Stage\.pool must be one of 0, 2, 3, but got pool=False\."),
    ({"expansion": -1}, r"expansion must be a number in \[0, 1000\).* expansion=-1\."),
    ({"expansion": "2"}, r"expansion must be a number .* but got expansion='2'\."),
    ({"expansion": True}, r"expansion must be a number .* but got expansion=True\."),
    ({"expansion": float("nan")}, r"expansion must be .* but got expansion=nan\."),
    ({"expansion": float("inf")}, r"expansion must be .* but got expansion=inf\."),
    ({"skip": "sum"}, r"skip must be one of none, add, concat, but got skip='sum'\."),
    (
        {"block": "conf"},
        r"^Unknown plain block 'conf'; choose from: conv\. Did you mean 'conv'\?$",
    ),
    (
        {"block": "botleneck", "skip": "add"},
        r"^Unknown residual block 'botleneck'; choose from: bottleneck, conv, "
        r"inverted\. Did you mean 'bottleneck'\?$",
    ),
    ({"block": "inverted"}, r"^Unknown plain block 'inverted'; choose from: conv\.$"),
    (
        {"block": "depthwise", "skip": "concat", "links": "all"},
        r"^Unknown dense block 'depthwise'; choose from: bottleneck, conv\.$",
    ),
    ({"branches": 2}, r"branches must be 1 in plain stages, but got branches=2\."),
    (
        {"branches": 5, "depth": 4, "skip": "add"},
        r"branches must be 1 to 4 in parallel stages, but got branches=5\.",
    ),
    (
        {"block": "inception", "branches": 5, "width": 64},
        r"branches must be 2 to 4 in inception stages, but got branches=5\.",
    ),
    (
        {"block": "inception"},
        r"branches must be 2 to 4 in inception stages, but got branches=1\.",
    ),
    ({"span": 2}, r"Stage\.span must be one of 1, but got span=2\."),
    ({"span": 3, "skip": "add"}, r"Stage\.span must be one of 2, but got span=3\."),
    (
        {"block": "bottleneck", "span": 3, "skip": "add"},
        r"Stage\.span must be one of 2, 1, but got span=3\.",
    ),
    ({"links": 3}, r"Stage\.links must be 0 in plain stages, but got links=3\."),
    ({"links": "all"}, r"links must be 0 in plain stages, but got links='all'\."),
    (
        {"links": "some", "skip": "concat"},
        r"links must be 'all' or a number of channels >= 0, but got links='some'\.",
    ),
    (
        {"links": -1, "skip": "concat"},
        r"links must be 'all' or a number of channels >= 0, but got links=-1\.",
    ),
    (
        {"links": True, "skip": "concat"},
        r"links must be 'all' or a number of channels >= 0, but got links=True\.",
    ),
    (
        {"block": "bottleneck", "skip": "add", "groups": 8},
        r"Stage\.groups must be a divisor of 4, but got groups=8\.",
    ),
    (
        {"block": "inception", "branches": 3, "width": 8},
        r"Stage\.width must be at least 4 a branch \(12\), but got width=8\.",
    ),
    (
        {"branch_widths": ((16,),)},
        r"positive widths for each of 1 Inception branches, but got branch_widths=",
    ),
    (
        {"block": "inception", "branches": 2, "branch_widths": ((16,),)},
        r"branch_widths must be positive widths for each of 2 Inception branches, ",
    ),
    (
        {"block": "inception", "branches": 2, "branch_widths": ((8,), (0, 8))},
        r"branch_widths must be positive widths .* branch_widths=\(\(8,\), \(0, 8\)\)",
    ),
    (
        {"block": "inception", "branches": 2, "branch_widths": ((8,), ())},
        r"branch_widths must be positive widths .* branch_widths=\(\(8,\), \(\)\)",
    ),
    (
        {"block": "inception", "branches": 2, "branch_widths": (8, 8)},
        r"branch_widths must be positive widths .* branch_widths=\(8, 8\)",
    ),
    (
        {"block": "inception", "branches": 2, "branch_widths": 8},
        r"branch_widths must be positive widths .* branch_widths=8",
    ),
    (
        {"block": "inception", "branches": 2, "branch_widths": ((8,), (2, 9))},
        r"width must be the sum of the branches' last widths, but got width=16\.",
    ),
]


@pytest.mark.parametrize(("values", "message"), STAGES, ids=lambda x: str(x)[:50])
def test_rules_of_stages(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        Stage(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 0}, r"Stem\.width must be a positive integer, but got width=0\."),
        ({"kernel": 0}, r"Stem\.kernel must be a positive integer, but got kernel=0\."),
        ({"stride": 1.0}, r"Stem\.stride must be a positive integer, but got stride=1"),
        ({"padding": -2}, r"Stem\.padding must be -1 or more, but got padding=-2\."),
        ({"padding": "1"}, r"Stem\.padding must be -1 or more, but got padding='1'\."),
        ({"pool": -1}, r"Stem\.pool must be 0 or more, but got pool=-1\."),
    ],
)
def test_rules_of_stems(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        Stem(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"grid": 0}, r"Head\.grid must be a positive integer, but got grid=0\."),
        ({"features": -1}, r"Head\.features must be 0 or more, but got features=-1\."),
        ({"pool": True}, r"Head\.pool must be 0 or more, but got pool=True\."),
        ({"hidden": (8, 0)}, r"hidden must be positive widths, but got .*\(8, 0\)\."),
        ({"hidden": 8}, r"Head\.hidden must be positive widths, but got hidden=8\."),
        ({"hidden": [8]}, r"hidden must be positive widths, but got hidden=\[8\]\."),
        ({"dropout": 1}, r"Head\.dropout must be in \[0, 1\), but got dropout=1\."),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\), but got dropout=-0\.1\."),
        ({"dropout": "0"}, r"dropout must be in \[0, 1\), but got dropout='0'\."),
        ({"dropout": False}, r"must be in \[0, 1\), but got dropout=False\."),
        ({"dropout": float("nan")}, r"must be in \[0, 1\), but got dropout=nan\."),
    ],
)
def test_rules_of_heads(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        Head(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stages": ()}, r"Architecture\.stages must hold at least one stage\."),
        (
            {"activation": "reluu"},
            r"Architecture\.activation must be one of relu, relu6, gelu, silu, elu, "
            r"tanh, but got activation='reluu'\.",
        ),
        (
            {"norm": "layer"},
            r"Architecture\.norm must be one of batch, group, none, but got norm='lay",
        ),
        ({"bias": 1}, r"bias must be one of None, True, False, but got bias=1\."),
        (
            {"input_shape": (3, 32)},
            r"input_shape must be \(channels, height, width\), each positive, but got "
            r"input_shape=\(3, 32\)\.",
        ),
        ({"input_shape": (3, 0, 32)}, r"each positive, but got .*=\(3, 0, 32\)\."),
        ({"input_shape": 32}, r"each positive, but got input_shape=32\."),
        ({"num_classes": 0}, r"num_classes must be a positive integer, but got num_c"),
        ({"seed": -1}, r"Architecture\.seed must be 0 or more, but got seed=-1\."),
        ({"seed": 0.5}, r"Architecture\.seed must be 0 or more, but got seed=0\.5\."),
    ],
)
def test_rules_of_architectures(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        replace(TINY, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"stages": (Stage("linear", skip="concat"), Stage())},
        {"stem": Stem()},
        {"head": Head(features=4)},
    ],
)
def test_a_linear_cell_is_a_whole_network(values: dict[str, object]) -> None:
    cell = Stage("linear", skip="concat")

    with pytest.raises(InvalidArchitecture, match="A linear cell is a whole network"):
        Architecture(**{"stages": (cell,), **values})


# --- messages: JSON


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"^An architecture is a JSON object: Expecting value: .*\.$"),
        ("{", r"^An architecture is a JSON object: Expecting property name .*\.$"),
        ("[" * 10**5, r"^An architecture is a JSON object: .*recursion"),
        ("9" * 5000, r"^An architecture is a JSON object: "),
        ("[]", r'is a JSON object with "format" and "stages"\.$'),
        ("3", r'is a JSON object with "format" and "stages"\.$'),
        ("null", r'is a JSON object with "format" and "stages"\.$'),
        ("{}", r'is a JSON object with "format" and "stages"\.$'),
        ('{"stages":[{}]}', r'is a JSON object with "format" and "stages"\.$'),
        (
            '{"format":2,"stages":[{}]}',
            r"format must be 1 \(newer files need a newer nasdepth\), but got format=2",
        ),
        ('{"format":"1","stages":[{}]}', r"format must be 1 .* but got format='1'\."),
        ('{"format":true,"stages":[{}]}', r"format must be 1 .* but got format=True"),
        ('{"format":1.0,"stages":[{}]}', r"format must be 1 .* but got format=1\.0\."),
        ('{"format":1}', r"^Architecture\.stages must be a list of stages\.$"),
        ('{"format":1,"stages":{}}', r"^Architecture\.stages must be a list of stages"),
        ('{"format":1,"stages":"ab"}', r"^Architecture\.stages must be a list of stag"),
        (
            '{"format":1,"stages":[]}',
            r"must hold at least one stage \(in architecture\)\.$",
        ),
        (
            '{"format":1,"stages":[{},3]}',
            r"^stages\[1\] must be an object, but got 3\.$",
        ),
        (
            '{"format":1,"stages":[{}],"stem":7}',
            r"^stem must be an object, but got 7\.$",
        ),
        (
            '{"format":1,"stages":[{}],"head":[]}',
            r"^head must be an object, but got \[\]\.$",
        ),
        (
            '{"format":1,"stages":[{"dept":3}]}',
            r"^Unknown key 'dept'; choose from: .* Did you mean 'depth'\? "
            r"\(in stages\[0\]\)$",
        ),
        (
            '{"format":1,"stages":[{}],"clases":3}',
            r"^Unknown key 'clases'; choose from: .* \(in architecture\)$",
        ),
        (
            '{"format":1,"stages":[{}],"stem":{"widht":3}}',
            r"Did you mean 'width'\? \(in stem\)$",
        ),
        (
            '{"format":1,"stages":[{},{"depth":"3"}]}',
            r"^Stage\.depth must be a positive integer, but got depth='3' "
            r"\(in stages\[1\]\)\.$",
        ),
        ('{"format":1,"stages":[{"depth":true}]}', r"but got depth=True \(in stages"),
        ('{"format":1,"stages":[{"depth":3.0}]}', r"but got depth=3\.0 \(in stages"),
        ('{"format":1,"stages":[{"depth":NaN}]}', r"but got depth=nan \(in stages"),
        ('{"format":1,"stages":[{"depth":1e99}]}', r"but got depth=1e\+99 \(in stages"),
        (
            '{"format":1,"stages":[{"depth":1000000}]}',
            r"^Stage\.depth must be at most 100000, but got depth=1000000 ",
        ),
        ('{"format":1,"stages":[{"expansion":NaN}]}', r"but got expansion=nan \(in"),
        ('{"format":1,"stages":[{"block":["conv"]}]}', r"^Unknown plain block \('conv"),
        ('{"format":1,"stages":[{"block":{"a":1}}]}', r"\(in stages\[0\]\)\.$"),
        ('{"format":1,"stages":[{"stride":true}]}', r"but got stride=True \(in stages"),
        (
            '{"format":1,"stages":[{}],"head":{"hidden":3}}',
            r"^Head\.hidden must be positive widths, but got hidden=3 \(in head\)\.$",
        ),
        (
            '{"format":1,"stages":[{}],"input_shape":32}',
            r"but got input_shape=32 \(in architecture\)\.$",
        ),
        (
            '{"format":1,"stages":[{}],"norm":"layer"}',
            r"but got norm='layer' \(in architecture\)\.$",
        ),
    ],
    ids=lambda x: x[:45],
)
def test_broken_and_foreign_json(text: str, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        Architecture.from_json(text)
