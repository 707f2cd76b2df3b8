"""The engine's benchmark: sides that are fair, rows that run, a file that lasts."""

import sys
from collections import Counter
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch.nn.functional import pad

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(FOLDER))  # last: its coverage.py is not the package of that name

import engine as script  # noqa: E402  # found by the line above
import engine_airbench as airbench  # noqa: E402
import engine_bare as bare  # noqa: E402
import engine_loops as loops  # noqa: E402
import engine_networks as networks  # noqa: E402
import engine_packed as packed  # noqa: E402
import engine_pairs as pairs  # noqa: E402
import engine_report as page  # noqa: E402
import engine_rows as rows  # noqa: E402
import engine_studies as studies  # noqa: E402
import engine_textbook as textbook  # noqa: E402

from nasdepth.training.loop import fit  # noqa: E402
from nasdepth.training.recipe import TrainingConfig  # noqa: E402

RESULT = rows.Result(
    row="bare-tiny",
    command="engine.py --rows bare-tiny --pairs 3",
    n=3,
    middle=0.96,
    low=0.9,
    high=1.0,
    seconds=2.5,
    hardware="a processor",
    torch="2.15",
    threads=1,
    load=0.25,
    digest="abc",
    note='with "quotes", and a comma',
    values=(0.9, 0.96, 1.0),
)


@pytest.fixture(scope="module")
def digits():
    return networks.some_images("tiny")


@pytest.fixture(scope="module")
def mirrored(digits):
    """Digits that are augmented in every way."""
    return replace(digits, augmentation=replace(digits.augmentation, flip=True))


def _normalised(data):
    mean = torch.tensor(data.mean).view(1, -1, 1, 1)
    std = torch.tensor(data.std).view(1, -1, 1, 1)
    return (data.train_images / 255 - mean) / std


def _quick(tmp_path, names, *options):
    output = tmp_path / "engine.csv"
    arguments = ["--rows", names, "--pairs", "1", "--quick", "-o", str(output)]
    done = CliRunner().invoke(script.main, [*arguments, *options])
    assert done.exit_code == 0, done.output
    return done.output, rows.read(output)


def test_sides_are_measured_in_alternating_order_after_a_warm_up():
    called: list[str] = []

    found = pairs.in_turn(
        lambda: called.append("a") or len(called),
        lambda: called.append("b") or len(called),
        2,
    )

    assert "".join(called) == "abbaab"
    assert found == [(4, 3), (5, 6)]


def test_an_interval_brackets_the_median_and_not_the_extremes():
    values = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 70.0)

    low, high = pairs.interval(values)

    assert 1.0 < low < 4.0 < high < 70.0


def test_an_interval_of_the_mean_follows_an_outlier():
    values = (0.0,) * 20 + (100.0,)

    assert pairs.interval(values)[1] == 0.0
    assert pairs.interval(values, mean=True)[1] > 5.0


def test_no_pairs_are_refused():
    with pytest.raises(ValueError, match="--pairs must be at least 1, but got 0"):
        pairs.Settings(pairs=0)


def test_a_crop_of_the_bare_loop_is_the_image_moved_and_mirrored(mirrored):
    data = bare.resident(mirrored, "cpu", augment=True)
    images, shift = _normalised(mirrored), mirrored.augmentation.shift
    wide = pad(images, (shift,) * 4, mode="reflect")

    found = data.crops.permute(0, 1, 2, 3, 6, 4, 5)

    assert torch.equal(found[:, 0, shift, shift], images)
    assert torch.equal(found[:, 1, shift, shift], images.flip(3))
    assert torch.equal(found[:, 0, 2 * shift, 0], wide[..., 2 * shift :, :8])


def test_the_bare_loop_shows_every_image_at_most_once_an_epoch(digits):
    data = bare.resident(digits, "cpu", augment=False)
    numbered = replace(data, labels=torch.arange(len(data.labels)))

    seen = [label for _, part in bare.batches(numbered, 128, 10) for label in part]

    assert len(Counter(map(int, seen))) == 10 * 128


