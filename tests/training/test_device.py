"""Facts about devices, precision and exhausted memory."""

import pytest
import torch

from nasdepth.training.device import is_out_of_memory, pick_device, pick_precision


def test_cpu_is_always_there():
    assert pick_device("cpu") == torch.device("cpu")


def test_auto_is_cuda_where_present_and_the_cpu_else(monkeypatch):
    for present, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda present=present: present)
        assert pick_device().type == kind


@pytest.mark.parametrize("name", ["gpu", "cuda:64", "meta", "", "cpu:x"])
def test_absent_device_is_refused_with_the_choices(name):
    with pytest.raises(ValueError, match=r"must be one of auto.*, but got") as caught:
        pick_device(name)

    assert "\n" not in str(caught.value)


def test_cuda_devices_are_counted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    assert pick_device("cuda") == torch.device("cuda")
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="auto, cuda, cpu, cuda:0, cuda:1, but got"):
        pick_device("cuda:2")


@pytest.mark.parametrize(("tiles", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_cpu_is_bf16_only_with_tiles(monkeypatch, tiles, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)

    assert pick_precision("auto", torch.device("cpu")) == expected


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_cuda_is_bf16_only_where_native(monkeypatch, native, expected):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: native
    )

    assert pick_precision("auto", torch.device("cuda")) == expected


def test_named_precision_is_taken():
    assert pick_precision("bf16", torch.device("cpu")) == "bf16"


def test_exhausted_cpu_memory_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)

    assert is_out_of_memory(caught.value)


def test_exhausted_cuda_memory_is_recognised():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), ValueError("can't allocate memory")]
)
def test_other_errors_are_not(error):
    assert not is_out_of_memory(error)
