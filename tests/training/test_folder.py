"""Facts about image folders."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from nasdepth.training.data import DataConfig, describe_source, load, load_test
from nasdepth.training.folder import read_folder


def test_classes_are_the_sorted_folder_names_of_train(image_folder, save_image):
    save_image(image_folder / "train" / "ant" / "a.png")

    images = read_folder(image_folder, "train", 8, 3)

    assert images.classes == ("ant", "cat", "dog")
    assert np.bincount(images.labels).tolist() == [1, 10, 10]


def test_pixels_follow_the_sorted_files(image_folder):
    images = read_folder(image_folder, "train", 8, 1)

    levels = [(ord(letter) * 7) % 256 for letter in "abcdefghij"]
    assert images.pixels[:, 0, 0, 0].tolist() == levels * 2


def test_label_is_the_name_of_the_folder(image_folder):
    assert load(DataConfig("folder", path=str(image_folder))).label == "my-images"


def test_images_are_scaled_to_32_unless_told(image_folder):
    path = str(image_folder)

    assert load(DataConfig("folder", path=path)).input_shape == (3, 32, 32)
    assert load(DataConfig("folder", path=path, size=20)).input_shape == (3, 20, 20)


def test_images_of_different_sizes_and_modes_mix(image_folder, save_image):
    save_image(image_folder / "train" / "cat" / "big.jpg", side=300)
    save_image(image_folder / "train" / "cat" / "grey.PNG", "L", side=3)
    Image.new("RGB", (50, 7)).save(image_folder / "train" / "dog" / "wide.bmp")

    assert read_folder(image_folder, "train", 16, 0).pixels.shape == (23, 3, 16, 16)


def test_all_grey_images_give_one_channel(tmp_path, save_image):
    for name in ("a", "b"):
        save_image(tmp_path / "train" / name / "x.png", "L")

    assert read_folder(tmp_path, "train", 8, 0).pixels.shape[1] == 1


def test_one_coloured_training_image_gives_three_channels(tmp_path, save_image):
    save_image(tmp_path / "train" / "a" / "x.png", "L")
    save_image(tmp_path / "train" / "b" / "x.png", "RGB")
    save_image(tmp_path / "test" / "b" / "x.png", "L")

    assert read_folder(tmp_path, "test", 8, 0).pixels.shape[1] == 3


def test_colours_become_grey_when_told(image_folder):
    config = DataConfig("folder", path=str(image_folder), channels=1)

    assert load(config).input_shape == (1, 32, 32)


def test_folder_without_test_has_no_test_set(image_folder):
    shutil.rmtree(image_folder / "test")

    assert load_test(DataConfig("folder", path=str(image_folder))) is None


def test_test_set_uses_the_labels_of_train(image_folder):
    shutil.rmtree(image_folder / "test" / "cat")

    images, labels = load_test(DataConfig("folder", path=str(image_folder)))

    assert images.shape == (2, 3, 32, 32)
    assert labels.tolist() == [1, 1]


def test_load_opens_no_test_image(image_folder):
    (image_folder / "test" / "cat" / "a.png").write_text("no image")

    load(DataConfig("folder", path=str(image_folder)))
    with pytest.raises(ValueError, match=r"a\.png is not"):
        load_test(DataConfig("folder", path=str(image_folder)))


def test_second_load_opens_no_image(image_folder, monkeypatch):
    config = DataConfig("folder", path=str(image_folder), channels=3)
    first = load(config)
    monkeypatch.setattr(Image, "open", None)

    assert load(config).fingerprint == first.fingerprint


def test_changed_image_is_decoded_anew(image_folder, save_image):
    config = DataConfig("folder", path=str(image_folder))
    before = load(config)
    changed = image_folder / "train" / "cat" / "a.png"
    Image.new("RGB", (12, 12), (1, 2, 3)).save(changed)
    os.utime(changed, (1, 1))

    assert load(config).fingerprint != before.fingerprint


def test_hidden_and_foreign_files_are_passed_over(image_folder):
    (image_folder / "train" / ".cache").mkdir()
    (image_folder / "train" / "cat" / ".a.png").write_text("no image")
    (image_folder / "train" / "cat" / "notes.txt").write_text("no image")

    images = read_folder(image_folder, "train", 8, 3)

    assert images.classes == ("cat", "dog")
    assert len(images.labels) == 20


def test_images_in_nested_folders_belong_to_their_class(image_folder, save_image):
    save_image(image_folder / "train" / "cat" / "more" / "z.png")

    assert len(read_folder(image_folder, "train", 8, 3).labels) == 21


def test_describe_source_tells_what_init_needs(image_folder, save_image):
    save_image(image_folder / "train" / "cat" / "big.png", side=300)

    info = describe_source(DataConfig("folder", path=str(image_folder)))

    assert info.classes == ("cat", "dog")
    assert info.counts == (11, 10)
    assert info.sizes == ((12, 12), (300, 300))
    assert (info.channels, info.has_test, info.label) == (3, True, "my-images")


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must exist, but .*nowhere does not"):
        load(DataConfig("folder", path=str(tmp_path / "nowhere")))


def test_folder_without_train_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no\s+train/"):
        load(DataConfig("folder", path=str(tmp_path)))


@pytest.mark.parametrize("classes", [0, 1])
def test_fewer_than_two_classes_are_refused(tmp_path, save_image, classes):
    (tmp_path / "train").mkdir()
    if classes:
        save_image(tmp_path / "train" / "only" / "a.png")

    with pytest.raises(ValueError, match=rf"at least 2 classes, but .*has {classes}\."):
        load(DataConfig("folder", path=str(tmp_path)))


@pytest.mark.parametrize("part", ["train", "test"])
def test_class_without_image_is_named(image_folder, part):
    shutil.rmtree(image_folder / part / "dog")
    (image_folder / part / "dog").mkdir()
    (image_folder / part / "dog" / "readme.md").touch()
    config = DataConfig("folder", path=str(image_folder))

    with pytest.raises(
        ValueError, match=rf"at least one image, but .*{part}.dog holds"
    ):
        (load if part == "train" else load_test)(config)


def test_class_of_test_that_train_has_not_is_named(image_folder, save_image):
    save_image(image_folder / "test" / "cow" / "a.png")

    with pytest.raises(ValueError, match=r"'cow'; choose from: cat, dog"):
        load(DataConfig("folder", path=str(image_folder)))


def test_test_without_class_folders_is_refused(image_folder):
    shutil.rmtree(image_folder / "test")
    (image_folder / "test").mkdir()

    with pytest.raises(ValueError, match="must hold class folders"):
        load(DataConfig("folder", path=str(image_folder)))


def test_image_that_does_not_decode_is_named(image_folder):
    (image_folder / "train" / "dog" / "c.png").write_text("no image")

    with pytest.raises(ValueError, match=r"dog.c\.png is not"):
        load(DataConfig("folder", path=str(image_folder)))


def test_nothing_is_cached_when_an_image_does_not_decode(image_folder, own_cache):
    (image_folder / "train" / "dog" / "c.png").write_text("no image")

    with pytest.raises(ValueError, match="decodable"):
        load(DataConfig("folder", path=str(image_folder)))

    assert not own_cache.exists()