def test_the_bare_loop_learns_what_the_engine_learns(digits):
    torch.manual_seed(0)
    images = bare.resident(digits, "cpu", augment=True)
    config = TrainingConfig(epochs=12, schedule="one-cycle", precision="fp32")
    ours = fit(networks.network("tiny"), digits, config, seed=0, device="cpu")

    *_, (accuracy, loss) = bare.train(networks.network("tiny"), images, 12)

    # over 12 seeds the losses differed by 0.045 at most, accuracies by 0.063
    assert loss == pytest.approx(ours.curve[-1].loss, abs=0.1)
    assert accuracy == pytest.approx(ours.accuracy, abs=0.12)


def test_pictures_of_the_textbook_are_the_images_of_the_bare_loop(digits):
    seen = textbook.Pictures(digits, augment=False)

    assert torch.allclose(seen[5][0], _normalised(digits)[5], atol=1e-6)
    assert seen[5][1] == digits.train_labels[5]


def test_the_textbook_crops_and_mirrors_as_the_engine_does(mirrored):
    seen = textbook.Pictures(mirrored)
    crops = bare.resident(
        replace(mirrored, train_images=mirrored.train_images[:1]), "cpu", augment=True
    ).crops[0, :, :, :, 1:-1, 1:-1]
    inside = seen[0][0][0, 1:-1, 1:-1]  # borders are padded, not reflected

    assert any(
        torch.allclose(inside, crop[..., 0], atol=1e-5) for crop in crops.flatten(0, 2)
    )


def test_a_network_is_taken_by_one_process_alone(tmp_path):
    file = tmp_path / "0"

    assert [textbook.taken(file), textbook.taken(file)] == [True, False]


def test_networks_of_the_textbook_row_are_distinct_and_always_the_same():
    first, again = textbook.networks(True), textbook.networks(True)

    assert first == again
    assert len(set(first)) == len(first)


def test_a_part_of_a_name_asks_for_all_rows_that_have_it():
    asked = rows.chosen("bare,workers")

    assert [row.name for row in asked] == [
        "bare-tiny",
        "bare-plain",
        "bare-residual",
        "bare-dense",
        "workers",
    ]


def test_long_rows_run_only_where_they_are_asked_for():
    assert "accuracy" not in [row.name for row in rows.chosen("")]
    assert [row.name for row in rows.chosen("accuracy")] == ["accuracy"]


def test_an_unknown_row_is_refused():
    with pytest.raises(ValueError, match="got 'bear'; choose from: bare-tiny"):
        rows.chosen("bear")


@pytest.mark.parametrize(
    ("goal", "middle", "met"),
    [
        (">= 0.97", 0.97, True),
        (">= 0.97", 0.96, False),
        ("<= 5", 5.1, False),
        ("<= 5", -3.0, True),
        ("+- 0.3", -0.2, True),
        ("+- 0.3", -0.4, False),
    ],
)
def test_a_goal_is_met_on_its_side(goal, middle, met):
    row = replace(rows.ROWS[0], goal=goal)

    assert rows.meets(row, replace(RESULT, middle=middle)) == met


def test_results_are_read_as_they_were_written(tmp_path):
    other = replace(RESULT, row="workers", note="")

    rows.write(tmp_path / "engine.csv", [other, RESULT])

    assert rows.read(tmp_path / "engine.csv") == [RESULT, other]


@pytest.mark.parametrize("row", rows.ROWS, ids=lambda row: row.name)
def test_the_function_of_a_row_exists(row):
    module, _, name = row.function.partition(":")
    if module == "engine_frameworks":
        text = (FOLDER / f"{module}.py").read_text("utf-8")
        assert f"def {name}(settings: Settings" in text
        return

    assert callable(getattr(import_module(module), name))


def test_the_page_says_which_goals_are_missed_and_what_is_missing():
    text = page.report([replace(RESULT, middle=0.9)])

    assert "| 0.900 [0.900, 1.000] | 3 | ≥ 0.95 | **no** |" in text
    assert "Not measured here: bare-plain" in text


def test_a_row_is_kept_and_not_run_again_unless_told(tmp_path):
    _quick(tmp_path, "bare-tiny")
    first = rows.read(tmp_path / "engine.csv")

    held, same = _quick(tmp_path, "bare-tiny")
    told, anew = _quick(tmp_path, "bare-tiny", "--again")

    assert held == "bare-tiny: held\n"
    assert same == first
    assert told.startswith("bare-tiny: ")
    assert anew[0].values != first[0].values
    assert "| bare-tiny |" in (tmp_path / "engine.md").read_text("utf-8")


