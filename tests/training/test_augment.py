"""Facts about batch augmentation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nasdepth.training.augment import Augmentation, augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(batch: int = 64, channels: int = 1, side: int = 8) -> torch.Tensor:
    """Pixels that are all different within an image, and equal between images."""
    count = channels * side * side
    return (
        torch.arange(1.0, count + 1)
        .view(1, channels, side, side)
        .repeat(batch, 1, 1, 1)
    )


augmentations = st.builds(
    Augmentation, st.booleans(), st.integers(0, 12), st.integers(0, 12)
)


@given(augmentations, st.sampled_from([torch.uint8, torch.float32]))
def test_shape_and_type_stay(augmentation, dtype):
    images = torch.ones(3, 2, 6, 5, dtype=dtype)

    result = augment(images, augmentation, generator())

    assert result.shape == images.shape
    assert result.dtype == dtype


@given(augmentations, st.integers(0, 2**31))
def test_same_generator_state_gives_the_same_batch(augmentation, seed):
    first, second = (
        augment(pictures(), augmentation, generator(seed)) for _ in range(2)
    )

    assert torch.equal(first, second)


def test_nothing_asked_changes_nothing():
    assert torch.equal(augment(pictures(), Augmentation(), generator()), pictures())


def test_input_is_left_alone():
    images = pictures()

    augment(images, Augmentation(flip=True, shift=3, cutout=4), generator())

    assert torch.equal(images, pictures())


def test_flip_mirrors_about_half_of_the_images():
    images = pictures(1000)

    result = augment(images, Augmentation(flip=True), generator())

    kept = (result == images).all(dim=(1, 2, 3))
    mirrored = (result == images.flip(3)).all(dim=(1, 2, 3))
    assert (kept ^ mirrored).all()
    assert 400 < mirrored.sum() < 600


def test_shift_moves_the_centre_by_every_offset_up_to_the_limit():
    images = pictures(2000, side=9)

    result = augment(images, Augmentation(shift=2), generator())

    at_centre = result[:, 0, 4, 4].unique()
    expected = images[0, 0, 2:7, 2:7].flatten().sort().values
    assert torch.equal(at_centre, expected)


def test_shift_reflects_at_the_border():
    row = torch.tensor([1, 2, 3, 4], dtype=torch.uint8).view(1, 1, 1, 4)

    results = augment(row.repeat(200, 1, 1, 1), Augmentation(shift=1), generator())

    rows = {tuple(r) for r in results.view(-1, 4).tolist()}
    assert rows == {(1, 2, 3, 4), (2, 1, 2, 3), (2, 3, 4, 3)}


def test_channels_move_together():
    images = pictures(50).repeat(1, 3, 1, 1)

    result = augment(images, Augmentation(flip=True, shift=2), generator())

    assert torch.equal(result[:, 0], result[:, 1])
    assert torch.equal(result[:, 0], result[:, 2])


def test_images_of_a_batch_are_drawn_apart():
    result = augment(pictures(), Augmentation(shift=3), generator())

    assert len(result.flatten(1).unique(dim=0)) > 20


def test_cutout_zeroes_one_square_that_may_lie_half_outside():
    result = augment(pictures(500), Augmentation(cutout=4), generator())

    areas = (result == 0).sum(dim=(1, 2, 3))
    assert areas.max() == 16
    assert areas.min() == 4
    inside = (result[areas == 16] == 0)[:, 0]
    assert (inside.any(1).sum(1) == 4).all()
    assert (inside.any(2).sum(1) == 4).all()


def test_shift_larger_than_the_image_does_not_leave_it():
    result = augment(pictures(side=2), Augmentation(shift=50), generator())

    assert set(result.unique().tolist()) <= {1.0, 2.0, 3.0, 4.0}


@pytest.mark.parametrize("field", ["shift", "cutout"])
def test_negative_pixels_are_refused(field):
    message = rf"Augmentation\.{field} must be at least 0 pixels, but got -1"
    with pytest.raises(ValueError, match=message):
        Augmentation(**{field: -1})
