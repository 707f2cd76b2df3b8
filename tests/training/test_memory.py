"""Facts about predicted and available memory."""

import gc
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from nasdepth import Architecture, Stage, Stem, build
from nasdepth.training.memory import (
    PARTS,
    Footprint,
    available_bytes,
    footprint,
    parts_for,
    predicted_bytes,
    total_bytes,
)
from nasdepth.training.recipe import DoesNotFit

CPU = torch.device("cpu")
SHAPE = (1, 16, 16)
STAGES = {
    "plain": Stage(depth=2, width=32),
    "residual": Stage(depth=2, width=32, skip="add", span=2),
    "dense": Stage(depth=4, width=16, skip="concat", links="all"),
    "inverted": Stage("inverted", depth=2, width=16, skip="add", expansion=4.0),
}


def network(kind: str) -> nn.Module:
    stages = (STAGES[kind],) * 2
    return build(Architecture(stages, Stem(32), input_shape=SHAPE), seed=0)


#: growth of the resident set over two steps of each kind, in processes of their own
MEASURED = """
import os, re, sys, torch
from pathlib import Path
from torch.nn.functional import cross_entropy
sys.path.insert(0, sys.argv[1])
from test_memory import SHAPE, STAGES, network

def kib(name):
    text = Path("/proc/self/status").read_text()
    return int(re.search(name + r":\\s+(\\d+)", text)[1])

def step(module, count):
    images = torch.randn(count, *SHAPE).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(count, dtype=torch.int64)
    cross_entropy(module(images), labels).backward()
    module.zero_grad()

torch.set_num_threads(1)
for kind in STAGES:
    if os.fork() == 0:
        module = network(kind).to(memory_format=torch.channels_last).train()
        step(module, 2)
        before = kib("VmRSS")
        for _ in range(2):
            step(module, int(sys.argv[2]))
        print(kind, 1024 * (kib("VmHWM") - before), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_prediction_is_about_what_a_training_takes():
    batch = 256
    command = [sys.executable, "-c", MEASURED, str(Path(__file__).parent), str(batch)]

    done = subprocess.run(command, capture_output=True, text=True, check=True)
    taken = dict(line.split() for line in done.stdout.splitlines())

    ratios = {
        kind: predicted_bytes(network(kind), SHAPE, batch, precision="fp32") / int(size)
        for kind, size in taken.items()
    }
    assert set(ratios) == set(STAGES)
    assert all(0.85 < ratio < 1.75 for ratio in ratios.values()), ratios


def test_saved_bytes_of_a_chain_are_counted_by_hand():
    # the linear layers save their inputs, the sigmoid its output, which is one of them
    chain = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 8)
    )

    found = footprint(chain, (1, 8, 8), precision="fp32")

    saved, largest = 4 * (64 + 32), 4 * 64
    weights = 4 * (64 * 32 + 32 + 32 * 8 + 8)
    assert found.image == 1.5 * (saved + 3 * largest)
    assert found.fixed == 6 * weights + 16 * 2**20


def test_bytes_are_linear_in_the_batch():
    assert Footprint(100, 3).bytes(7) == 121


@pytest.mark.parametrize("kind", STAGES)
def test_bf16_saves_less_than_fp32(kind):
    images = [
        footprint(network(kind), SHAPE, precision=precision).image
        for precision in ("bf16", "fp32")
    ]

    assert 0.3 < images[0] / images[1] < 0.8


class Odd(nn.Module):
    """Draws, and keeps a mode, a buffer and a statistic."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.5)
        self.frozen = nn.BatchNorm2d(4).eval()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.dropout(self.frozen(self.norm(self.conv(x)))).mean((2, 3))


def test_network_and_generators_are_left_as_they_were():
    odd = Odd()
    kept = {name: value.clone() for name, value in odd.state_dict().items()}
    modes = [module.training for module in odd.modules()]
    random = torch.get_rng_state()

    predicted_bytes(odd, SHAPE, 128, precision="bf16")

    assert all(torch.equal(kept[n], v) for n, v in odd.state_dict().items())
    assert [module.training for module in odd.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in odd.parameters())


