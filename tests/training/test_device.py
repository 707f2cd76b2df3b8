"""Facts about devices, precision and exhausted memory."""

import os

import pytest
import torch

from nasdepth.training.device import (
    computes_bf16,
    deterministic_algorithms,
    is_out_of_memory,
    is_poisoned,
    pick_device,
    pick_precision,
)


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


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_memory_that_the_driver_misses_is_exhausted_and_nothing_is_poisoned(text):
    for error in (RuntimeError(text), torch.AcceleratorError(text)):
        assert is_out_of_memory(error)
        assert not is_poisoned(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("unspecified launch failure"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("cuBLAS: CUBLAS_STATUS_EXECUTION_FAILED"),
    ],
)
def test_failed_kernel_poisons(error):
    assert is_poisoned(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes differ"),
        ValueError("CUDA error"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
    ],
)
def test_other_errors_do_not_poison(error):
    assert not is_poisoned(error)


@pytest.mark.parametrize(
    ("tiles", "vectors"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_cpu_computes_bf16_with_tiles_or_vectors(monkeypatch, tiles, vectors):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: vectors)

    assert computes_bf16(torch.device("cpu")) == (tiles or vectors)


def flags():
    cudnn = torch.backends.cudnn
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        cudnn.deterministic,
        cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


@pytest.fixture
def restored(monkeypatch):
    """Flags of the process as they were, whatever a test does to them."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    mode = torch.get_deterministic_debug_mode()
    kept = flags()
    yield
    torch.set_deterministic_debug_mode(mode)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = kept[2:4]


@pytest.mark.usefixtures("restored")
def test_deterministic_algorithms_are_on_inside_only():
    torch.backends.cudnn.benchmark = True
    before = flags()

    with deterministic_algorithms(True):
        inside = flags()

    assert inside == (True, False, True, False, False, ":4096:8")
    assert flags() == before


@pytest.mark.usefixtures("restored")
def test_flags_are_restored_after_an_error():
    before = flags()

    with pytest.raises(KeyError), deterministic_algorithms(True):
        raise KeyError

    assert flags() == before


@pytest.mark.usefixtures("restored")
def test_algorithms_that_were_deterministic_stay_so(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    before = flags()

    with deterministic_algorithms(True):
        assert flags()[-1] == ":16:8"

    assert flags() == before


@pytest.mark.usefixtures("restored")
def test_switched_off_changes_nothing():
    before = flags()

    with deterministic_algorithms(False):
        assert flags() == before


def test_missing_deterministic_kernel_is_a_rule_and_no_bug():
    place, value = torch.tensor([0]), torch.ones(1)

    with (
        pytest.raises(ValueError, match=r"^deterministic must be false here: put_"),
        deterministic_algorithms(True),
    ):
        torch.zeros(3).put_(place, value)  # with both orders of writes allowed

    torch.zeros(3).put_(place, value)
