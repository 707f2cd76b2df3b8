"""Facts about foreign networks by name, and about networks of any kind."""

import sys

import pytest
import torch
from torch import nn

import nasdepth
from nasdepth.architecture.canonical import digest
from nasdepth.architecture.families import family
from nasdepth.architecture.lower import lower
from nasdepth.networks import describe, graph_of
from nasdepth.zoo import UnknownNetwork, load

OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, channels, 3), nn.Linear(channels, 2)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))

class Shaped(Net):
    input_shape = (3, 9, 9)

READY = Shaped()

def counting():
    return nn.Linear(int(torch.ones(3).sum()), 2)

def failing():
    raise KeyError("no such\\nsetting")

def making_none():
    pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch) -> str:
    """Name of a module that lies where the command is given."""
    name = f"own_networks_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


# --- by name


def test_torchvisions_weights_are_not_filled() -> None:
    module, shape = load("torchvision:vgg16")

    assert shape == (3, 224, 224)
    assert {p.device.type for p in module.parameters()} == {"meta"}


def test_they_are_filled_where_asked() -> None:
    module, _ = load("torchvision:squeezenet1_1", empty=False)

    assert {p.device.type for p in module.parameters()} == {"cpu"}


@pytest.mark.parametrize(
    ("name", "side"), [("inception_v3", 299), ("vit_b_16", 224), ("vit_h_14", 224)]
)
def test_sides_are_those_of_the_source(name: str, side: int) -> None:
    assert load(f"torchvision:{name}")[1] == (3, side, side)


def test_timms_come_with_their_shape(require) -> None:
    try:
        import timm  # noqa: F401 -- only whether it is there
    except ImportError:
        require(False, "pip install 'nasdepth[timm]'")

    assert load("timm:regnety_032")[1] == (3, 224, 224)
    assert describe("timm:resnet26")["nominal_depth"] == 26


def test_timm_that_is_missing_says_how_it_comes(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)

    with pytest.raises(ValueError, match=r"pip install 'nasdepth\[timm\]'"):
        load("timm:resnet26")


def test_a_class_a_function_and_a_module_are_callables(own: str) -> None:
    assert load(f"{own}:Net", (3, 8, 8))[1] == (3, 8, 8)
    assert load(f"{own}:Shaped")[1] == (3, 9, 9)
    assert load(f"{own}:READY")[0] is sys.modules[own].READY


def test_a_constructor_that_reads_numbers_runs_on_the_processor(own: str) -> None:
    module, _ = load(f"{own}:counting", (3,))

    assert next(module.parameters()).device.type == "cpu"


def test_random_numbers_are_left(own: str) -> None:
    load(f"{own}:READY")  # what a user's file draws when it is imported is its own
    state = torch.random.get_rng_state()

    load(f"{own}:Net", (3, 8, 8), empty=False)

    assert torch.equal(torch.random.get_rng_state(), state)


# --- what is refused


@pytest.mark.parametrize(
    ("attribute", "error", "told"),
    [
        ("Net", ValueError, "--input channels,height,width"),
        ("Nett", UnknownNetwork, "Did you mean 'Net'?"),
        ("failing", ValueError, "raised KeyError"),
        ("making_none", ValueError, "must give a torch.nn.Module, but gave a NoneType"),
    ],
)
def test_callables_that_give_no_network(own: str, attribute, error, told) -> None:
    with pytest.raises(error) as caught:
        load(f"{own}:{attribute}")

    assert told in str(caught.value)


def test_what_fails_on_import_is_told(tmp_path, monkeypatch) -> None:
    (tmp_path / "broken_networks.py").write_text("import no_such_package")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    with pytest.raises(ValueError, match="No module named 'no_such_package'"):
        load("broken_networks:make")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("import math; math.no_such_thing", "raised AttributeError"),
        ("import sys; sys.exit(0)", "raised SystemExit"),
    ],
)
def test_what_a_file_raises_is_told(tmp_path, monkeypatch, line, told) -> None:
    name = f"raising_{told.rpartition(' ')[2]}"
    (tmp_path / f"{name}.py").write_text(line)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    with pytest.raises(ValueError, match=told):
        load(f"{name}:make")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("torchvision:resnet5", "torchvision:resnet50"),
        ("convnext_tny", "torchvision:convnext_tiny"),
        ("no.such:thing", "package.module:callable"),
    ],
)
def test_unknown_names_have_near_ones(name: str, near: str) -> None:
    with pytest.raises(UnknownNetwork) as caught:
        load(name)

    assert near in str(caught.value)


@pytest.mark.parametrize("file", ["model.pt", "nets/model.pth", "a.pkl", "b.ckpt"])
def test_pickles_stay_closed(tmp_path, monkeypatch, file: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    torch.save(nn.Linear(2, 2), path)
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("opened"))

    with pytest.raises(ValueError, match="loading a pickle runs what it holds"):
        load(str(path))


# --- networks of any kind


def test_a_network_is_the_same_however_it_is_given(tmp_path) -> None:
    architecture = family("cifar_resnet20")
    path = tmp_path / "mine.json"
    path.write_text(architecture.to_json())
    given = [architecture, lower(architecture), "cifar_resnet20", str(path)]
    module = nasdepth.build(architecture)

    digests = {digest(graph_of(network)) for network in given}
    digests.add(digest(graph_of(module, (3, 32, 32))))

    assert len(digests) == 1


def test_the_shape_can_be_another() -> None:
    small = graph_of("resnet18", (3, 64, 64))

    assert small.shapes()[0] == (3, 64, 64)


def test_a_module_needs_a_shape() -> None:
    with pytest.raises(ValueError, match="give input_shape"):
        graph_of(nn.Linear(3, 2))


def test_the_top_names_are_these() -> None:
    assert nasdepth.describe is describe
    found = nasdepth.describe(nn.Linear(3, 2), (3,))

    assert isinstance(found, nasdepth.Measures)
    assert found["params"] == 8
    assert len(nasdepth.trace(nn.Linear(3, 2), (3,)).nodes) == 2


@pytest.mark.parametrize("network", [nn.Linear, len, 5, None])
def test_what_is_no_network_is_told(network) -> None:
    with pytest.raises(ValueError, match="A network is a name, an architecture"):
        describe(network, (3,))


@pytest.mark.parametrize("shape", [(3.0, 8, 8), (-1, 8, 8), "3,8,8", 4, ()])
def test_shapes_are_positive_integers(shape) -> None:
    with pytest.raises(ValueError, match="input_shape must be positive integers"):
        describe(nn.Flatten(), shape)


def test_a_graph_has_its_own_shape() -> None:
    with pytest.raises(ValueError, match=r"\(3, 32, 32\), but got input_shape"):
        describe(lower(family("cifar_resnet20")), (3, 8, 8))
