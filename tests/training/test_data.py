"""Facts about data sets: configuration, split, normalisation, registry."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nasdepth.training.augment import Augmentation
from nasdepth.training.data import (
    DATASETS,
    DataConfig,
    describe_source,
    load,
    load_test,
    split_indices,
)

labellings = st.lists(st.integers(0, 4), min_size=2, max_size=200).map(np.array)
shares = st.floats(0.01, 0.5)


@given(labellings, shares, st.integers(0, 9))
def test_validation_and_training_part_the_images(labels, share, seed):
    config = DataConfig("digits", validation=share, seed=seed)

    held, kept = split_indices(labels, config)

    assert sorted([*held, *kept]) == list(range(len(labels)))
    assert len(held) == max(1, round(share * len(labels)))


@given(labellings, shares)
def test_no_class_is_held_out_whole(labels, share):
    _, kept = split_indices(labels, DataConfig("digits", validation=share))

    if len(kept) >= len(set(labels)):
        assert set(labels[kept]) == set(labels)


@given(labellings, shares, st.integers(0, 9))
def test_split_is_stratified_to_one_image_a_class(labels, share, seed):
    config = DataConfig("digits", validation=share, seed=seed)

    held, _ = split_indices(labels, config)

    total = np.bincount(labels, minlength=5)
    classes = np.count_nonzero(total)
    expected = total * len(held) / len(labels)
    assert (np.abs(np.bincount(labels[held], minlength=5) - expected) <= classes).all()


def test_balanced_classes_split_evenly():
    labels = np.arange(1000) % 10

    held, kept = split_indices(labels, DataConfig("digits", limit=200))

    assert np.bincount(labels[held]).tolist() == [10] * 10
    assert np.bincount(labels[kept]).tolist() == [20] * 10


def test_limit_takes_a_part_of_the_training_images_and_none_of_validation():
    labels = np.arange(500) % 7
    config = DataConfig("digits", seed=3)

    held, kept = split_indices(labels, config)
    same, fewer = split_indices(labels, replace(config, limit=50))

    assert np.array_equal(held, same)
    assert len(fewer) == 50
    assert set(fewer) < set(kept)


def test_limit_of_one_image_a_class_keeps_every_class():
    labels = np.array([0] * 95 + [1] * 3 + [2] * 2)

    _, kept = split_indices(labels, DataConfig("digits", limit=3))

    assert labels[kept].tolist() == [0, 1, 2]


def test_seed_changes_the_split_and_the_same_seed_keeps_it():
    first, again, other = (
        load(DataConfig("digits", seed=seed)).fingerprint for seed in (0, 0, 1)
    )

    assert first == again != other


@pytest.mark.parametrize(
    "change", [{"validation": 0.2}, {"limit": 100}, {"size": 6}, {"upscale": 2}]
)
def test_fingerprint_depends_on_what_is_trained_on(change):
    config = DataConfig("digits")

    assert load(config).fingerprint != load(replace(config, **change)).fingerprint


def test_one_image_cannot_be_split():
    with pytest.raises(ValueError, match="at least 2 training images, but got 1"):
        split_indices(np.array([0]), DataConfig("digits"))


def test_mean_and_deviation_are_those_of_the_training_images(digits):
    images = digits.train_images.double() / 255

    assert digits.mean == pytest.approx((images.mean().item(),), abs=1e-9)
    assert digits.std == pytest.approx((images.std(correction=0).item(),), abs=1e-9)


def test_deviation_of_a_constant_channel_is_not_zero(tmp_path, save_image):
    for name in ("aa", "ab"):
        save_image(tmp_path / "train" / name / "a.png")

    assert load(DataConfig("folder", path=str(tmp_path))).std == (0.5 / 255,) * 3


def test_images_are_uint8_and_labels_int64(digits):
    assert digits.train_images.dtype == digits.validation_images.dtype == torch.uint8
    assert digits.train_labels.dtype == digits.validation_labels.dtype == torch.int64
    assert digits.train_images.shape[1:] == (1, 8, 8)


def test_size_channels_and_upscale_make_the_input_shape():
    dataset = load(DataConfig("digits", size=16, channels=3, upscale=2))

    assert dataset.input_shape == (3, 32, 32)
    assert dataset.train_images.shape[1:] == (3, 16, 16)
    assert len(dataset.mean) == 3


def test_test_images_get_the_size_and_channels_of_training():
    images, _ = load_test(DataConfig("digits", size=16, channels=3))

    assert images.shape == (360, 3, 16, 16)


def test_load_asks_for_no_test_split(monkeypatch):
    asked = []
    entry = DATASETS["digits"]

    def read(roots, split, size, channels):
        asked.append(split)
        return entry.read(roots, split, size, channels)

    monkeypatch.setitem(DATASETS._members, "digits", replace(entry, read=read))
    load(DataConfig("digits"))
    describe_source(DataConfig("digits"))
    assert asked == ["train", "train"]

    load_test(DataConfig("digits"))
    assert asked[-1] == "test"


def test_describe_source_ignores_the_wanted_size():
    info = describe_source(DataConfig("digits", size=20, channels=3))

    assert info.sizes == ((8, 8),)
    assert info.channels == 1
    assert sum(info.counts) == 1437


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_entry_says_where_its_data_is(name):
    text = DATASETS[name].available()

    assert text
    assert "\n" not in text


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_known_class_list_has_distinct_names(name):
    classes = DATASETS[name].classes

    assert len(set(classes)) == len(classes)


@pytest.mark.parametrize("name", ["digits", "mnist", "svhn"])
def test_digits_are_not_mirrored(name):
    assert not DATASETS[name].augmentation.flip


def test_dataset_carries_the_augmentation_of_its_entry(digits):
    assert (
        digits.augmentation == DATASETS["digits"].augmentation == Augmentation(shift=1)
    )


def test_data_folder_named_by_the_environment_is_searched(tmp_path, monkeypatch):
    (tmp_path / "cifar-100-python").mkdir()
    before = DATASETS["cifar100"].available()
    monkeypatch.setenv("NASDEPTH_DATA", str(tmp_path))

    assert before.startswith("not here")
    assert (
        DATASETS["cifar100"].available() == f"found at {tmp_path / 'cifar-100-python'}"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "digit"}, r"Unknown dataset 'digit'; choose from: .*'digits'\?"),
        ({"name": "folder"}, r"DataConfig\.path must name .* but got ''"),
        ({"size": -1}, r"DataConfig\.size must be at least 0, but got size=-1"),
        ({"channels": 2}, r"channels must be 0 \(native\), 1 or 3, but got channels=2"),
        ({"upscale": 0}, r"upscale must be from 1 to 16, but got upscale=0"),
        ({"validation": 0.0}, r"validation must be in \(0, 0\.5\]"),
        ({"validation": 0.9}, r"but got validation=0\.9"),
        ({"limit": -5}, r"limit must be at least 0, but got limit=-5"),
        ({"seed": -1}, r"seed must be at least 0, but got seed=-1"),
    ],
)
def test_wrong_value_is_refused_with_its_rule(options, message):
    with pytest.raises(ValueError, match=message):
        DataConfig(**{"name": "digits", **options})
