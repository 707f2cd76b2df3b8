"""A graph as Python source: the module that is trained is the file that is exported.

The class holds its layers under their scopes, so `state_dict` names are scopes; the
forward pass is one line a node, in methods named after the outermost scope. Nodes
that do not lead to the output are held but not run. Only torch is needed.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Final, TypeAlias

from nasdepth.architecture.graph import Graph, Node, reachable
from nasdepth.architecture.opaque import Opaque
from nasdepth.architecture.ops import (
    Activation,
    AdaptivePool,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GroupNorm,
    Identity,
    InvalidGraph,
    Linear,
    Op,
    Pool,
    Select,
    Shape,
    Zeros,
)

HEADER: Final = '''import torch
import torch.nn.functional as F
from torch import nn


class Scope(nn.Module):
    """Modules under their names."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class Select(nn.Module):
    """The named channels of the input."""

    def __init__(self, *channels):
        super().__init__()
        self.register_buffer("channels", torch.tensor(channels), persistent=False)

    def forward(self, x):
        return x.index_select(1, self.channels)
'''

_Module: TypeAlias = Callable[[Op, list[Shape]], str]


def _conv(op: Op, inputs: list[Shape]) -> str:
    assert isinstance(op, Conv)
    words = [inputs[0][0], op.channels, op.kernel]
    options = {
        "stride": (op.stride, 1),
        "padding": (op.padding, 0),
        "dilation": (op.dilation, 1),
        "groups": (op.groups, 1),
        "bias": (op.bias, True),
    }
    return _call("nn.Conv2d", words, options)


def _linear(op: Op, inputs: list[Shape]) -> str:
    assert isinstance(op, Linear)
    return _call("nn.Linear", [inputs[0][-1], op.features], {"bias": (op.bias, True)})


def _group_norm(op: Op, inputs: list[Shape]) -> str:
    assert isinstance(op, GroupNorm)
    return f"nn.GroupNorm({op.groups}, {inputs[0][0]})"


def _batch_norm(op: Op, inputs: list[Shape]) -> str:
    return f"nn.BatchNorm{2 if len(inputs[0]) == 3 else 1}d({inputs[0][0]})"


def _dropout(op: Op, inputs: list[Shape]) -> str:
    assert isinstance(op, Dropout)
    return f"nn.Dropout({op.rate})"


def _select(op: Op, inputs: list[Shape]) -> str:
    assert isinstance(op, Select)
    return f"Select({', '.join(map(str, op.channels))})"


#: constructors of the operations that hold a state or behave otherwise in training
_MODULES: Final[Mapping[type[Op], _Module]] = {
    Conv: _conv,
    Linear: _linear,
    BatchNorm: _batch_norm,
    GroupNorm: _group_norm,
    Dropout: _dropout,
    Select: _select,
}


def network_source(graph: Graph, name: str = "Network") -> str:
    """Source of a class whose instances compute the graph.

    The forward pass maps `(batch, channels, height, width)` to class scores
    `(batch, classes)`.
    """
    shapes = graph.shapes()
    modules: dict[str, object] = {}
    for node in graph.nodes:
        if type(node.op) in _MODULES:
            make = _MODULES[type(node.op)]
            _put(modules, node.scope, make(node.op, [shapes[i] for i in node.inputs]))
    lines = [f"class {name}(nn.Module):", "    def __init__(self):"]
    lines.append("        super().__init__()")
    for key, content in modules.items():
        lines.append(f"        self.{key} = {_nested(content, 8)}")
    return "\n".join([*lines, "", *_forward(graph), ""])


def _put(modules: dict[str, object], scope: str, text: str) -> None:
    *parents, leaf = scope.split(".")
    for parent in parents:
        inner = modules.setdefault(parent, {})
        assert isinstance(inner, dict)
        modules = inner
    modules[leaf] = text


def _nested(content: object, indent: int) -> str:
    if not isinstance(content, dict):
        return str(content)
    pad = " " * (indent + 4)
    inner = [
        f"{pad}{key}={_nested(each, indent + 4)},\n" for key, each in content.items()
    ]
    return f"Scope(\n{''.join(inner)}{' ' * indent})"


def _forward(graph: Graph) -> list[str]:
    """The forward method, and one method for each run of one outermost scope."""
    reads = _reads(graph)
    last = _last_readers(reads)
    names = _variables(reads, last)
    methods: list[str] = []
    calls = ["    def forward(self, x):"]
    times: Counter[str] = Counter()
    live = sorted(reachable(len(reads) - 1, reads) - {0})
    for scope, run in groupby(live, key=lambda i: graph.nodes[i].scope.split(".")[0]):
        own = list(run)
        given = ", ".join(
            sorted({names[i] for k in own for i in reads[k] if i < own[0]})
        )
        results = ", ".join(sorted({names[i] for i in own if last[i] > own[-1]}))
        times[scope] += 1
        method = f"run_{scope}" + (f"_{times[scope]}" if times[scope] > 1 else "")
        methods += [f"    def {method}(self, {given}):"]
        methods += [
            f"        {names[i]} = "
            + _expression(graph.nodes[i], [names[k] for k in reads[i]])
            for i in own
        ]
        methods += [f"        return {results}", ""]
        calls.append(f"        {results} = self.{method}({given})")
    calls.append(f"        return {names[-1]}")
    return [*calls, "", *methods[:-1]]


def _reads(graph: Graph) -> list[tuple[int, ...]]:
    """Nodes that each line reads; a constant takes batch and type from the image."""
    return [(0,) if isinstance(node.op, Zeros) else node.inputs for node in graph.nodes]


def _last_readers(reads: Sequence[Sequence[int]]) -> list[int]:
    """For every node the last one that leads to the output and reads it."""
    last = list(range(len(reads)))
    for index in sorted(reachable(len(reads) - 1, reads)):
        for source in reads[index]:
            last[source] = index
    last[-1] = len(reads)
    return last


def _variables(reads: Sequence[Sequence[int]], last: Sequence[int]) -> list[str]:
    """Variable of every node: its first input's, once nobody else will read that."""
    names: list[str] = []
    busy: dict[str, int] = {}
    for index, sources in enumerate(reads):
        free = [names[i] for i in sources if busy[names[i]] <= index]
        name = free[0] if free else _fresh(busy, index)
        names.append(name)
        busy[name] = last[index]
    return names


def _fresh(busy: dict[str, int], index: int) -> str:
    pool = ["x", "y", "z", *(f"v{k}" for k in range(len(busy)))]
    return next(name for name in pool if busy.get(name, -1) < index)


def _expression(node: Node, inputs: list[str]) -> str:
    if type(node.op) in _MODULES:
        return f"self.{node.scope}({inputs[0]})"
    match node.op:
        case Activation(kind="tanh"):
            return f"torch.tanh({inputs[0]})"
        case Activation(kind=kind):
            return f"F.{kind}({inputs[0]})"
        case Pool(kind="max") as op:
            options = {
                "padding": (op.padding, 0),
                "dilation": (op.dilation, 1),
                "ceil_mode": (op.ceil, False),
            }
            return _call("F.max_pool2d", [inputs[0], op.kernel, op.stride], options)
        case Pool() as op:
            options = {"padding": (op.padding, 0), "ceil_mode": (op.ceil, False)}
            return _call("F.avg_pool2d", [inputs[0], op.kernel, op.stride], options)
        case AdaptivePool(grid=grid):
            return f"F.adaptive_avg_pool2d({inputs[0]}, {grid})"
        case Flatten():
            return f"{inputs[0]}.flatten(1)"
        case Add():
            return " + ".join(inputs)
        case Concat(axis=axis):
            return f"torch.cat([{', '.join(inputs)}], {axis + 1})"
        case Identity():
            return inputs[0]
        case Zeros(dims=dims):
            sides = ", ".join(map(str, dims))
            return f"{inputs[0]}.new_zeros({inputs[0]}.shape[0], {sides})"
        case Opaque(kind=kind):
            raise InvalidGraph(
                f"{kind!r} was read from foreign code, and is measured but not built."
            )
    raise AssertionError(f"no expression for {node.op!r}")


def _call(
    name: str, words: Sequence[object], options: Mapping[str, tuple[object, object]]
) -> str:
    """Call with those options that differ from the default beside them."""
    given = [
        f"{key}={value}" for key, (value, usual) in options.items() if value != usual
    ]
    return f"{name}({', '.join([*map(str, words), *given])})"
