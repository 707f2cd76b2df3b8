"""Facts about traced networks: twins, costs, gates, merges, and what is refused."""

import math
from functools import lru_cache

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from strategies import architectures
from torch import nn
from torchvision import models

from nasdepth.architecture.canonical import digest
from nasdepth.architecture.families import NETWORKS, family
from nasdepth.architecture.graph import Graph
from nasdepth.architecture.lower import lower
from nasdepth.architecture.opaque import Gate
from nasdepth.architecture.spec import Architecture
from nasdepth.measures.catalogue import measure
from nasdepth.measures.depth import DepthConvention, path_counts
from nasdepth.measures.structure import Structure
from nasdepth.network.build import build
from nasdepth.network.call import Unreadable
from nasdepth.network.trace import trace
from nasdepth.zoo import load

CLASSIFIERS = models.list_models(module=models)
ATTENTION = ("maxvit", "swin", "vit")
CONVOLUTIONAL = [name for name in CLASSIFIERS if not name.startswith(ATTENTION)]
TWINS = sorted(set(NETWORKS) & set(CLASSIFIERS))
#: torchvision lets a last window hang over where no input side makes it matter
CEILED = {"alexnet", "googlenet"}
IMAGE = (3, 16, 16)


@lru_cache
def read(name: str) -> tuple[nn.Module, tuple[int, ...], Graph]:
    """One of torchvision's networks, the shape of its image, and its graph."""
    module, shape = load(f"torchvision:{name}")
    return module, shape, trace(module, shape)


def depths(module: nn.Module, convention: DepthConvention | None = None, shape=IMAGE):
    """Weights of all paths of a traced module, with their numbers."""
    structure = Structure(trace(module, shape))
    return path_counts(structure, convention or DepthConvention())


def conv(i: int, o: int, kernel: int = 3, **options) -> nn.Conv2d:
    return nn.Conv2d(i, o, kernel, padding=kernel // 2, **options)


class Classifier(nn.Module):
    """A body between a stem of 8 channels and a head; both weigh one."""

    def __init__(self, body: nn.Module, channels: int = 8) -> None:
        super().__init__()
        self.stem, self.body = conv(3, 8), body
        self.head = nn.Linear(channels, 10)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))


class Body(nn.Module):
    """Layers by name, and what is done with them."""

    def __init__(self, run, **layers) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.run = run

    def forward(self, x):
        return self.run(self, x)


def classifier(run, channels: int = 8, **layers) -> Classifier:
    return Classifier(Body(run, **layers), channels)


# --- agreement with what is known


@pytest.mark.parametrize("name", TWINS)
def test_a_family_and_its_twin_have_the_same_measures(name: str) -> None:
    _, _, theirs = read(name)
    ours = lower(family(name))

    assert measure(theirs) == measure(ours)
    assert (digest(theirs) == digest(ours)) == (name not in CEILED)


def test_there_are_as_many_convolutional_classifiers_as_stated() -> None:
    assert len(CONVOLUTIONAL) == 68


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_costs_are_those_of_torchvisions_metadata(name: str) -> None:
    module, shape, graph = read(name)
    values = measure(graph, ["params", "macs", "live_params"])
    heads = ("aux", "AuxLogits")
    own = [p.numel() for n, p in module.named_parameters() if not n.startswith(heads)]

    assert values["params"] == values["live_params"] == sum(own)
    first = next(iter(models.get_model_weights(name)))
    if first.transforms().crop_size[0] == shape[1]:
        assert math.isclose(values["macs"] / 1e9, first.meta["_ops"], abs_tol=6e-4)


@settings(max_examples=25)
@given(architectures())
def test_what_we_build_is_read_back(architecture: Architecture) -> None:
    with torch.device("cpu"):
        module = build(architecture)

    traced = trace(module, architecture.input_shape)

    assert digest(traced) == digest(lower(architecture))


# --- merges


def test_arms_of_a_sum_are_paths() -> None:
    net = classifier(lambda m, x: x + m.b(F.relu(m.a(x))), a=conv(8, 8), b=conv(8, 8))

    assert depths(net) == {2: 1, 4: 1}


