"""How `trace` reads torch's layers, merges and gates.

A transformation is a convolution, a linear layer or a product with a learnt matrix.
Sums and differences of two maps are merges. A product of two maps is a gate where one
factor is smaller than the other or was squashed into a range (squeeze-excite,
attention weights): then the other passes through; else it is a merge too.
"""

from dataclasses import replace
from math import prod

from nasdepth.architecture.opaque import Gate, Opaque, OpaqueLayer
from nasdepth.architecture.ops import Add, Concat, Conv, Linear, Pair, Shape, Zeros
from nasdepth.network.aten_maps import elementwise
from nasdepth.network.call import (
    Call,
    Constant,
    Data,
    Unreadable,
    Value,
    axis_of,
    data_of,
    one_or_two,
    per_image,
    reads,
)

# --- transformations


@reads("conv2d")
def _conv(call: Call) -> Value:
    weight = call.dims["weight"]
    source = data_of(call, "input")
    if not isinstance(call["weight"], Constant) or len(source.shape) != 3:
        return _layer(call)
    dilation = one_or_two(call["dilation"])
    op = Conv(
        channels=weight[0],
        kernel=one_or_two(weight[2:]),
        stride=one_or_two(call["stride"]),
        padding=_padding(call, weight[2:]),
        groups=call["groups"],
        bias=call["bias"] is not None,
        dilation=dilation,
    )
    return call.append(op, [source])


def _padding(call: Call, kernel: tuple[int, ...]) -> Pair:
    padding = call["padding"]
    if padding == "valid":
        return 0
    if padding != "same":
        return one_or_two(padding)
    sides = [d * (k - 1) for d, k in zip(call["dilation"], kernel, strict=False)]
    if any(side % 2 for side in sides):
        raise Unreadable("padding 'same' of an even kernel is not symmetric")
    return one_or_two([side // 2 for side in sides])


@reads("conv1d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _layer(call: Call) -> Value:
    """A transformation that has no operation of its own: seen, with its costs."""
    weight = call.dims["weight"]
    outer, inner = prod(call.shape), prod(data_of(call, "input").shape)
    transposed = "transpose" in call.kind
    products = (inner if transposed else outer) * prod(weight[1:])
    op = OpaqueLayer(call.kind, call.shape, 0, products, local=False)
    return call.append(op, call.data)


@reads("linear")
def _linear(call: Call) -> Value:
    if not isinstance(call["weight"], Constant):
        return _matmul(call)
    features, source = call.dims["weight"][0], data_of(call, "input")
    found = call.append(Linear(features, call["bias"] is not None), [source])
    # heads of attention weights that are mixed with each other are still weights
    mixed = source.squashed and found.shape == source.shape
    return replace(found, squashed=mixed)


@reads("matmul", "mm", "bmm", "addmm", "baddbmm")
def _matmul(call: Call) -> Value:
    first, second = call.values[-2:]
    inner = next(iter(reversed(call.dims.values())))[-2:][0]
    return _contraction(call, first, second, prod(call.shape) * inner)


@reads("einsum")
def _einsum(call: Call) -> Value:
    if len(call.values) != 2:
        return call.opaque(local=False)
    terms = call["equation"].replace(" ", "").split("->")[0].split(",")
    batch = call.dims["tensors"][0][0]
    sizes: dict[str, int] = {}
    for term, dims in zip(terms, call.dims["tensors"], strict=True):
        sizes.update(zip(term, dims, strict=True))
    first, second = call.values
    return _contraction(call, first, second, prod(sizes.values()) // batch)


def _contraction(
    call: Call, first: Data | Constant, second: Data | Constant, products: int
) -> Data:
    """Product of matrices: a layer with a learnt one, a gate with a squashed one."""
    if not (isinstance(first, Data) and isinstance(second, Data)):
        if call.learnt:
            layer = OpaqueLayer(call.kind, call.shape, 0, products, local=False)
            return call.append(layer, call.data)
        return call.opaque(local=False, products=products)
    if first.squashed == second.squashed:
        return call.opaque(first, second, local=False, products=products)
    passed, gate = (second, first) if first.squashed else (first, second)
    weighed = Gate(call.kind, call.shape, 0, products, local=False)
    return call.append(weighed, [passed, gate])


@reads("scaled_dot_product_attention")
def _attention(call: Call) -> Value:
    """Values pass; queries and keys, of which one may be learnt, weigh them."""
    value = data_of(call, "value")
    *heads, queries, features = per_image(call.dims["query"])
    keys = call.dims["key"][-2]
    scores: Shape = (*heads, queries, keys)
    weighing = [each for each in (call["query"], call["key"]) if isinstance(each, Data)]
    seen = Opaque("scores", scores, 0, prod(scores) * features, local=False)
    gate = call.append(seen, weighing)
    products = prod(scores) * value.shape[-1]
    passed = Gate("attention", call.shape, 0, products, local=False)
    return call.append(passed, [value, gate])


# --- merges and gates


@reads("add", "sub", "rsub")
def _add(call: Call) -> Value:
    data = call.data
    if len(data) == 1:
        return elementwise(call)
    arms = [_grown(call, arm) for arm in data]
    return call.append(Add(), arms)


def _grown(call: Call, arm: Data) -> Data:
    """The arm, repeated to the shape of the sum."""
    if arm.shape == call.shape:
        return arm
    return call.append(Opaque("expand", call.shape, local=False), [arm])


@reads("mul")
def _product(call: Call) -> Value:
    if len(call.data) == 1:
        return elementwise(call)
    first, second = call.data
    if first.node == second.node:
        return call.opaque(first)
    sizes = prod(first.shape), prod(second.shape)
    if max(sizes) < prod(call.shape) or (
        sizes[0] == sizes[1] and first.squashed == second.squashed
    ):
        return call.opaque(first, second)
    if sizes[0] != sizes[1]:
        passed, gate = (first, second) if sizes[0] > sizes[1] else (second, first)
    else:
        passed, gate = (second, first) if first.squashed else (first, second)
    return call.append(Gate(call.kind, call.shape), [passed, gate])


@reads("div")
def _quotient(call: Call) -> Value:
    """A map over a measure of itself, as in a normalization: the map passes."""
    if len(call.data) == 1:
        return elementwise(call)
    return call.append(Gate(call.kind, call.shape), call.data)


@reads("cat", "concat", "concatenate")
def _concat(call: Call) -> Value:
    arms = call["tensors"]
    axis = axis_of(call.dims["tensors"][0], call["dim"])
    if len(call.data) == 1 == len(arms):
        return call.data[0]
    if axis is None or len({len(arm.shape) for arm in call.data}) > 1:
        return call.opaque(local=False)
    parts = []
    for arm, dims in zip(arms, call.dims["tensors"], strict=True):
        if isinstance(arm, Constant):
            arm = call.append(Zeros(per_image(dims)), [])
        parts.append(arm)
    return call.append(Concat(axis), parts)


@reads(
    "addcmul",
    "addcdiv",
    "stack",
    "maximum",
    "minimum",
    "where",
    "lerp",
    "atan2",
    "hypot",
)
def _merge(call: Call) -> Value:
    return call.opaque()
