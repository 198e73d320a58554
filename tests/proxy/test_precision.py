"""The precision of a study is what its machine is, never how busy it is, and stands in everything that it makes."""

import dataclasses

import pytest
import torch

from glotmix.proxy import native, precision
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Shape
from glotmix.proxy.precision import decide, decided

SHAPE = Shape(width=64, layers=3, heads=4, feed_forward=176, vocab=2048)
STEPS = [(SHAPE, 16)]


def test_what_is_asked_for_is_taken_on_every_machine(monkeypatch):
    monkeypatch.setenv(native.HIDE_BF16, "0")
    for name in ("float32", "bfloat16"):
        assert decide(name, STEPS).precision == name
        assert precision.dtype(name) == getattr(torch, name)


def test_a_machine_whose_bf16_is_hidden_is_one_without(monkeypatch):
    monkeypatch.setenv(native.HIDE_BF16, "0")
    found = decide("auto", STEPS)
    assert (found.precision, found.reason) == ("float32", "GLOTMIX_BF16=0 hides bf16 products")


def test_no_clock_is_looked_at(monkeypatch):
    import time

    def refuse():
        raise AssertionError("a precision that depends on a clock depends on what else the machine does")

    for clock in ("perf_counter", "time", "monotonic", "process_time", "thread_time"):
        monkeypatch.setattr(time, clock, refuse)
    assert decide("auto", STEPS) == decide("auto", STEPS)


@pytest.fixture
def with_bf16(monkeypatch):
    """A machine whose processor multiplies bf16 and has a compiler."""
    monkeypatch.delenv(native.HIDE_BF16, raising=False)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(native, "library", lambda: "compiled")
    return monkeypatch


def test_a_cpu_takes_bf16_where_it_multiplies_it_and_the_kernels_serve_every_proxy_of_a_study(with_bf16):
    assert decide("auto", STEPS).precision == "bfloat16"
    odd = dataclasses.replace(SHAPE, heads=16)  # heads of 4
    small = Shape(width=32, layers=1, heads=2, feed_forward=96, vocab=400, context=32)
    for steps, reason in (([*STEPS, (odd, 16)], "multiples of 8"), ([*STEPS, (small, 4)], "4 x 32 tokens is too lit")):
        found = decide("auto", steps)
        assert found.precision == "float32"
        assert reason in found.reason


@pytest.mark.parametrize("hidden", ["instructions", "library", "compiler"])
def test_a_cpu_takes_fp32_where_any_part_lacks_bf16(with_bf16, hidden):
    if hidden == "instructions":
        with_bf16.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        with_bf16.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    elif hidden == "library":
        with_bf16.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI")
    else:
        with_bf16.setattr(native, "library", lambda: None)
    assert decide("auto", STEPS).precision == "float32"


def test_gpus_that_the_driver_cannot_see_are_not_guessed_at(monkeypatch):
    monkeypatch.delenv(native.HIDE_BF16, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = decide("auto", STEPS, "cuda")
    assert found.precision == "float32"
    assert "set proxy.precision: bfloat16" in found.reason
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, there=there: there)
        assert decide("auto", STEPS, "cuda").precision == ("bfloat16" if there else "float32")


def test_a_training_leaves_nothing_undecided():
    assert decided(ProxyConfig(), SHAPE).precision == decide("auto", STEPS).precision
    assert decided(ProxyConfig(precision="bfloat16"), SHAPE).precision == "bfloat16"
    with pytest.raises(KeyError):
        precision.dtype("auto")