def test_nested_sums_are_one_merge() -> None:
    layers = {"a": conv(8, 8), "b": conv(8, 8)}
    net = classifier(lambda m, x: (x + m.a(x)) + m.b(x), **layers)

    merge = measure(trace(net, IMAGE), ["merge_depth"])["merge_depth"]
    assert merge == pytest.approx(2 + 2 / 3)


def test_a_sum_in_place_is_a_sum() -> None:
    def run(m, x):
        y = F.relu(m.a(x), inplace=True)
        y += x
        return y

    assert depths(classifier(run, a=conv(8, 8))) == {2: 1, 3: 1}


def test_a_difference_is_a_merge() -> None:
    net = classifier(lambda m, x: m.a(x) - x, a=conv(8, 8))

    assert depths(net) == {2: 1, 3: 1}


def test_a_projection_weighs_nothing() -> None:
    layers = {"a": conv(8, 16), "b": conv(16, 16), "short": conv(8, 16, 1)}
    net = classifier(lambda m, x: m.b(m.a(x)) + m.short(x), channels=16, **layers)

    assert depths(net) == {2: 1, 4: 1}
    assert depths(net, DepthConvention(projections=True)) == {3: 1, 4: 1}


def test_halves_of_the_channels_are_paths() -> None:
    def run(m, x):
        kept, changed = x.chunk(2, dim=1)
        y = torch.cat([kept, m.a(changed)], 1)
        return y.view(-1, 2, 4, 16, 16).transpose(1, 2).reshape(-1, 8, 16, 16)

    net = classifier(run, a=conv(4, 4))

    assert depths(net) == {2: 1, 3: 1}
    assert measure(trace(net, IMAGE), ["receptive_field"]) == {"receptive_field": 5}


def test_windows_in_the_batch_are_concatenated() -> None:
    def run(m, x):
        windows = x.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5)
        windows = windows.flatten(0, 2)
        y = torch.cat([windows, m.a(windows)], 1).amax((2, 3))
        return m.out(y).view(-1, 4, 8).transpose(1, 2).unsqueeze(-1)

    net = classifier(run, a=conv(8, 8), out=nn.Linear(16, 8))

    assert depths(net) == {3: 1, 4: 1}


def test_a_product_of_two_maps_is_a_merge() -> None:
    net = classifier(lambda m, x: m.a(x) * m.b(m.b(x)), a=conv(8, 8), b=conv(8, 8))

    assert depths(net) == {3: 1, 4: 1}


# --- gates


def squeeze_excite(m, x):
    gate = torch.sigmoid(m.up(F.relu(m.down(x.mean((2, 3), keepdim=True)))))
    return m.last(x * gate)


def gated() -> Classifier:
    layers = {"down": conv(8, 2, 1), "up": conv(2, 8, 1), "last": conv(8, 8)}
    return classifier(squeeze_excite, **layers)


def test_a_gate_is_no_path_but_costs() -> None:
    net = gated()
    values = measure(trace(net, IMAGE))

    assert depths(net) == {3: 1}
    assert values["weighted_layers"] == 3
    assert values["params"] == sum(p.numel() for p in net.parameters())
    assert values["macs"] == 256 * (27 * 8 + 72 * 8) + 16 + 16 + 80


def test_gates_are_paths_where_a_convention_says_so() -> None:
    assert depths(gated(), DepthConvention(gates=True)) == {3: 1, 5: 1}


def test_a_gate_hides_neither_arm_nor_projection() -> None:
    def run(m, x):
        y = m.a(x)
        y = y * torch.sigmoid(m.g(y.mean((2, 3), keepdim=True)))
        return m.b(y) + m.short(x)

    layers = {
        "a": conv(8, 16),
        "b": conv(16, 16, 1),
        "g": conv(16, 16, 1),
        "short": conv(8, 16, 1),
    }
    net = classifier(run, channels=16, **layers)

    assert depths(net) == {2: 1, 4: 1}
    assert depths(net, DepthConvention(gates=True)) == {2: 1, 4: 1, 5: 1}


def test_a_highway_has_the_paths_of_its_arms() -> None:
    def run(m, x):
        gate = torch.sigmoid(m.g(x))
        return m.a(x) * gate + x * (1 - gate)

    assert depths(classifier(run, a=conv(8, 8), g=conv(8, 8))) == {2: 1, 3: 1}


