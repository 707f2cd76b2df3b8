"""Facts about training configurations and results."""

import pickle

import pytest
from pydantic import TypeAdapter, ValidationError

from nasdepth.training.augment import Augmentation
from nasdepth.training.data import DataConfig
from nasdepth.training.recipe import Diverged, Epoch, TrainingConfig

DEFAULT = Augmentation(flip=True, shift=4)


def test_augmentation_is_the_default_of_the_data():
    assert TrainingConfig().augmentation(DEFAULT) == DEFAULT


def test_augmentation_is_overridden_field_by_field():
    config = TrainingConfig(flip=False, cutout=3)

    assert config.augmentation(DEFAULT) == Augmentation(flip=False, shift=4, cutout=3)


def test_augmentation_can_be_switched_off():
    config = TrainingConfig(augment=False, shift=3)

    assert config.augmentation(DEFAULT) == Augmentation()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adam"}, r"optimizer must be one of sgd, adamw, but got"),
        ({"schedule": "step"}, r"one of wsd, one-cycle, cosine, constant, but got"),
        ({"precision": "fp16"}, r"one of auto, fp32, bf16, but got precision='fp16'"),
        ({"epochs": 0}, r"TrainingConfig\.epochs must be at least 1, but got epochs=0"),
        ({"batch_size": 1}, r"batch_size must be at least 2"),
        ({"learning_rate": 0.0}, r"learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, r"learning_rate must be above 0"),
        ({"optimizer": "adamw"}, r"at most 0\.05 with optimizer 'adamw', but got"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ({"weight_decay": -1.0}, r"weight_decay must be at least 0"),
        ({"warmup": 1.0}, r"warmup must be in \[0, 1\)"),
        ({"decay": 1.1}, r"decay must be in \[0, 1\]"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\)"),
        ({"clip_norm": -1.0}, r"clip_norm must be at least 0"),
        ({"shift": -1}, r"Augmentation\.shift must be at least 0"),
    ],
)
def test_wrong_value_is_refused_with_its_rule(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**options)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (TrainingConfig, {"epochs": 3, "schedule": "cosine"}),
        (DataConfig, {"name": "digits", "limit": 50}),
        (Augmentation, {"flip": True}),
    ],
)
def test_pydantic_builds_it_and_refuses_unknown_keys(kind, values):
    adapter = TypeAdapter(kind)

    assert adapter.validate_python(values) == kind(**values)
    with pytest.raises(ValidationError, match="unknown_key"):
        adapter.validate_python({**values, "unknown_key": 1})


def test_pydantic_runs_the_checks():
    with pytest.raises(ValidationError, match="epochs must be at least 1"):
        TypeAdapter(TrainingConfig).validate_python({"epochs": 0})


def test_diverged_survives_a_process_boundary():
    epoch = Epoch(1, 2.0, 0.5, 1.5, 3.0, 400.0)

    error = pickle.loads(pickle.dumps(Diverged(2, (epoch,))))

    assert (error.epoch, error.curve) == (2, (epoch,))
    assert str(error) == "The loss became non-finite in epoch 2."