def test_a_quick_row_does_not_stand_for_a_whole_one(tmp_path):
    _quick(tmp_path, "bare-tiny")

    output, _ = _quick(tmp_path, "bare-tiny", "--pairs", "2")

    assert output != "bare-tiny: held\n"


def test_a_quick_run_does_not_write_the_figures_that_are_told_of():
    done = CliRunner().invoke(script.main, ["--rows", "bare-tiny", "--quick"])

    assert done.exit_code == 2
    assert "--quick must not write engine.csv" in done.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_rows_on_cuda_are_left_out_without_a_device(tmp_path):
    output, found = _quick(tmp_path, "cuda-tiny")

    assert output == "cuda-tiny: no CUDA device\n"
    assert found == []


@pytest.mark.parametrize(
    "name",
    [
        "bare-plain",
        "rungs-tiny",
        "probe-plain",
        "augment",
        "augment-share",
        "checkpoint-tiny",
        "population-tiny",
    ],
)
def test_a_row_runs_on_the_digits(tmp_path, name):
    _, found = _quick(tmp_path, name)

    assert [(each.row, each.n) for each in found] == [(name, 1)]


def test_gaps_add_up_from_their_parts():
    found = studies.gap(pairs.Settings(pairs=1, quick=True), "random")

    assert len(found.values) == 2
    assert all(value > 0 for value in found.values)
    assert all(f"{part} " in found.note for part in studies.PARTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loader-tiny", "lightning-tiny", "skorch-tiny"])
def test_a_row_beside_a_framework_runs(tmp_path, require, name):
    for package in ("lightning", "skorch"):
        require(find_spec(package) is not None, "pip install nasdepth[bench]")

    _, found = _quick(tmp_path, name)

    assert found[0].n == 1


def test_both_sides_of_the_textbook_row_run(tmp_path):
    torch.set_num_threads(1)
    textbook.run_textbook(quick=True)
    textbook.run_engine(tmp_path, quick=True)

    assert sorted(file.name for file in tmp_path.iterdir()) == ["0", "1"]


@pytest.mark.slow
def test_a_side_of_the_textbook_row_runs_in_processes_of_its_own(tmp_path):
    took = textbook.seconds("engine", 1, tmp_path, True)

    assert took > 0
    assert {"0", "1"} <= {file.name for file in tmp_path.iterdir()}


@pytest.mark.slow
def test_a_side_that_fails_is_told(tmp_path):
    with pytest.raises(RuntimeError, match=r"'none' must end with 0, but ended \[2\]"):
        textbook.seconds("none", 1, tmp_path, True)


@pytest.mark.parametrize("row", [loops.graphs, airbench.airbench])
def test_a_row_for_a_gpu_runs_on_the_processor_too(row):
    found = row(pairs.Settings(pairs=1, quick=True), "cpu")

    assert found.values[0] > 0


@pytest.mark.slow
def test_the_row_of_a_full_gpu_runs_on_the_processor_too():
    found = packed.packed(pairs.Settings(pairs=1, quick=True), "cpu")

    assert found.values[0] > 0
    assert " workers; " in found.note


def test_the_network_of_airbench_has_its_size():
    whole = sum(p.numel() for p in airbench.network().parameters())

    assert whole == 1_972_792  # 1.97 M are told of


def test_the_bare_script_of_airbench_crops_every_image_once():
    images = networks.noise((3, 8, 8), 64)
    recipe = replace(airbench.RECIPE, batch_size=16)
    pixels = airbench._normalised(images, images.train_images, torch.float)
    wide = pad(pixels, (2,) * 4, "reflect")
    crops = wide.unfold(2, 8, 1).unfold(3, 8, 1)  # image, channel, down, right

    batches = list(airbench._epoch(wide, torch.arange(64), recipe, mirrored=True))

    assert sorted(int(i) for _, part in batches for i in part) == list(range(64))
    for seen, part in batches:
        for image, index in zip(seen.flip(-1), part, strict=True):
            at = crops[index].permute(1, 2, 0, 3, 4).flatten(0, 1)
            assert (at == image).flatten(1).all(1).any()


@pytest.mark.slow
def test_the_row_of_several_workers_runs(tmp_path):
    _, found = _quick(tmp_path, "workers")

    assert found[0].n == 1