def test_an_activation_written_out_is_no_merge() -> None:
    net = classifier(lambda m, x: x * torch.sigmoid(1.702 * x))

    assert depths(net) == {2: 1}


@pytest.mark.parametrize("fused", [True, False])
def test_attention_lets_values_pass(fused: bool) -> None:
    def run(m, x):
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = m.qkv(tokens).chunk(3, dim=-1)
        if fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = (q @ k.transpose(1, 2) / 8**0.5).softmax(-1) @ v
        y = tokens + m.out(y)
        return y.transpose(1, 2).unflatten(2, (16, 16))

    net = classifier(run, qkv=nn.Linear(8, 24), out=nn.Linear(8, 8))
    values = measure(trace(net, IMAGE))

    assert depths(net) == {2: 1, 4: 1}
    assert values["weighted_layers"] == 4
    assert values["macs"] == 256 * (216 + 8 * 24 + 64 + 2 * 256 * 8) + 80
    assert values["receptive_field"] is None


def test_values_count_once_however_the_heads_are_written() -> None:
    whole = nn.MultiheadAttention(8, 2, batch_first=True)

    def run(m, x):
        tokens = x.flatten(2).transpose(1, 2)
        y, _ = m.attend(tokens, tokens, tokens, need_weights=False)
        return y.transpose(1, 2).unflatten(2, (16, 16))

    assert depths(classifier(run, attend=whole)) == {4: 1}


