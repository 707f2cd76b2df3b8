"""How `trace` reads what weighs nothing: norms, activations, pooling, reshaping."""

from dataclasses import replace
from typing import Final

from nasdepth.architecture.ops import (
    Activation,
    AdaptivePool,
    BatchNorm,
    Dropout,
    Flatten,
    GroupNorm,
    Pool,
    Select,
)
from nasdepth.network.call import (
    Call,
    Choice,
    Constant,
    Data,
    Grid,
    Unreadable,
    Value,
    axis_of,
    data_of,
    one_or_two,
    reads,
)

# --- what weighs nothing


@reads("batch_norm", "_native_batch_norm_legit_no_training")
def _batch_norm(call: Call) -> Value:
    source = data_of(call, "input")
    norm = BatchNorm() if call["weight"] and call["bias"] else None
    if norm is None or not call.learnt:
        return call.opaque(source)
    return call.append(norm, [source])


@reads("group_norm")
def _group_norm(call: Call) -> Value:
    source = data_of(call, "input")
    if not (call["weight"] and call["bias"]):
        return call.opaque(source)
    return call.append(GroupNorm(call["num_groups"]), [source])


@reads(
    "layer_norm",
    "instance_norm",
    "rms_norm",
    "local_response_norm",
    "native_layer_norm",
    "native_group_norm",
)
def _normalized(call: Call) -> Value:
    """Each place of the map by itself; what is shared are statistics alone."""
    seen = [call.opaque(output=i) for i in range(len(call.shapes))]
    return seen if len(seen) > 1 else seen[0]


_NAMED: Final = {"relu": "relu", "relu6": "relu6", "silu": "silu", "tanh": "tanh"}
_SQUASHING: Final = ("sigmoid", "hardsigmoid", "tanh", "hardtanh", "relu6")


@reads(*_NAMED, "gelu", "elu", "hardtanh")
def _activation(call: Call) -> Value:
    given = call.arguments
    kind = _NAMED.get(call.kind)
    if call.kind == "gelu" and given.get("approximate", "none") == "none":
        kind = "gelu"
    if call.kind == "elu" and (given["alpha"], given["scale"]) == (1, 1):
        kind = "elu"
    if call.kind == "hardtanh" and (given["min_val"], given["max_val"]) == (0, 6):
        kind = "relu6"
    found = call.append(Activation(kind), call.data) if kind else call.opaque()
    return replace(found, squashed=call.kind in _SQUASHING or call.data[0].squashed)


