"""Stages and blocks are read from any network's names."""

from nasdepth.pictures.stages import Drawn, Row, rows


def chain(*layers: tuple[str, int]) -> dict[int, Drawn]:
    """Layers one after the other, by scope and side of their maps (0: no map)."""
    return {
        i: Drawn(scope, "conv", (i - 1,), (side, side) if side else ())
        for i, (scope, side) in enumerate(layers, start=1)
    }


def shown(found: tuple[Row, ...]) -> list[tuple[str, list[int]]]:
    """Names of the stages, and how long their blocks are."""
    return [(row.name, [len(unit.nodes) for unit in row.units]) for row in found]


def block(scope: str, side: int) -> list[tuple[str, int]]:
    return [(f"{scope}.conv1", side), (f"{scope}.conv2", side)]


HEAD = [("avgpool", 1), ("fc", 0)]


def test_stages_of_blocks_stay_as_they_are_named() -> None:
    layers = [
        ("conv1", 112),
        ("maxpool", 56),
        *block("layer1.0", 56),
        *block("layer1.1", 56),
        *block("layer2.0", 28),
        *block("layer2.1", 28),
        *HEAD,
    ]

    assert shown(rows(chain(*layers))) == [
        ("conv1 – maxpool", [1, 1]),
        ("layer1", [2, 2]),
        ("layer2", [2, 2]),
        ("avgpool – fc", [1, 1]),
    ]


def test_scope_that_holds_nearly_everything_is_opened() -> None:
    inner = [*block("layer1.0", 56), *block("layer1.1", 56), *block("layer2.0", 28)]
    inner += block("layer2.1", 28)
    plain = chain(*inner, ("fc", 0))
    wrapped = chain(*[(f"net.model.{scope}", side) for scope, side in inner], ("fc", 0))

    assert shown(rows(wrapped)) == [
        (f"net.model.{name}" if name != "fc" else name, blocks)
        for name, blocks in shown(rows(plain))
    ]


def test_flat_list_of_blocks_falls_into_stages_of_one_map_size() -> None:
    layers = [("features.0", 112)]
    for number, side in enumerate([112, 56, 56, 28, 28, 28], start=1):
        layers += block(f"features.{number}", side)

    assert shown(rows(chain(*layers, ("classifier.1", 0)))) == [
        ("features.0 – 1", [1, 2]),
        ("features.2 – 3", [2, 2]),
        ("features.4 – 6", [2, 2, 2]),
        ("classifier", [1]),
    ]


def test_long_list_of_layers_falls_into_stages_of_one_map_size() -> None:
    layers = [(f"features.{i}", 32 // 2 ** (i // 4)) for i in range(12)]

    assert shown(rows(chain(*layers))) == [
        ("features.0 – 3", [1, 1, 1, 1]),
        ("features.4 – 7", [1, 1, 1, 1]),
        ("features.8 – 11", [1, 1, 1, 1]),
    ]


def test_all_blocks_of_one_size_are_called_by_what_holds_them() -> None:
    layers = [("conv_proj", 14)]
    for number in range(4):
        layers += block(f"encoder.layers.layer_{number}", 0)

    names = [row.name for row in rows(chain(*layers, ("head", 0)))]

    assert names == ["conv_proj", "encoder.layers", "head"]


def test_transition_stands_before_the_stage_it_leads_to() -> None:
    layers = [
        *block("dense1.layer1", 56),
        *block("dense1.layer2", 56),
        *[("transition1.conv", 56), ("transition1.pool", 28)],
        *block("dense2.layer1", 28),
        *block("dense2.layer2", 28),
        ("dense2.cat", 28),
    ]

    assert shown(rows(chain(*layers))) == [
        ("dense1", [2, 2]),
        ("transition1 – dense2", [2, 2, 2, 1]),
    ]


def test_parallel_branches_are_one_block() -> None:
    drawn = {0: Drawn("first.conv", "conv", (), (8, 8))}
    for number in range(1, 4):
        for place in (1, 2):
            source = 0 if place == 1 else 2 * number - 1
            scope = f"mixed.branch{number}.conv{place}"
            drawn[2 * number + place - 2] = Drawn(scope, "conv", (source,), (4, 4))
    drawn[7] = Drawn("mixed.cat", "concat", (2, 4, 6), (4, 4))
    drawn[8] = Drawn("second.conv", "conv", (7,), (2, 2))
    drawn[9] = Drawn("third.conv", "conv", (8,), (1, 1))
    drawn[10] = Drawn("fourth.conv", "conv", (9,), ())
    drawn[11] = Drawn("fifth.conv", "conv", (10,), (2, 1))

    assert ("mixed", [7]) in shown(rows(drawn))


def test_own_stages_are_not_joined() -> None:
    layers = [("stem.conv1", 8), ("stage1.layer0.conv1", 8), ("stage2.layer0.conv1", 8)]

    assert [row.name for row in rows(chain(*layers))] == ["stem", "stage1", "stage2"]


def test_network_without_names_is_one_stage() -> None:
    assert shown(rows(chain(("", 8), ("", 8)))) == [("network", [2])]


def test_nothing_has_no_stages() -> None:
    assert rows({}) == ()
