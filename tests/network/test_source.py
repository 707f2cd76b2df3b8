"""Source of networks: golden text, and torch alone to run it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nasdepth.architecture.graph import Graph, GraphBuilder, Node
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import (
    Activation,
    Add,
    Concat,
    Conv,
    Flatten,
    Identity,
    Input,
    Linear,
    Op,
    Pool,
    Zeros,
)
from nasdepth.architecture.spec import Architecture, Head, Stage, Stem
from nasdepth.network.build import build
from nasdepth.network.source import HEADER, network_source

TINY = Architecture(
    (
        Stage(depth=1, width=8, skip="add", span=2, stride=2),
        Stage(depth=3, width=8, skip="concat", links=3),
    ),
    Stem(4),
    Head(dropout=0.1),
    activation="tanh",
    norm="group",
    input_shape=(1, 8, 8),
    num_classes=3,
)


def test_source_of_a_tiny_network(golden: Callable[[str, str], None]) -> None:
    source = network_source(lower(TINY))

    assert source.count("nn.Conv2d(") == sum(
        isinstance(node.op, Conv) for node in lower(TINY).nodes
    )
    golden("tiny_network.py.txt", source)


def test_source_has_the_given_name() -> None:
    assert network_source(lower(TINY), "Tiny").startswith("class Tiny(nn.Module):")


def test_source_is_tidy() -> None:
    lines = f"{HEADER}\n\n{network_source(lower(TINY))}".splitlines()

    assert all(line == line.rstrip() for line in lines)
    assert not any("\t" in line for line in lines)


PROBE = """
import sys
from pathlib import Path
import torch
from tiny import Network

folder = Path(sys.argv[1])
module = Network().eval()
module.load_state_dict(torch.load(folder / "weights.pt"))
torch.save(module(torch.load(folder / "image.pt")), folder / "logits.pt")
assert not any(name.startswith("nasdepth") for name in sys.modules)
"""


@pytest.mark.slow
def test_source_needs_torch_alone(tmp_path: Path) -> None:
    module = build(TINY, seed=0).eval()
    image = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    (tmp_path / "tiny.py").write_text(f"{HEADER}\n\n{network_source(lower(TINY))}")
    (tmp_path / "probe.py").write_text(PROBE)
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    torch.save(image, tmp_path / "image.pt")

    # the script's folder alone is on the path, not the one that holds nasdepth
    done = subprocess.run(
        [sys.executable, tmp_path / "probe.py", tmp_path],
        cwd=tmp_path,
        env={"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(torch.load(tmp_path / "logits.pt"), module(image))


def lines_of(emit: Callable[[GraphBuilder], object]) -> list[str]:
    """Lines that compute something, without their indentation."""
    builder = GraphBuilder((2, 4, 4))
    emit(builder)
    source = network_source(builder.graph())
    return [line.strip() for line in source.splitlines() if " = " in line]


def test_a_variable_is_taken_again_once_nobody_reads_it() -> None:
    def chain(builder: GraphBuilder) -> None:
        with builder.scope("body"):
            x = builder.emit(Activation("relu"), builder.emit(Identity(), 0))
            builder.emit(Pool("avg", 2, 2), x)

    assert lines_of(chain) == [
        "x = self.run_body(x)",
        "x = x",
        "x = F.relu(x)",
        "x = F.avg_pool2d(x, 2, 2)",
    ]


def test_a_variable_is_kept_as_long_as_somebody_reads_it() -> None:
    def skip(builder: GraphBuilder) -> None:
        with builder.scope("body"):
            y = builder.emit(Conv(2), 0)
            builder.emit(Concat(), builder.emit(Add(), y, 0, y), y)

    assert lines_of(skip)[2:] == [
        "y = self.body.conv1(x)",
        "x = y + x + y",
        "x = torch.cat([x, y], 1)",
    ]


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (Activation("relu6"), "x = F.relu6(x)"),
        (Activation("tanh"), "x = torch.tanh(x)"),
        (Pool("max", 3, 2, 1), "x = F.max_pool2d(x, 3, 2, padding=1)"),
        (Pool("max", 3, 2, ceil=True), "x = F.max_pool2d(x, 3, 2, ceil_mode=True)"),
        (Flatten(), "x = x.flatten(1)"),
        (Conv(3, 1, padding=0), "self.conv1 = nn.Conv2d(2, 3, 1, bias=False)"),
        (
            Conv(4, 3, 2, 1, 2, bias=True),
            "self.conv1 = nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2)",
        ),
    ],
)
def test_lines_of_operations(op: Op, text: str) -> None:
    assert text in lines_of(lambda builder: builder.emit(op, 0))


def test_a_constant_takes_its_batch_from_the_image() -> None:
    def constant(builder: GraphBuilder) -> None:
        builder.emit(Concat(), 0, builder.emit(Zeros((1, 4, 4))))

    assert "y = x.new_zeros(x.shape[0], 1, 4, 4)" in lines_of(constant)


def test_a_bias_is_left_out_of_linear_layers() -> None:
    nodes = (Node(Input((3,)), scope="input"), Node(Linear(2, bias=False), (0,), "one"))

    assert "self.one = nn.Linear(3, 2, bias=False)" in network_source(Graph(nodes))


def test_an_operation_without_source_is_a_bug() -> None:
    class Unknown(Op):
        def shape(self, inputs: object) -> tuple[int, ...]:
            return (1,)

    nodes = (Node(Input((3,)), scope="input"), Node(Unknown(), (0,), "unknown"))

    with pytest.raises(AssertionError, match="no expression for"):
        network_source(Graph(nodes))