@reads(
    *("sigmoid", "hardsigmoid", "log_sigmoid", "clamp"),
    *("hardswish", "leaky_relu", "prelu", "rrelu", "selu", "celu", "mish", "softplus"),
    *("softsign", "threshold", "hardshrink", "softshrink", "clamp_min", "clamp_max"),
    *("neg", "abs", "exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "square", "pow"),
    *("sin", "cos", "erf", "reciprocal", "sign", "round", "floor", "ceil"),
    *("masked_fill", "nan_to_num", "bernoulli", "triu", "tril"),
)
def elementwise(call: Call) -> Value:
    """Maps, element by element; what was squashed stays so."""
    data = call.data
    squashed = call.kind in (*_SQUASHING, "clamp") or all(d.squashed for d in data)
    total = data[0].total if len(data) == 1 else -1
    return replace(call.opaque(), squashed=squashed, total=total)


@reads("softmax", "log_softmax")
def _softmax(call: Call) -> Value:
    (source,) = call.data
    local = not call.axes("self", call["dim"]) & source.places
    return replace(call.opaque(local=local), squashed=True)


@reads("glu")
def _glu(call: Call) -> Value:
    """One half weighs the other; both are made together, so the map is one arm."""
    (source,) = call.data
    return call.opaque(local=not call.axes("self", call["dim"]) & source.places)


@reads("dropout", "feature_dropout", "alpha_dropout", "native_dropout")
def _dropout(call: Call) -> Value:
    source, rate = call.data[0], call["p"]
    found = call.append(Dropout(rate), [source]) if rate else source
    return replace(found, squashed=source.squashed, total=source.total)


@reads("contiguous", "clone", "detach", "alias", "lift_fresh", "to", "_to_copy")
def _nothing(call: Call) -> Value:
    return call.data[0]


# --- pooling


@reads("max_pool2d", "max_pool2d_with_indices", "avg_pool2d")
def _pool(call: Call) -> Value:
    if len(call.data[0].shape) != 3:  # windows of a map stand in the batch
        return call.opaque(local=False)
    kernel = one_or_two(call["kernel_size"])
    stride = one_or_two(call["stride"]) if call["stride"] else kernel
    kind = "max" if call.kind.startswith("max") else "avg"
    op = Pool(
        kind,
        kernel,
        stride,
        one_or_two(call["padding"]),
        bool(call["ceil_mode"]),
        one_or_two(call.arguments.get("dilation", 1)),
    )
    found = call.append(op, call.data)
    return [found, Choice()] if call.kind.endswith("indices") else found


@reads("adaptive_avg_pool2d", "adaptive_max_pool2d")
def _adaptive_pool(call: Call) -> Value:
    source = call.data[0]
    height, width = call.shape[-2:]
    if call.kind == "adaptive_max_pool2d":
        return [call.opaque(pools=True), Choice()]
    if len(source.shape) != 3 or height != width:
        return call.opaque(pools=True)
    return call.append(AdaptivePool(height), [source])


@reads("mean")
def _mean(call: Call) -> Value:
    """Global average pooling where the mean runs over the whole map."""
    (source,) = call.data
    axes = call.axes("self", call.arguments.get("dim"))
    if source.grid != "first" or len(source.shape) != 3 or axes != source.places:
        return _reduction(call)
    pooled = call.append(AdaptivePool(), [source])
    return pooled if call["keepdim"] else call.append(Flatten(), [pooled])


@reads(
    *("sum", "amax", "amin", "max", "min", "logsumexp", "prod", "cumsum", "norm"),
    *("linalg_vector_norm", "var", "std", "var_mean", "std_mean"),
)
def _reduction(call: Call) -> Value:
    """Over channels a place stays by itself; over the whole map it is a pooling."""
    if len(call.data) > 1:
        return call.opaque()  # the greater of two maps
    (source,) = call.data
    hit = call.axes("self", call.arguments.get("dim")) & source.places
    pooled = bool(hit) and hit == source.places and call.kind != "cumsum"
    seen = replace(
        call.opaque(local=not hit, pools=pooled),
        total=source.node if call.kind == "sum" else -1,
    )
    if call.kind in ("max", "min") and len(call.shapes) > 1:
        return [seen, Choice()]
    others = [call.opaque(output=i) for i in range(1, len(call.shapes))]
    return [seen, *others] if others else seen


# --- reshaping


@reads(
    *(
        "flatten",
        "view",
        "reshape",
        "squeeze",
        "unsqueeze",
        "unflatten",
        "_unsafe_view",
    ),
    *("permute", "transpose", "swapaxes", "movedim", "expand", "t"),
    *("numpy_T", "mT", "squeeze_", "adjoint", "swapdims"),
)
def _reshape(call: Call) -> Value:
    source = call.data[0]
    if source.shape == call.shape and call.kind not in _TURNS:
        return source
    if len(call.shape) == 1 and len(source.shape) == 3:
        return call.append(Flatten(), [source])
    grid = _grid_after(call, source)
    seen = call.opaque(source, local=bool(grid) or not source.grid)
    return replace(seen, squashed=source.squashed, total=source.total, grid=grid)


_TURNS: Final = ("permute", "transpose", "swapaxes", "swapdims", "movedim")


def _grid_after(call: Call, source: Data) -> Grid:
    """Where height and width lie then; "" where they were taken apart."""
    before, after, axes = source.shape, call.shape, sorted(source.places)
    if not axes or call.kind == "movedim":
        return ""
    if call.kind in _TURNS:
        order = _order(call, len(before))
        if None in order:
            return ""
        height, width = (order.index(axis) - len(order) for axis in axes)
        places: dict[tuple[int, int], Grid] = {(-2, -1): "first", (-3, -2): "last"}
        return places.get((height, width), "")
    kept = len(after) >= 3 and before[-2:] == after[-2:]
    if source.grid == "first" and kept:
        return "first"
    return source.grid if len(before) == len(after) and call.kind == "expand" else ""


def _order(call: Call, rank: int) -> list[int | None]:
    """Axes in their new order, for one image."""
    seen = call.dims["self"]
    if call.kind == "permute":
        found = [axis_of(seen, dim) for dim in call["dims"]]
        return [axis for axis in found if axis is not None]
    first, second = (
        axis_of(seen, value)
        for name, value in call.arguments.items()
        if name in ("dim0", "dim1", "axis0", "axis1")
    )
    order: list[int | None] = list(range(rank))
    if first is None or second is None:
        return [None]
    order[first], order[second] = second, first
    return order


@reads("type_as", "expand_as", "view_as", "reshape_as")
def _like(call: Call) -> Value:
    """Of the second map only the shape or type is used."""
    first = call.values[0]
    return first if isinstance(first, Constant) else _reshape(call)


@reads("chunk", "split", "split_with_sizes", "unbind", "tensor_split")
def _split(call: Call) -> Value:
    (source,) = call.data
    local = _along_channels(call, source)
    return [
        replace(call.opaque(source, local=local, output=i), squashed=source.squashed)
        for i in range(len(call.shapes))
    ]


@reads("select", "slice", "narrow")
def _part(call: Call) -> Value:
    (source,) = call.data
    if source.shape == call.shape:
        return source
    part = call.opaque(source, local=_along_channels(call, source))
    return replace(part, squashed=source.squashed)


@reads("index_select")
def _selected(call: Call) -> Value:
    index = call["index"]
    if call["dim"] == 1 and isinstance(index, Constant) and index.value is not None:
        return call.append(Select(tuple(index.value.tolist())), call.data)
    return call.opaque(local=_along_channels(call, call.data[0]))


@reads(
    *("roll", "flip", "interpolate", "unfold", "im2col", "col2im", "fold", "repeat"),
    *("repeat_interleave", "tile", "pixel_shuffle", "pixel_unshuffle", "meshgrid"),
    *("channel_shuffle", "rot90", "avg_pool1d", "max_pool1d", "adaptive_avg_pool1d"),
    *("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "cdist", "as_strided"),
    *("avg_pool3d", "max_pool3d", "adaptive_avg_pool3d", "grid_sampler"),
    *("constant_pad_nd", "reflection_pad2d", "replication_pad2d", "pad"),
)
def _moved(call: Call) -> Value:
    local = "pad" in call.kind
    if local and all(d.shape == call.shape for d in call.data):
        return call.data[0]
    squashed = all(data.squashed for data in call.data)
    return replace(call.opaque(local=local), squashed=squashed)


@reads("index", "gather", "take_along_dim")
def _gathered(call: Call) -> Value:
    if len(call.data) > 1:
        raise Unreadable("which elements are taken depends on the image")
    return call.opaque(local=False)


def _along_channels(call: Call, source: Data) -> bool:
    return not call.axes("self", call.arguments.get("dim", 0)) & source.places


# --- constants


@reads(
    *("new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like"),
    *("full_like", "empty_like", "rand_like", "randn_like", "sym_size"),
)
def _constant(call: Call) -> Value:
    """Only the shape or type of a map is used."""
    return Constant()
