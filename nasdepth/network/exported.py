"""Programs that `torch.export` records of foreign modules, and facts of their calls."""

import io
import re
import warnings
from contextlib import redirect_stderr, redirect_stdout
from operator import getitem
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nasdepth.architecture.ops import Shape
from nasdepth.network.call import BATCH, Unreadable


def exported(module: nn.Module, input_shape: Shape) -> Any:
    """The program of a module in evaluation mode, as `torch.export` records it.

    Raises:
        Unreadable: whatever the module's own code raises, in one line.
    """
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    # whatever the module keeps while it runs is a tensor without values
    before = [(each, dict(each.__dict__)) for each in module.modules()]
    try:
        # torch writes the program it could not finish; the error says it shorter
        quiet = io.StringIO()
        with warnings.catch_warnings(), redirect_stderr(quiet), redirect_stdout(quiet):
            warnings.simplefilter("ignore")
            # not by eval(), which a module may have made its own
            for each, _ in before:
                each.training = False
            image = torch.zeros(BATCH, *input_shape, device=device)
            return torch.export.export(module, (image,), strict=False)
    except Exception as error:  # whatever the module's own code raises
        raise Unreadable(_why(error, module, input_shape)) from error
    finally:
        for each, attributes in before:
            each.__dict__.clear()
            each.__dict__.update(attributes)


def _why(error: Exception, module: nn.Module, input_shape: Shape) -> str:
    """One line: what the module's code raised, and where."""
    kind = type(module).__name__
    place = _own_line(error)
    text = str(error).strip().split("\n")[0]
    if "data-dependent" in str(error) or "DataDependent" in type(error).__name__:
        text = "its Python code branches on what the image holds"
    if text.startswith("missing a required argument"):
        text = f"it takes several inputs, and a classifier one: {text}"
    size = ",".join(map(str, input_shape))
    return (
        f"Cannot trace {kind} on images of {size}{place}: "
        f"{type(error).__name__}: {text}"
    )


def _own_line(error: Exception) -> str:
    """The last line outside torch that the error passed."""
    found = ""
    step = error.__traceback__
    while step:
        file = Path(step.tb_frame.f_code.co_filename)
        if not {"torch", "nasdepth", "inspect.py"} & {*file.parts}:
            found = f" ({file.name}:{step.tb_lineno})"
        step = step.tb_next
    return found


def dims_of(argument: Any) -> Any:
    """Shape of a tensor argument, or of each in a list."""
    if isinstance(argument, list | tuple):
        return [dims_of(each) for each in argument]
    value = argument.meta.get("val") if isinstance(argument, torch.fx.Node) else None
    return tuple(getattr(value, "shape", ()))


def kind_of(step: Any) -> str:
    """Name of an operation: "relu" of `aten.relu_.default`."""
    name = getattr(step.target, "_opname", None) or step.target.__name__
    return str(name).removesuffix("_")


def module_of(step: Any) -> tuple[str, str]:
    """Path and class of the innermost module that made the call."""
    stack = list((step.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    return str(path), kind if isinstance(kind, str) else kind.__qualname__


def place_of(step: Any) -> str:
    """Module, class and line of a call."""
    path, kind = module_of(step)
    lines = re.findall(
        r'File "([^"]+)", line (\d+)', step.meta.get("stack_trace") or ""
    )
    at = f", {Path(lines[-1][0]).name}:{lines[-1][1]}" if lines else ""
    where = f"module {path!r}" if path else "the module itself"
    return f"in {where} ({kind.rpartition('.')[2]}{at})"


def namespace_of(step: Any) -> str:
    """Library of an operation: "aten", or "" for Python's own."""
    return str(getattr(step.target, "namespace", ""))


def writes(step: Any) -> bool:
    """Whether a call changes one of its arguments."""
    return any(info.is_write for info, _ in _aliases(step))


def stale_writes(program: Any) -> set[Any]:
    """Calls that write in place what is read later under another name.

    A view and its source share memory, but a recorded read of one does not tell that
    the other was written since. Where a call writes elsewhere than into its first
    argument ("out"), what is read later is always another name.
    """
    order = {step: i for i, step in enumerate(program.graph.nodes)}
    shared: dict[Any, list[Any]] = {}
    found = set()
    for step in order:
        group = [step]
        for info, source in _aliases(step):
            joined = shared.get(source, [source])
            others = (user for each in joined for user in each.users)
            late = any(order[user] > order[step] for user in others)
            if info.is_write and (late or source is not step.args[0]):
                found.add(step)
            group = [*joined, *group]
        for each in group:
            shared[each] = group
    return found


class _View:
    """How an element of a list of views shares memory with it."""

    is_write = False


def _aliases(step: Any) -> list[tuple[Any, Any]]:
    """Arguments that share memory with what a call gives, and how."""
    if step.target is getitem:
        return [(_View, step.args[0])]
    schema = getattr(step.target, "_schema", None)
    pairs = []
    for i, formal in enumerate(schema.arguments if schema else ()):
        given = step.args[i] if i < len(step.args) else step.kwargs.get(formal.name)
        if formal.alias_info is not None and isinstance(given, torch.fx.Node):
            pairs.append((formal.alias_info, given))
    return pairs
