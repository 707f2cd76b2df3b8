"""Which device trains, in which precision and layout, and how it runs out of memory.

Precision and layout follow from the hardware by rule and not from a timing, so that
one machine always trains the same way.
"""

from typing import Literal

import torch

Precision = Literal["auto", "fp32", "bf16"]

# What allocators of the CPU say; CUDA has torch.OutOfMemoryError.
_CPU_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory")


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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory was exhausted, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        phrase in text for phrase in _CPU_OUT_OF_MEMORY
    )
