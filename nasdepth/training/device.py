"""Which device trains, in which precision and layout, and how it runs out of memory.

`pick_precision` follows from the hardware by rule; `probe.py` times it.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, Literal

import torch

Precision = Literal["auto", "fp32", "bf16"]

# What allocators of the CPU say, and what of CUDA is no torch.OutOfMemoryError: the
# driver, and libraries that allocate on their own.
_OUT_OF_MEMORY: Final = (
    "can't allocate memory",
    "not enough memory",
    # oneDNN, which makes the code of a kernel at its first call
    "could not create a primitive",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    # cuDNN, where no algorithm finds room for its workspace
    "unable to find an engine",
    "Unable to find a valid cuDNN algorithm",
)
# What a failed kernel is told by, apart from torch.AcceleratorError.
_POISONED: Final = (
    "CUDA error",
    "device-side assert",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_EXECUTION_FAILED",
)


def pick_device(name: str = "auto") -> torch.device:
    """Device of that name; "auto" is CUDA where present, else the CPU.

    Raises:
        ValueError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    present = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    choices = ", ".join(["auto", *(["cuda"] if len(present) > 1 else []), *present])
    rule = f"The device must be one of {choices}, but got {name!r}."
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(rule) from error
    if f"{device.type}:{device.index or 0}" not in (*present, "cpu:0"):
        raise ValueError(rule)
    return device


def pick_precision(name: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """Precision to train in; "auto" is bf16 on hardware that multiplies in it.

    That is CUDA with bf16, or a CPU with AMX tiles (not measured). A CPU that has only
    the AVX-512 instructions for bf16 is faster in fp32. Channels-last always wins.
    Images/s of training steps of 128 images of 28x28, widths of the three stages left,
    one thread of a Xeon (model 207, AVX-512 bf16, no AMX), torch 2.15:

                             fp32        fp32           bf16        bf16
                             NCHW        channels-last  NCHW        channels-last
        plain    16-32-64    1048        1237           957         1042
        residual 16-32-64     931        1245           935         1006
        inverted 16-32-64     268         516           297          321
        dense    16-32-64     278         358           285          302
        plain    32-64-64     492         595           388          410
        residual 32-64-64     440         542           351          376
        inverted 32-64-64      88         148           108          124
        dense    32-64-64     159         242           191          212
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if native else "fp32"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "fp32"


def computes_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bf16 at all: worth a timing."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    tiles: bool = torch.cpu._is_amx_tile_supported()
    return tiles or bool(torch.cpu._is_avx512_bf16_supported())


def autocast(
    device: torch.device, precision: str, *, cached: bool = True
) -> AbstractContextManager[object]:
    """Context in which a network computes in a precision, "fp32" or "bf16".

    Args:
        device: where it computes.
        precision: of its products.
        cached: whether weights are cast once within the context.
    """
    if precision == "fp32":
        return nullcontext()  # a disabled autocast costs 10 µs a step
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=cached)


def current(device: torch.device) -> AbstractContextManager[object]:
    """Context in which a GPU is the current one, as events and graphs ask for.

    Args:
        device: of all tensors; on the CPU nothing changes.
    """
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@contextmanager
def deterministic_algorithms(enabled: bool) -> Iterator[None]:
    """Kernels that give the same bits each time.

    Args:
        enabled: False leaves all as it is.

    Raises:
        ValueError: at the end, where there is no such kernel for what is computed here.
    """
    if not enabled:
        yield
        return
    # cuBLAS reads it when its first handle is made; see "Reproducibility" in its manual
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    mode = torch.get_deterministic_debug_mode()
    cudnn = torch.backends.cudnn
    flags = cudnn.deterministic, cudnn.benchmark
    guard: Any = torch.utils.deterministic  # its class has the attribute
    filled = guard.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    # against kernels that read what nobody wrote; 6 to 13 % of a step on a CPU
    guard.fill_uninitialized_memory = False
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        told = str(error).splitlines()[0]
        raise ValueError(f"deterministic must be false here: {told}") from error
    finally:
        cudnn.deterministic, cudnn.benchmark = flags
        guard.fill_uninitialized_memory = filled
        torch.set_deterministic_debug_mode(mode)
        if workspace is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def is_poisoned(error: BaseException) -> bool:
    """Whether an exception says that a kernel failed and its CUDA context with it.

    Nothing runs in that process on that device again. Memory that was exhausted leaves
    the context whole.
    """
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    text = str(error)
    known = isinstance(error, torch.AcceleratorError)
    return known or any(phrase in text for phrase in _POISONED)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory was exhausted, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        phrase in text for phrase in _OUT_OF_MEMORY
    )
