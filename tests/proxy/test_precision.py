"""The precision of a study is what its machine is, never how busy it is, and stands in everything that it makes."""

import pytest
import torch

from glotmix.proxy import native, precision
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Shape
from glotmix.proxy.precision import decide, decided

SHAPE = Shape(width=64, layers=3, heads=4, feed_forward=176, vocab=2048)


def test_what_is_asked_for_is_taken_on_every_machine(monkeypatch):
    monkeypatch.setenv(native.HIDE_BF16, "0")
    for name in ("float32", "bfloat16"):
        assert decide(name, [SHAPE]).precision == name
        assert precision.dtype(name) == getattr(torch, name)


def test_a_machine_whose_bf16_is_hidden_is_one_without(monkeypatch):
    monkeypatch.setenv(native.HIDE_BF16, "0")
    found = decide("auto", [SHAPE])
    assert (found.precision, found.reason) == ("float32", "GLOTMIX_BF16=0 hides bf16 products")


def test_no_clock_is_looked_at(monkeypatch):
    import time

    def refuse():
        raise AssertionError("a precision that depends on a clock depends on what else the machine does")

    for clock in ("perf_counter", "time", "monotonic", "process_time", "thread_time"):
        monkeypatch.setattr(time, clock, refuse)
    assert decide("auto", [SHAPE]) == decide("auto", [SHAPE])


def test_gpus_that_the_driver_cannot_see_are_not_guessed_at(monkeypatch):
    monkeypatch.delenv(native.HIDE_BF16, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = decide("auto", [SHAPE], "cuda")
    assert found.precision == "float32"
    assert "set proxy.precision: bfloat16" in found.reason
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, there=there: there)
        assert decide("auto", [SHAPE], "cuda").precision == ("bfloat16" if there else "float32")


def test_a_training_leaves_nothing_undecided():
    assert decided(ProxyConfig(), SHAPE).precision == decide("auto", [SHAPE]).precision
    assert decided(ProxyConfig(precision="bfloat16"), SHAPE).precision == "bfloat16"
    with pytest.raises(KeyError):
        precision.dtype("auto")
