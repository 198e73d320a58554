"""LitGPT ends where its learning rate does: the data module ends a stage, and the script hands checkpoints on."""

import importlib.util
import itertools
import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from glotmix.exporters.exporter import export
from glotmix.exporters.litdata import LitData
from tests.contracts.exporter import CONSTANT, THREE_STAGES, request_for

PASS = 50
"""Batches until a language is exhausted, in the stand-in."""


class Stream:
    """Stands in for litdata's loader: numbered batches, and an end after each pass."""

    def __init__(self, dataset, batch_size, num_workers):  # and no drop_last: it would leave small languages out
        self.dataset, self.batch_size, self.at = dataset, batch_size, 0

    def __iter__(self):
        for k in range(self.at % PASS if PASS else 0, PASS):
            self.at += 1
            yield f"{self.dataset} {k}"

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


@pytest.fixture
def litgpt(tmp_path, monkeypatch):
    """for_litgpt.py of an export of three stages to 240 steps of 32 blocks, and LitGPT's iterator over its loader."""
    export(LitData(), request_for(THREE_STAGES), tmp_path, warn=False)
    fakes = {name: ModuleType(name) for name in ("litdata", "litgpt", "litgpt.data")}
    fakes["litdata"].StreamingDataLoader = Stream
    fakes["litdata"].StreamingDataset = fakes["litdata"].TokensLoader = None
    fakes["litdata"].CombinedStreamingDataset = object
    fakes["litgpt.data"].DataModule = object
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    for name in ("mixture", "for_litgpt"):
        spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
    monkeypatch.setattr(sys.modules["mixture"], "dataset", lambda stage: f"stage {stage}")

    def loader(stage, micro=32, ranks=1):
        monkeypatch.setenv("MIXTURE_STAGE", str(stage))
        group = SimpleNamespace(is_initialized=lambda: ranks > 1, get_world_size=lambda: ranks)
        monkeypatch.setattr(module.torch, "distributed", group)
        data = module.Mixture()
        data.connect(batch_size=micro, max_seq_length=32)
        return data.train_dataloader()

    return loader


def trained(loader, at_most=10_000):
    """What LitGPT's CycleIterator gives: once more where the loader ends, and no more where it ends at once."""
    for _ in itertools.count():
        found = list(itertools.islice(loader, at_most))
        yield from found
        at_most -= len(found)
        if not found or not at_most:
            return


@pytest.mark.parametrize(("micro", "ranks", "batches"), [(32, 1, 120), (8, 1, 480), (8, 4, 120), (16, 2, 120)])
def test_a_stage_is_read_to_its_last_step_and_no_further(litgpt, micro, ranks, batches):
    read = list(trained(litgpt(1, micro, ranks)))
    assert len(read) == batches
    assert read[:PASS] == read[PASS : 2 * PASS] == [f"stage 1 {k}" for k in range(PASS)]


def test_a_process_that_a_language_has_no_block_for_stops_with_an_error(litgpt, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PASS", 0)
    with pytest.raises(ValueError, match="a language has no block for this process"):
        list(trained(litgpt(1)))
    at_the_end_of_a_pass = litgpt(1)
    at_the_end_of_a_pass.load_state_dict(litgpt(1).state_dict())
    assert list(at_the_end_of_a_pass) == []


def test_a_checkpoint_is_gone_on_from_within_its_stage_and_not_after_it(litgpt):
    whole, first = list(trained(litgpt(1))), litgpt(1)
    read = list(trained(first, at_most=70))
    same, next_stage = litgpt(1), litgpt(2)
    same.load_state_dict(first.state_dict())
    next_stage.load_state_dict(first.state_dict())
    assert read + list(trained(same)) == whole
    assert list(trained(next_stage)) == list(trained(litgpt(2)))


def test_another_sequence_length_is_refused(litgpt):
    with pytest.raises(ValueError, match=r"max_seq_length is 31; exported for 32"):
        sys.modules["for_litgpt"].Mixture().connect(batch_size=4, max_seq_length=31)


FAKE = """\
[ "$2" = {fails} ] && [ "$MIXTURE_STAGE" = 1 ] && exit 3
out=${{@: -3:1}}
echo "$MIXTURE_STAGE $*" >> "$OUT/calls"
mkdir -p "$out/final" && touch "$out/final/lit_model.pth"
"""


def launched(folder, fails="nothing", **environ):
    script = folder / "litgpt"
    script.write_text(FAKE.format(fails=fails))
    told = {**os.environ, "OUT": str(folder / "run"), "LITGPT": f"bash {script}", **environ}
    (folder / "run").mkdir(exist_ok=True)
    done = subprocess.run(["bash", folder / "litgpt.sh", "tiny"], env=told, capture_output=True, text=True)
    calls = folder / "run" / "calls"
    return done.returncode, calls.read_text().splitlines() if calls.exists() else []


def test_each_stage_starts_from_the_one_before_and_spans_the_run(tmp_path):
    export(LitData(), request_for(THREE_STAGES), tmp_path, warn=False)
    code, calls = launched(tmp_path, INITIAL="base")
    assert code == 0
    run = f"{tmp_path}/run/stage"
    starts = ["--initial_checkpoint_dir base", *(f"--resume {run}-{i}/final/lit_model.pth" for i in (0, 1))]
    assert calls == [
        f"{i} pretrain tiny --data for_litgpt.Mixture --train.max_tokens {240 * 32 * 32} --train.global_batch_size 32 "
        f"--train.max_seq_length 32 --out_dir {run}-{i} {start}"
        for i, start in enumerate(starts)
    ]


def test_a_stage_that_was_broken_off_goes_on_from_its_own_checkpoint(tmp_path):
    export(LitData(), request_for(THREE_STAGES), tmp_path, warn=False)
    code, calls = launched(tmp_path, fails="tiny")
    assert (code, len(calls)) == (3, 1)
    inside = tmp_path / "run" / "stage-1" / "step-00000010"
    inside.mkdir(parents=True)
    (inside / "lit_model.pth").touch()
    code, calls = launched(tmp_path, FIRST="1")
    assert code == 0
    assert [call.split()[0] for call in calls] == ["0", "1", "2"]
    assert calls[1].endswith("stage-1 --resume auto")


def test_a_constant_mixture_has_the_script_too(tmp_path):
    export(LitData(), request_for(CONSTANT), tmp_path, warn=False)
    code, calls = launched(tmp_path)
    assert (code, len(calls)) == (0, 1)
    assert calls[0].endswith("stage-0 --resume auto")