def test_mixed_heads_still_weigh() -> None:
    def run(m, x):
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = m.qkv(tokens).view(-1, 256, 3, 2, 4).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1)).softmax(-1)
        weights = m.mix(weights.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        y = (weights @ v).transpose(1, 2).reshape(-1, 256, 8)
        return m.out(y).transpose(1, 2).unflatten(2, (16, 16))

    net = classifier(
        run, qkv=nn.Linear(8, 24), mix=nn.Linear(2, 2), out=nn.Linear(8, 8)
    )

    assert depths(net) == {4: 1}


def test_a_learnt_query_pools_tokens() -> None:
    class Pooling(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Parameter(torch.randn(1, 1, 8))
            self.value = nn.Linear(8, 8)

        def forward(self, x):
            tokens = x.flatten(2).transpose(1, 2)
            query = self.query.expand(len(x), -1, -1)
            y = F.scaled_dot_product_attention(query, tokens, self.value(tokens))
            return y.transpose(1, 2).unsqueeze(-1)

    assert depths(Classifier(Pooling())) == {3: 1}


def test_windows_in_the_batch_are_layers() -> None:
    def run(m, x):
        windows = x.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5)
        y = F.max_pool2d(m.a(windows.flatten(0, 2)), 8)
        return y.view(-1, 4, 8).transpose(1, 2).unsqueeze(-1)

    net = classifier(run, a=conv(8, 8))

    assert depths(net) == {3: 1}
    assert measure(trace(net, IMAGE), ["macs"])["macs"] == 256 * (216 + 576) + 80


def attend(m, x, weigh):
    tokens = x.flatten(2).transpose(1, 2)
    q, k, v = m.q(tokens), m.k(tokens), m.v(tokens)
    y = weigh(m, q @ k.transpose(1, 2)) @ v
    return y.transpose(1, 2).unflatten(2, (16, 16))


@pytest.mark.parametrize(
    "weigh",
    [
        lambda m, s: m.drop(s.softmax(-1)),
        lambda m, s: s.softmax(-1).masked_fill(m.mask, 0),
        lambda m, s: s.log_softmax(-1).exp(),
        lambda m, s: (e := s.exp()) / e.sum(-1, keepdim=True),
        lambda m, s: s.softmax(-1) - 0.5 * (s * 2).softmax(-1),
    ],
    ids=["dropped", "masked", "logarithms", "written-out", "difference"],
)
def test_attention_weights_stay_weights(weigh) -> None:
    layers = {name: nn.Linear(8, 8) for name in "qkv"}
    net = classifier(
        lambda m, x: attend(m, x, weigh),
        drop=nn.Dropout(0.1),
        mask=nn.Buffer(torch.zeros(256, 256, dtype=torch.bool)),
        **layers,
    )

    assert depths(net) == {3: 1}


def test_a_mask_of_layers_costs() -> None:
    def run(m, x):
        tokens = x.flatten(2).transpose(1, 2)
        mask = m.a(tokens) @ m.b(tokens).transpose(1, 2)
        y = F.scaled_dot_product_attention(tokens, tokens, tokens, attn_mask=mask)
        return y.transpose(1, 2).unflatten(2, (16, 16))

    net = classifier(run, a=nn.Linear(8, 8), b=nn.Linear(8, 8))
    values = measure(trace(net, IMAGE), ["weighted_layers", "activations"])

    assert values["weighted_layers"] == 2
    assert values["activations"] == 256 * 8 * 3 + 10


@pytest.mark.parametrize(
    "run",
    [
        lambda m, x: torch.lerp(x, m.a(x), m.b(x).sigmoid()),
        lambda m, x: torch.addcmul(x, m.a(x), m.b(x).sigmoid()),
    ],
)
def test_fused_forms_are_those_written_out(run) -> None:
    assert depths(classifier(run, a=conv(8, 8), b=conv(8, 8))) == {2: 1, 3: 1}


@pytest.mark.parametrize(
    "run",
    [
        lambda m, x: torch.addmm(m.b, x.mean((2, 3)), m.w)[:, :, None, None],
        lambda m, x: (x.mean((2, 3)) @ m.w)[:, :, None, None],
        lambda m, x: torch.einsum("bchw,cd->bdhw", x, m.w),
        lambda m, x: torch.einsum("cd,bchw->bdhw", m.w, x),
        lambda m, x: (
            torch.einsum("tbc,cd->btd", x.flatten(2).permute(2, 0, 1), m.w)
            .transpose(1, 2)
            .unflatten(2, (16, 16))
        ),
    ],
    ids=["addmm", "matmul", "einsum", "turned", "tokens"],
)
def test_products_with_a_learnt_matrix_are_layers(run) -> None:
    net = classifier(
        run, w=nn.Parameter(torch.ones(8, 8)), b=nn.Parameter(torch.ones(8))
    )
    values = measure(trace(net, IMAGE), ["macs"])
    places = (values["macs"] - 256 * 216 - 80) / 64

    assert depths(net) == {3: 1}
    assert places in (1, 256)


def test_a_scale_by_einsum_is_no_layer() -> None:
    net = classifier(
        lambda m, x: torch.einsum("bchw,c->bchw", x, m.w), w=nn.Parameter(torch.ones(8))
    )

    assert depths(net) == {2: 1}
    assert measure(trace(net, IMAGE), ["macs"])["macs"] == 256 * 216 + 80


def test_a_fixed_kernel_transforms_nothing() -> None:
    def run(m, x):
        return F.conv2d(x, m.blur, stride=2, groups=8)

    net = classifier(run, blur=nn.Buffer(torch.ones(8, 1, 3, 3)))
    values = measure(trace(net, IMAGE))

    assert depths(net) == {2: 1}
    assert values["receptive_field"] == 5
    assert values["params"] == 224 + 90


# --- weights


def test_a_scale_of_the_layer_counts_its_weights() -> None:
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(8, 1, 1))
            self.register_buffer("shift", torch.ones(8, 1, 1))

        def forward(self, x):
            return x + x * self.scale + self.shift

    net = Classifier(Scaled())

    assert measure(trace(net, IMAGE), ["params"])["params"] == 224 + 90 + 8
    assert depths(net) == {2: 2}


def test_a_layer_used_twice_counts_once_and_weighs_twice() -> None:
    net = classifier(lambda m, x: m.a(F.relu(m.a(x))), a=conv(8, 8))
    values = measure(trace(net, IMAGE))

    assert values["params"] == sum(p.numel() for p in net.parameters())
    assert values["macs"] == 256 * (216 + 2 * 576) + 80
    assert depths(net) == {4: 1}


def test_standardized_weights_count_what_is_learnt() -> None:
    class Standardized(nn.Conv2d):
        def __init__(self):
            super().__init__(8, 8, 3, padding=1)
            self.gain = nn.Parameter(torch.ones(8, 1, 1, 1))

        def forward(self, x):
            mean = self.weight.mean((1, 2, 3), keepdim=True)
            return F.conv2d(x, (self.weight - mean) * self.gain, self.bias, padding=1)

    net = Classifier(Standardized())

    assert measure(trace(net, IMAGE), ["params"])["params"] == 224 + 90 + 584 + 8
    assert depths(net) == {3: 1}


