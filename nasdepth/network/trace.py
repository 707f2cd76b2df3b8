"""Graphs from foreign networks: any classifier that torch can export is read.

`torch.export` runs the module's own Python on tensors without values, so that loops
and branches on shapes are followed as they are; what it records is read call by call,
by the table in `aten_layers` and `aten_maps`. What cannot be read is an error that
names the module, never a wrong number.
"""

from collections.abc import Sequence
from dataclasses import replace
from operator import getitem
from typing import Any, Final

import torch
from torch import nn

from nasdepth.architecture.graph import Graph, Node
from nasdepth.architecture.opaque import Opaque, Weights
from nasdepth.architecture.ops import (
    Conv,
    Identity,
    Input,
    InvalidGraph,
    Linear,
    Op,
    Shape,
)
from nasdepth.network import aten_layers, aten_maps
from nasdepth.network.call import (
    TABLE,
    Call,
    Choice,
    Constant,
    Data,
    Unreadable,
    Value,
    holds_batch,
    per_image,
)
from nasdepth.network.exported import (
    dims_of,
    exported,
    kind_of,
    module_of,
    namespace_of,
    place_of,
    stale_writes,
    writes,
)

#: the parts of the table of operations that are read by
_TABLES: Final = (aten_layers, aten_maps)


def trace(module: nn.Module, input_shape: Shape) -> Graph:
    """Graph of a classifier in evaluation mode, for one image of the given shape.

    >>> from torchvision.models import resnet18
    >>> from nasdepth.measures.catalogue import measure
    >>> measure(trace(resnet18(), (3, 64, 64)), ["nominal_depth"])
    {'nominal_depth': 18}

    Args:
        module: maps images `(batch, *input_shape)` to scores `(batch, classes)`. Left
            as it is; its parameters may lie on the meta device.
        input_shape: `(channels, height, width)`, or `(features,)`.

    Raises:
        Unreadable: torch cannot export the module, it takes several inputs or gives
            several outputs, or a call is not in the table.
    """
    program = exported(module, input_shape)
    return _Reader(program).graph(input_shape)