@pytest.mark.parametrize("parts", PARTS)
def test_parts_are_the_fewest_that_fit(parts):
    module = network("plain")
    needs = footprint(module, SHAPE, precision="fp32")

    found = parts_for(
        module, SHAPE, 128, CPU, precision="fp32", free=needs.bytes(128 // parts)
    )

    assert found == parts


def test_correction_counts():
    module = network("plain")
    free = predicted_bytes(module, SHAPE, 128, precision="fp32")

    found = parts_for(
        module, SHAPE, 128, CPU, precision="fp32", free=free, correction=1.5
    )

    assert found > 1


@pytest.mark.parametrize(
    ("batch", "most"), [(128, 8), (16, 8), (15, 4), (4, 2), (2, 1)]
)
def test_what_does_not_fit_says_so(batch, most):
    rule = rf"in {most} parts .* predicted, 1 MiB available on cpu"

    with pytest.raises(DoesNotFit, match=rule) as caught:
        parts_for(network("plain"), SHAPE, batch, CPU, precision="fp32", free=2**20)

    assert caught.value.parts == most


class Endless(nn.Module):
    """Asks for more memory than there is."""

    def forward(self, x):
        return x.expand(2**40, *x.shape).clone()


def test_forward_pass_of_few_images_may_be_too_much():
    with pytest.raises(DoesNotFit, match="three images are too many"):
        parts_for(Endless(), SHAPE, 128, CPU, precision="fp32")


def test_other_errors_of_a_network_pass():
    with pytest.raises(RuntimeError, match="channels"):
        parts_for(network("plain"), (3, 16, 16), 128, CPU, precision="fp32")


# --- what there is


def machine(root: Path, **files: str) -> Path:
    """Root of a machine with 8 GiB, 6 of them available."""
    meminfo = "MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: 6291456 kB\n"
    told = {
        "proc/meminfo": meminfo,
        "proc/self/cgroup": "0::/job\n",
        "proc/self/mountinfo": "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n",
    } | files
    for place, text in told.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)
    return root


def test_available_is_what_the_kernel_says(tmp_path):
    assert available_bytes(CPU, machine(tmp_path)) == 6 * 2**30


def test_limit_of_a_cgroup_bounds_it_and_idle_files_do_not(tmp_path):
    root = machine(
        tmp_path,
        **{
            "cg/job/memory.max": str(3 * 2**30),
            "cg/job/memory.current": str(2 * 2**30),
            "cg/job/memory.stat": f"anon 7\ninactive_file {2**29}\n",
        },
    )

    assert available_bytes(CPU, root) == 1.5 * 2**30
    assert total_bytes(CPU, root) == 3 * 2**30


def test_version_1_bounds_it_too(tmp_path):
    root = machine(
        tmp_path,
        **{
            "proc/self/cgroup": "4:memory:/job\n",
            "proc/self/mountinfo": "3 2 0:2 / /cg rw - cgroup cgroup rw,memory\n",
            "cg/job/memory.limit_in_bytes": str(2**30),
            "cg/job/memory.usage_in_bytes": str(2**29),
            "cg/job/memory.stat": f"inactive_file 5\ntotal_inactive_file {2**28}\n",
            "cg/memory.limit_in_bytes": "9223372036854771712",
            "cg/memory.usage_in_bytes": "1",
        },
    )

    assert available_bytes(CPU, root) == 0.75 * 2**30


def test_group_over_its_limit_has_nothing_left(tmp_path):
    files = {"cg/job/memory.max": "1000", "cg/job/memory.current": "5000"}

    assert available_bytes(CPU, machine(tmp_path, **files)) == 0


def test_total_is_the_machine_without_a_limit(tmp_path):
    assert total_bytes(CPU, machine(tmp_path)) == 8 * 2**30


def test_address_space_bounds_it(tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2**30, 2**40))
    files = {"proc/self/status": "VmPeak: 9 kB\nVmSize:\t  524288 kB\n"}

    assert available_bytes(CPU, machine(tmp_path, **files)) == 2**29


def test_this_machine_has_memory():
    assert 0 < available_bytes(CPU) <= total_bytes(CPU)


@pytest.mark.gpu
def test_gpu_has_memory():
    cuda = torch.device("cuda", 0)

    assert 0 < available_bytes(cuda) <= total_bytes(cuda)


@pytest.mark.gpu
def test_prediction_on_a_gpu_is_not_below_what_is_allocated():
    cuda = torch.device("cuda", 0)
    module = network("residual").to(cuda).train()
    predicted = predicted_bytes(module, SHAPE, 512, precision="fp32")
    before = torch.cuda.memory_allocated(cuda)
    torch.cuda.reset_peak_memory_stats(cuda)

    module(torch.zeros(512, *SHAPE, device=cuda)).sum().backward()

    taken = torch.cuda.max_memory_allocated(cuda) - before
    assert 1 < predicted / taken < 3


def test_looking_at_the_memory_of_a_network_keeps_none_of_it():
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU())

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    predicted_bytes(network, (1, 8, 8), 16, precision="fp32")
    before = tensors()

    for _ in range(5):
        predicted_bytes(network, (1, 8, 8), 16, precision="fp32")

    assert tensors() == before
