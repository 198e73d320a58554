"""A stage that starts from another's checkpoint: Bridge compares the schedules of learning rate and weight decay."""

import importlib.util
import sys
from dataclasses import make_dataclass
from types import ModuleType

import pytest

from glotmix.exporters.exporter import export
from glotmix.exporters.megatron_bridge import MegatronBridge
from tests.contracts.exporter import THREE_STAGES, request_for


@pytest.fixture
def mixture(tmp_path):
    """The generated module."""
    export(MegatronBridge(), request_for(THREE_STAGES), tmp_path, warn=False)
    spec = importlib.util.spec_from_file_location("mixture", tmp_path / "mixture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bridge(monkeypatch, *fields):
    """As much of Bridge as scheduler() imports."""
    names = ["megatron", "megatron.bridge", "megatron.bridge.training", "megatron.bridge.training.config"]
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    kinds = [(name, object, None) for name in ("lr_decay_iters", "override_opt_param_scheduler", *fields)]
    sys.modules[names[-1]].SchedulerConfig = make_dataclass("SchedulerConfig", kinds)


def test_both_schedules_span_the_run_where_bridge_knows_the_whole_of_it(mixture, monkeypatch):
    bridge(monkeypatch, "max_steps")
    config = mixture.scheduler()
    # It would be an error to change anything of a checkpoint's schedules; nothing is changed.
    assert (config.max_steps, config.override_opt_param_scheduler) == (240, None)


def test_before_the_weight_decay_of_the_last_stage_is_not_compared_with_that_of_this_one(mixture, monkeypatch):
    bridge(monkeypatch)
    config = mixture.scheduler()
    # Bridge compares wd_incr_steps, which follows from train_iters, with the checkpoint's and stops if they differ.
    assert (config.lr_decay_iters, config.override_opt_param_scheduler) == (240, True)


def test_your_own_options_go_before(mixture, monkeypatch):
    bridge(monkeypatch, "max_steps")
    assert mixture.scheduler(max_steps=500).max_steps == 500
    config = mixture.scheduler(lr_decay_iters=500)  # which Bridge would take from max_steps, were it given
    assert (config.lr_decay_iters, config.max_steps, config.override_opt_param_scheduler) == (500, None, True)
