"""Programs that `torch.export` records of foreign modules, and facts of their calls."""

import io
import re
import warnings
from contextlib import redirect_stderr
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
    image = torch.zeros(BATCH, *input_shape, device=device)
    modes = [(m, m.training) for m in module.modules()]
    try:
        # torch writes the program it could not finish there; the error says it shorter
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            module.eval()
            return torch.export.export(module, (image,), strict=False)
    except Exception as error:  # whatever the module's own code raises
        raise Unreadable(_why(error, module, input_shape)) from error
    finally:
        for each, training in modes:
            each.training = training


def _why(error: Exception, module: nn.Module, input_shape: Shape) -> str:
    """One line: what the module's code raised, and where."""
    kind = type(module).__name__
    place = _own_line(error)
    text = str(error).strip().split("\n")[0]
    if "data-dependent" in str(error) or "DataDependent" in type(error).__name__:
        text = "its Python code branches on what the image holds"
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
        if "torch" not in file.parts and "nasdepth" not in file.parts:
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
    return f"in module {path or 'itself'!r} ({kind.rpartition('.')[2]}{at})"


def stale_writes(program: Any) -> set[Any]:
    """Calls that write in place what is read later under another name.

    A view and its source share memory, but a recorded read of one does not tell that
    the other was written since.
    """
    order = {step: i for i, step in enumerate(program.graph.nodes)}
    shared: dict[Any, list[Any]] = {}
    found = set()
    for step in order:
        schema = getattr(step.target, "_schema", None)
        source = step.args[0] if step.args else None
        info = schema.arguments[0].alias_info if schema and schema.arguments else None
        group = shared.get(source, [source]) if info is not None else []
        if info is not None and info.is_write:
            others = (user for each in group for user in each.users)
            if any(order[user] > order[step] for user in others):
                found.add(step)
        group.append(step)
        shared[step] = group
        if info is not None:
            shared[source] = group
    return found
