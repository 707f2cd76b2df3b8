"""How `trace` reads torch's layers, merges and gates.

A transformation is a convolution, a linear layer or a product with a learnt matrix.
Sums and differences of two maps are merges. A product of two maps is a gate where one
factor is smaller than the other or was squashed into a range (squeeze-excite,
attention weights): then the other passes through; else it is a merge too.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Final

from nasdepth.architecture.opaque import Filter, Gate, Opaque, OpaqueLayer
from nasdepth.architecture.ops import Add, Concat, Conv, Linear, Pair, Shape, Zeros
from nasdepth.network.aten_maps import elementwise
from nasdepth.network.call import (
    BATCH,
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
    # a fixed kernel, as in blurred pooling, transforms nothing
    kind = Conv if call["weight"].weights else Filter
    op = kind(
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
    source, weight = data_of(call, "input"), call.dims["weight"]
    places = source.shape if "transpose" in call.kind else call.shape
    products = prod(places) * prod(weight[1:])
    layer = OpaqueLayer(call.kind, call.shape, 0, products, local=False)
    found = call.append(layer, [source])
    if isinstance(call["weight"], Data):  # what makes the kernel weighs the result
        gate = Gate(call.kind, call.shape, local=False)
        found = call.append(gate, [found, call["weight"]])
    return found


@reads("linear")
def _linear(call: Call) -> Value:
    source, weight = call["input"], call["weight"]
    learnt = isinstance(weight, Constant) and weight.weights
    if not (learnt and isinstance(source, Data)):
        return _matmul(call)
    features = call.dims["weight"][0]
    found = call.append(Linear(features, call["bias"] is not None), [source])
    if found.grid == "first":  # it runs along the width
        found = call.opaque(found, local=False)
    # heads of attention weights that are mixed with each other are still weights
    mixed = source.squashed and found.shape == source.shape
    return replace(found, squashed=mixed)


#: names of the two matrices, by operation
_FACTORS: Final = {
    "linear": ("input", "weight"),
    "matmul": ("self", "other"),
    "mm": ("self", "mat2"),
    "bmm": ("self", "mat2"),
    "addmm": ("mat1", "mat2"),
    "baddbmm": ("batch1", "batch2"),
}


@reads(*(kind for kind in _FACTORS if kind != "linear"))
def _matmul(call: Call) -> Value:
    first, second = _FACTORS[call.kind]
    products = prod(call.shape) * call.dims[first][-1]
    found = _contraction(call, call[first], call[second], products)
    added = call.arguments.get("self") if call.kind in ("addmm", "baddbmm") else None
    if isinstance(added, Data):
        return call.append(Add(), [found, _grown(call, added)])
    return found


@reads("einsum")
def _einsum(call: Call) -> Value:
    equation = call["equation"].replace(" ", "")
    terms, _, result = equation.partition("->")
    names = terms.split(",")
    if "." in equation or len(names) != len(call.values) or len(names) > 2:
        raise Unreadable(f"the equation {equation!r} is none of two named factors")
    sizes: dict[str, int] = {}
    for name, dims in zip(names, call.dims["tensors"], strict=True):
        sizes.update(zip(name, dims, strict=True))
    if len(names) == 1 or (result and set(sizes) == set(result)):
        return call.opaque(local=False)  # nothing is summed: a scale, a turn
    first, second = call.values
    return _contraction(call, first, second, prod(sizes.values()) // BATCH)


def _contraction(
    call: Call, first: Data | Constant, second: Data | Constant, products: int
) -> Data:
    """Product of matrices: a layer with a learnt one, a gate with a squashed one."""
    if not (isinstance(first, Data) and isinstance(second, Data)):
        factors = [each for each in (first, second) if isinstance(each, Data)]
        if any(each.weights for each in (first, second) if isinstance(each, Constant)):
            layer = OpaqueLayer(call.kind, call.shape, 0, products, local=False)
            return call.append(layer, factors)
        return call.opaque(*factors, local=False, products=products)
    if first.squashed == second.squashed:
        return call.opaque(first, second, local=False, products=products)
    passed, gate = (second, first) if first.squashed else (first, second)
    weighed = Gate(call.kind, call.shape, 0, products, local=False)
    return call.append(weighed, [passed, gate])


@reads("scaled_dot_product_attention")
def _attention(call: Call) -> Value:
    """Values pass; queries, keys and a mask weigh them, some of which may be learnt."""
    value = data_of(call, "value")
    *heads, queries, features = per_image(call.dims["query"])
    keys = call.dims["key"][-2]
    scores: Shape = (*heads, queries, keys)
    given = (call["query"], call["key"], call["attn_mask"])
    weighing = [each for each in given if isinstance(each, Data)]
    seen = Opaque("scores", scores, 0, prod(scores) * features, local=False)
    gate = call.append(seen, weighing)
    products = prod(scores) * value.shape[-1]
    passed = Gate("attention", call.shape, 0, products, local=False)
    return call.append(passed, [value, gate])


# --- merges and gates


@reads("add", "sub", "rsub")
def _add(call: Call) -> Value:
    return elementwise(call) if len(call.data) == 1 else _sum(call, call.data)


def _sum(call: Call, arms: Sequence[Data]) -> Data:
    found = call.append(Add(), [_grown(call, arm) for arm in arms])
    return replace(found, squashed=all(arm.squashed for arm in arms))


def _grown(call: Call, arm: Data) -> Data:
    """The arm, repeated to the shape of the result."""
    if arm.shape == call.shape:
        return arm
    return call.append(Opaque("expand", call.shape), [arm])


@reads("mul")
def _product(call: Call) -> Value:
    if len(call.data) == 1:
        return elementwise(call)
    return _multiplied(call, *call.data)


def _multiplied(call: Call, first: Data, second: Data) -> Data:
    """Product of two maps: a gate where one is smaller or squashed, else a merge."""
    if first.node == second.node:
        return replace(call.opaque(first), squashed=first.squashed)
    sizes = prod(first.shape), prod(second.shape)
    both = first.squashed and second.squashed
    alike = sizes[0] == sizes[1] and first.squashed == second.squashed
    if alike or max(sizes) < prod(call.shape):
        arms = (_grown(call, first), _grown(call, second))
        return replace(call.opaque(*arms), squashed=both)
    if sizes[0] != sizes[1]:
        passed, gate = (first, second) if sizes[0] > sizes[1] else (second, first)
    else:
        passed, gate = (second, first) if first.squashed else (first, second)
    found = call.append(Gate("mul", call.shape), [passed, gate])
    return replace(found, squashed=both)


@reads("div")
def _quotient(call: Call) -> Value:
    if len(call.data) == 1:
        return elementwise(call)
    return _divided(call, *call.data)


def _divided(call: Call, first: Data, second: Data) -> Data:
    """A map over a measure of itself, as in a normalization: the map passes."""
    found = call.append(Gate("div", call.shape), [_grown(call, first), second])
    return replace(found, squashed=first.squashed or second.total == first.node)


@reads("addcmul", "addcdiv")
def _fused(call: Call) -> Value:
    """A map plus the product or quotient of two."""
    factors = [each for each in (call["tensor1"], call["tensor2"]) if _is(each)]
    if len(factors) == 2:
        combine = _multiplied if call.kind == "addcmul" else _divided
        factors = [combine(call, *factors)]
    arms = [each for each in (call["self"], *factors) if _is(each)]
    return _sum(call, arms) if len(arms) > 1 else call.opaque(*arms)


@reads("lerp")
def _lerp(call: Call) -> Value:
    """Two maps, one weighed by a third and the other by what that leaves."""
    arms = [each for each in (call["self"], call["end"]) if _is(each)]
    weight = call["weight"]
    if isinstance(weight, Data):
        arms = [_multiplied(call, arm, weight) for arm in arms]
    return _sum(call, arms) if len(arms) > 1 else call.opaque(*arms)


def _is(value: object) -> bool:
    return isinstance(value, Data)


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


@reads("stack", "maximum", "minimum", "where", "atan2", "hypot")
def _merge(call: Call) -> Value:
    data = call.data
    arms = data if call.kind == "stack" else [_grown(call, arm) for arm in data]
    squashed = all(arm.squashed for arm in data)
    return replace(call.opaque(*arms), squashed=squashed)