def test_frozen_norms_have_no_weights() -> None:
    from torchvision.ops import FrozenBatchNorm2d

    net = Classifier(nn.Sequential(conv(8, 8, bias=False), FrozenBatchNorm2d(8)))

    assert measure(trace(net, IMAGE), ["params"])["params"] == 224 + 90 + 576


def test_norms_without_weights_have_none() -> None:
    net = Classifier(nn.BatchNorm2d(8, affine=False))

    assert measure(trace(net, IMAGE), ["params"])["params"] == 224 + 90


# --- windows


def test_windows_that_are_not_square_see_by_side() -> None:
    net = Classifier(nn.Sequential(nn.Conv2d(8, 8, (1, 7)), nn.Conv2d(8, 8, (5, 1))))

    assert measure(trace(net, IMAGE), ["receptive_field"]) == {"receptive_field": 9}


def test_dilated_windows_see_further() -> None:
    net = Classifier(nn.Conv2d(8, 8, 3, dilation=4, padding=4))

    assert measure(trace(net, IMAGE), ["receptive_field"]) == {"receptive_field": 11}


@pytest.mark.parametrize(
    ("layer", "params"),
    [(nn.ConvTranspose2d(8, 8, 3), 584), (nn.Conv2d(8, 8, 3, padding="same"), 584)],
)
def test_other_convolutions_weigh_one(layer: nn.Module, params: int) -> None:
    net = Classifier(layer)

    assert depths(net) == {3: 1}
    assert measure(trace(net, IMAGE), ["params"])["params"] == 224 + 90 + params


@pytest.mark.parametrize(
    "run",
    [
        lambda m, x: x.cumsum(3),
        lambda m, x: m.mix(x),
        lambda m, x: x.mean(2, keepdim=True) + x,
        lambda m, x: m.a(x.permute(0, 2, 1, 3)[:, :8]),
        lambda m, x: x.softmax(-1),
        lambda m, x: m.a(torch.maximum(x, x.mean((2, 3), True))),
        lambda m, x: x.roll(1, 3),
    ],
)
def test_mixed_places_have_no_window(run) -> None:
    net = classifier(run, a=nn.Conv2d(8, 8, 1), mix=nn.Linear(16, 16))

    assert measure(trace(net, IMAGE), ["receptive_field"]) == {"receptive_field": None}


def test_layers_on_channels_last_keep_the_window() -> None:
    def run(m, x):
        return m.mix(m.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)

    net = classifier(run, mix=nn.Linear(8, 8), norm=nn.LayerNorm(8))

    assert measure(trace(net, IMAGE), ["receptive_field"]) == {"receptive_field": 3}


@pytest.mark.parametrize("layer", [nn.AdaptiveMaxPool2d(4), nn.AdaptiveAvgPool2d(4)])
def test_windows_end_at_a_grid(layer: nn.Module) -> None:
    net = Classifier(nn.Sequential(layer, conv(8, 8)))
    found = measure(trace(net, IMAGE), ["receptive_field"])

    assert found == {"receptive_field": 3}


def test_pooling_counts_in_every_form() -> None:
    forms = [
        lambda m, x: x.amax((2, 3), True),
        lambda m, x: x.permute(0, 2, 3, 1).mean((1, 2), True).permute(0, 3, 1, 2),
        lambda m, x: F.adaptive_max_pool2d(x, 1),
        lambda m, x: F.adaptive_avg_pool2d(x, (1, 2)),
    ]
    counted = DepthConvention(pooling=True)

    assert {tuple(depths(classifier(run), counted)) for run in forms} == {(4,)}


# --- the module is left as it is


def test_what_a_module_keeps_is_not_left_behind() -> None:
    def run(m, x):
        if not hasattr(m, "grid"):
            m.grid = torch.ones(16)
        m.last = m.a(x)
        return m.last * m.grid

    net = classifier(run, a=conv(8, 8))
    trace(net, IMAGE)

    assert not hasattr(net.body, "grid")
    assert not hasattr(net.body, "last")
    assert type(net(torch.zeros(2, *IMAGE))) is torch.Tensor


