"""Shapes in annotations are checked, in a process that jaxtyping instruments."""

import subprocess
import sys

import pytest

PREAMBLE = """
from jaxtyping import install_import_hook
with install_import_hook("nasdepth.training", "beartype.beartype"):
    import torch
    from torch import nn
    from nasdepth.training.augment import Augmentation, augment
    from nasdepth.training.data import DataConfig, load, load_test
    from nasdepth.training.loop import TrainingConfig, evaluate, fit
torch.set_num_threads(1)
"""
RUN = """
config = DataConfig("digits", upscale=2)
dataset = load(config)
network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(256), nn.Linear(256, 10))
options = TrainingConfig(epochs=3, flip=True, cutout=2)
fit(network, dataset, options, seed=0, device="cpu")
evaluate(network, *load_test(config), dataset, device="cpu")
print("trained")
"""
WRONG = """
try:
    augment(torch.zeros(3, 8, 8), Augmentation(), torch.Generator())
except TypeError as error:
    print(type(error).__name__)
"""


@pytest.fixture(scope="module")
def report() -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", PREAMBLE + RUN + WRONG]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_training_keeps_to_its_annotations(report):
    assert "trained" in report.stdout, report.stderr


@pytest.mark.slow
def test_a_batch_without_channels_is_noticed(report):
    assert "TypeCheckError" in report.stdout, report.stderr