class _Reader:
    """Reads one exported program."""

    def __init__(self, program: Any) -> None:
        self._program = program
        self._stale = stale_writes(program)
        self._nodes: list[Node] = []
        self._shapes: list[Shape] = []
        self._values: dict[Any, Any] = {}
        self._counted: set[str] = set()
        self._scopes = {"input"}

    def graph(self, input_shape: Shape) -> Graph:
        """Graph of the program."""
        self._nodes.append(Node(Input(input_shape), scope="input"))
        self._shapes.append(input_shape)
        for step in self._program.graph.nodes:
            if step.op == "placeholder":
                self._values[step] = self._given(step, input_shape)
            elif step.op == "call_function":
                self._values[step] = self._read(step)
            elif step.op == "output":
                return self._finished(step)
            else:
                self._values[step] = Constant()
        raise AssertionError("an exported program ends with its output")

    def _given(self, step: Any, input_shape: Shape) -> Value:
        signature = self._program.graph_signature
        if step.name in signature.inputs_to_parameters:
            return Constant(frozenset({signature.inputs_to_parameters[step.name]}))
        for names, tensors in (
            (signature.inputs_to_buffers, dict(self._program.named_buffers())),
            (signature.inputs_to_lifted_tensor_constants, self._program.constants),
        ):
            if step.name in names:
                tensor = tensors.get(names[step.name])
                held = tensor is not None and tensor.device.type != "meta"
                return Constant(value=tensor if held else None)
        return Data(0, input_shape, grid="first" if len(input_shape) == 3 else "")

    def _read(self, step: Any) -> Any:
        if step.target is getitem:
            return self._values[step.args[0]][step.args[1]]
        call = self._call(step)
        where = f"Cannot read {call.kind!r} {place_of(step)}"
        if not call.data:
            return self._folded(step, call)
        if namespace_of(step) not in ("aten", "") or call.kind not in TABLE:
            if step.meta.get("val") is None and not writes(step):
                return Constant()  # an assertion
            part = ": it writes into a part of a tensor" if writes(step) else ""
            raise Unreadable(f"{where}{part}.")
        if step in self._stale:
            raise Unreadable(f"{where}: it writes into a part of what is read later.")
        try:
            found = TABLE[call.kind](call)
        except (Unreadable, InvalidGraph) as error:
            raise Unreadable(f"{where}: {str(error).rstrip('.')}.") from error
        except Exception as error:  # a form of the call that the table has not met
            raise Unreadable(f"{where}: {type(error).__name__}: {error}.") from error
        if not isinstance(found, Constant):
            _check(step, call, found, where)
        return found

    def _folded(self, step: Any, call: Call) -> Value:
        """A call that the image does not reach."""
        constant = Constant(call.learnt)
        several = isinstance(step.meta.get("val"), list | tuple)
        return [constant] * len(step.meta["val"]) if several else constant

    def _call(self, step: Any) -> Call:
        arguments, dims = self._bound(step)
        values = step.meta.get("val")
        outputs = values if isinstance(values, list | tuple) else [values]
        shapes = tuple(per_image(v.shape) for v in outputs if hasattr(v, "shape"))

        def append(op: Op, inputs: Sequence[Data]) -> Data:
            return self._append(step, call, op, inputs)

        call = Call(kind_of(step), arguments, dims, shapes, append)
        return call

    def _bound(self, step: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arguments and the shapes of tensors among them, by the schema's names."""
        schema = getattr(step.target, "_schema", None)
        if schema is None:
            # a Python function on numbers, or a block with its own graph
            given = [*step.args, *step.kwargs.values()]
            named = {str(i): argument for i, argument in enumerate(given)}
        else:
            named = {}
            for i, formal in enumerate(schema.arguments):
                default = step.kwargs.get(formal.name, formal.default_value)
                named[formal.name] = step.args[i] if i < len(step.args) else default
        arguments = {name: self._value(each) for name, each in named.items()}
        return arguments, {name: dims_of(each) for name, each in named.items()}

    def _value(self, argument: Any) -> Any:
        if isinstance(argument, torch.fx.Node):
            value = self._values[argument]
            if isinstance(value, Choice):
                raise Unreadable("which elements are taken depends on the image")
            return value
        if isinstance(argument, list | tuple):
            return [self._value(each) for each in argument]
        return argument

    def _append(self, step: Any, call: Call, op: Op, inputs: Sequence[Data]) -> Data:
        """Add a node; weights that it does not hold by itself follow as one more."""
        shapes = [self._shapes[each.node] for each in inputs]
        fresh = call.learnt - self._counted
        self._counted |= fresh
        held = sum(self._size(name) for name in fresh)
        if op.params(shapes) > held:
            op = _without_weights(op, op.shape(shapes))
        surplus = held - op.params(shapes)
        data = self._node(step, call.kind, op, inputs)
        if not surplus:
            return data
        return self._node(step, "parameters", Weights("", data.shape, surplus), [data])

    def _node(self, step: Any, kind: str, op: Op, inputs: Sequence[Data]) -> Data:
        shape = op.shape([self._shapes[each.node] for each in inputs])
        sources = tuple(each.node for each in inputs)
        self._nodes.append(Node(op, sources, self._scope(step, kind)))
        self._shapes.append(shape)
        grids = [each.grid for each in inputs if each.grid]
        grid = grids[0] if grids and len(shape) >= 3 else ""
        return Data(len(self._nodes) - 1, shape, grid=grid)

    def _scope(self, step: Any, kind: str) -> str:
        path, layer = module_of(step)
        own = layer.startswith("torch.nn.modules.") and kind != "parameters"
        base = path if own and path else f"{path}.{kind}".strip(".")
        name, count = base, 1
        while name in self._scopes:
            count += 1
            name = f"{base}_{count}"
        self._scopes.add(name)
        return name

    def _size(self, name: str) -> int:
        return int(self._program.state_dict[name].numel())

    def _finished(self, step: Any) -> Graph:
        (outputs,) = step.args
        if len(outputs) != 1 or not isinstance(outputs[0], torch.fx.Node):
            raise Unreadable(
                f"A classifier gives one tensor of scores, but got {len(outputs)} "
                f"outputs: {', '.join(type(each).__name__ for each in outputs)}."
            )
        last = self._values[outputs[0]]
        if not isinstance(last, Data):
            raise Unreadable("The output does not depend on the image.")
        nodes = self._nodes
        if last.node != len(nodes) - 1:
            nodes = [*nodes, Node(Identity(), (last.node,), "output")]
        return Graph(tuple(nodes))


def _check(step: Any, call: Call, found: Any, where: str) -> None:
    """Refuse what was read wrongly, and what mixes images or picks some.

    Raises:
        Unreadable: that it is so.
    """
    if isinstance(found, Data) and found.shape != call.shape:
        shapes = f"{found.shape}, where torch gives {call.shape}"
        raise Unreadable(f"{where}: it was read as {shapes}.")
    values = step.meta["val"]
    outputs = values if isinstance(values, list | tuple) else [values]
    if not all(holds_batch(output.shape) for output in outputs):
        raise Unreadable(f"{where}: it mixes or picks images of the batch.")


def _without_weights(op: Op, shape: Shape) -> Op:
    """The operation where its weights are counted elsewhere, or are not learnt."""
    if isinstance(op, Conv | Linear):
        return replace(op, tied=True)
    return Opaque(type(op).__name__, shape)