def test_a_module_with_an_eval_of_its_own_is_left() -> None:
    class Merging(nn.Conv2d):
        merged = False

        def train(self, mode=True):
            self.merged = not mode
            return super().train(mode)

    net = Classifier(Merging(8, 8, 3, padding=1))
    trace(net, IMAGE)

    assert not net.body.merged
    assert net.body.training


def test_modes_and_random_numbers_are_left() -> None:
    net = Classifier(nn.Sequential(nn.BatchNorm2d(8), nn.Dropout(0.3)))
    net.body[1].eval()
    before = [m.training for m in net.modules()]
    state = torch.random.get_rng_state()

    graph = trace(net, IMAGE)

    assert [m.training for m in net.modules()] == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert measure(graph, ["params"])["params"] == 224 + 90 + 16


def test_scopes_are_the_modules_names() -> None:
    scopes = [node.scope for node in trace(gated(), IMAGE).nodes]

    assert {"stem", "body.down", "body.up", "body.last", "head"} <= set(scopes)
    assert len(set(scopes)) == len(scopes)


def test_gates_are_marked() -> None:
    gates = [n for n in trace(gated(), IMAGE).nodes if isinstance(n.op, Gate)]

    assert [gate.op.kind for gate in gates] == ["mul"]


# --- what is refused


def branching(m, x):
    return m.a(x) if x.sum() > 0 else x


def raising(m, x):
    raise RuntimeError("the module's own words")


def picking(m, x):
    return x[:, x.mean((0, 2, 3)).topk(8).indices]


def writing(m, x):
    x[:, :4].mul_(2)
    return m.a(x)


def writing_back(m, x):
    y = x.view(-1, 8, 256)
    y.relu_()
    return m.a(x)


def writing_pieces(m, x):
    with_view = m.a(x)
    with_view.chunk(2, 1)[0].add_(m.b(x)[:, :4])
    return with_view


def writing_out(m, x):
    y = torch.empty_like(x)
    torch.add(m.a(x), m.b(x), out=y)
    return y


def picking_images(m, x):
    return m.a(x[:10])


def mixing_images(m, x):
    return x - m.a(x).mean(0, keepdim=True)


def by_greatest(m, x):
    return x.gather(1, m.a(x).max(1, keepdim=True)[1].expand(-1, 8, -1, -1))


def frozen(run, **layers):
    return classifier(run, **layers).requires_grad_(False)


class Nothing(nn.Module):
    def forward(self, x):
        return None


class Two(nn.Module):
    def forward(self, x, y):
        return x + y


class Several(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)), x


class Deaf(nn.Module):
    def forward(self, x):
        return torch.zeros(1, 10)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (classifier(branching, a=conv(8, 8)), "branches on what the image holds"),
        (classifier(raising), r"test_trace.py:\d+.*the module's own words"),
        (classifier(picking), r"'\w+' in module 'body' \(Body, test_trace.py:\d+\)"),
        (classifier(writing, a=conv(8, 8)), "writes into a part of what is read"),
        (classifier(writing_back, a=conv(8, 8)), "writes into a part of what is"),
        (
            frozen(writing_pieces, a=conv(8, 8), b=conv(8, 8)),
            "'add' in module 'body' .* it writes into a part",
        ),
        (frozen(writing_out, a=conv(8, 8), b=conv(8, 8)), "writes into a part"),
        (classifier(picking_images, a=conv(8, 8)), "mixes or picks images"),
        (classifier(mixing_images, a=conv(8, 8)), "mixes or picks images"),
        (classifier(by_greatest, a=conv(8, 8)), "depends on the image"),
        (Nothing(), "one tensor of scores"),
        (Two(), "Cannot trace Two on images of 3,16,16"),
        (Several(), "one tensor of scores, but got 2 outputs"),
        (Deaf(), "does not depend on the image"),
        (Classifier(nn.Conv2d(3, 8, 3)), r"Cannot trace .*3,16,16"),
    ],
)
def test_what_cannot_be_read_is_an_error(module: nn.Module, message: str) -> None:
    with pytest.raises(Unreadable, match=message) as caught:
        trace(module, IMAGE)

    assert "\n" not in str(caught.value)
