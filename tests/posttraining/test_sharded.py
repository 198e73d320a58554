"""Weights in parts on several devices: two processes end where one ends, killed or not, and take the bytes planned."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from glotmix.errors import BadInput, Corrupt
from glotmix.posttraining import sharded
from glotmix.posttraining.answer import load_model
from glotmix.posttraining.finetune import Finetuning
from glotmix.posttraining.optimiser import AdamWithHalfMoments, open_optimiser
from glotmix.posttraining.order import reading_order
from glotmix.posttraining.shard_state import load_part
from glotmix.posttraining.trainer import finetune_with_trl
from glotmix.proxy.architecture import Architecture
from glotmix.proxy.parallel import ALONE, Team, leave
from tests.posttraining.sharded_processes import WEIGHTS, finetune, samples

PROGRAM = Path(__file__).with_name("sharded_processes.py")
SETTINGS = {
    "batch": 4, "steps": 8, "learning_rate": 3e-3, "weight_decay": 0.1, "warmup": 0.2, "save_every": 3, "micro_batch": 1
}  # fmt: skip
COMMON = {"model_type": "llama", "num_attention_heads": 4}
SHAPES = {
    "deep": {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 16, "vocab_size": 512},
    "many words": {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 3, "vocab_size": 16384},
    "untied": {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "vocab_size": 4096},
}
MEASURED = [
    ("deep", {"micro_batch": 2, "precision": "bfloat16", "moments": "bfloat16"}),
    ("deep", {"precision": "bfloat16", "method": "lora", "context": 128}),
    ("many words", {}),
    ("untied", {}),
]
TILE = 64
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft's own


def start(**files):
    """Orders of each file followed by two processes together, one file after the other; their exit codes."""
    for path, orders in files.values():
        path.write_text(json.dumps(orders))
    words = [sys.executable, str(PROGRAM), *(str(path) for path, _ in files.values())]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    codes = json.loads(done.stdout.splitlines()[-1])
    return {name: codes[str(path)] for name, (path, _) in files.items()}, done.stderr


def order_of(model, out, **more):
    return {"model": str(model), "out": str(out), "settings": SETTINGS | more.pop("settings", {}), **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, proxy):
    """What two processes did: everything of this file from one opening of the libraries, which is most of the time."""
    folder, model = tmp_path_factory.mktemp("sharded"), proxy[0]
    for name, shape in SHAPES.items():
        told = {**COMMON, **shape, "tie_word_embeddings": name != "untied"}
        Architecture.of(name, told, Path(), where="").whole().save_pretrained(folder / name)
    killed = [order_of(model, folder / "again", weighted=True, state=str(folder / "state"), dies_at=5)]
    orders = [
        order_of(model, folder / "again", weighted=True, state=str(folder / "state")),
        order_of(model, folder / "whole", weighted=True),
        order_of(model, folder / "half", settings={"moments": "bfloat16", "micro_batch": 2}),
        order_of(model, folder / "lora", settings={"method": "lora", "lora_rank": 4}),
        *({"model": str(folder / name), "settings": settings_of(more).model_dump(), "half": half_of(more), "tile": TILE}
          for name, more in MEASURED),
    ]  # fmt: skip
    codes, errors = start(killed=(folder / "killed.json", killed), orders=(folder / "orders.json", orders))
    assert -9 in codes["killed"], errors[-3000:]
    assert 0 not in codes["killed"], errors[-3000:]
    assert codes["orders"] == [0, 0], errors[-3000:]
    return folder


def settings_of(more):
    return Finetuning.model_validate({"batch": 4, "micro_batch": 1, "context": 64} | more)


def half_of(more):
    return more.get("precision") == "bfloat16"


@pytest.fixture(scope="module")
def found(folder):
    """What each order gave, in the first process and in the second."""
    return [json.loads((folder / f"orders.json.{rank}").read_text()) for rank in (0, 1)]


@pytest.fixture
def alone():
    yield Team()
    leave()


def weights(path):
    return load_file(path / "model.safetensors")


def test_two_processes_have_the_losses_and_weights_of_one_and_of_trl(folder, found, proxy, alone, tmp_path):
    """Equal but for the order of fp32 sums; another reading order is 1e-2 away and more."""
    directory, tokenizer = proxy
    mine = finetune(order_of(directory, tmp_path / "one", weighted=True), alone)
    theirs = [one[1] for one in found]
    assert theirs[0]["losses"] == theirs[1]["losses"]
    np.testing.assert_allclose(mine["losses"], theirs[0]["losses"], rtol=1e-5)
    np.testing.assert_allclose(np.array(mine["validations"]), np.array(theirs[0]["validations"]), rtol=1e-5)
    assert mine["chosen"] == theirs[0]["chosen"]
    # AdamW does not mind a gradient of twice the size; its norm shows it.
    np.testing.assert_allclose(mine["norms"], theirs[0]["norms"], rtol=1e-4)
    one, two = weights(tmp_path / "one"), weights(folder / "whole")
    assert one.keys() == two.keys()
    moved = max(float((one[name] - tensor).abs().max()) for name, tensor in weights(directory).items())
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-3 * moved
    train, validation = samples(tokenizer, "train", 8), samples(tokenizer, "validation", 2)
    chosen = Finetuning.model_validate(SETTINGS)
    reads = reading_order([s.language for s in train], None, chosen.steps, chosen.batch, 0)
    trl = finetune_with_trl(
        directory, tokenizer, train, validation, reads, chosen, tmp_path / "trl", weights=WEIGHTS, device="cpu"
    )
    np.testing.assert_allclose(mine["losses"], trl.losses, rtol=2e-5)


def test_a_run_that_was_killed_ends_with_the_same_bytes(folder, found):
    again, whole = (found[0][i] for i in (0, 1))
    assert again["steps"] == 5  # of eight: the fifth was begun and lost, the state was of the third
    for field in ("losses", "validations", "chosen"):
        assert again[field] == whole[field]
    assert (folder / "again/model.safetensors").read_bytes() == (folder / "whole/model.safetensors").read_bytes()
    assert not (folder / "state").exists()


def test_moments_in_bf16_train_alike_and_adapters_are_merged(folder, found):
    whole, half, lora = (found[0][i]["losses"] for i in (1, 2, 3))
    assert half[-1] < half[0] - 0.5
    assert lora[-1] < lora[0]
    assert whole != half
    before, after = weights(folder / "whole").keys(), weights(folder / "lora").keys()
    assert before == after
    assert load_model(folder / "lora").config.vocab_size == load_model(folder / "whole").config.vocab_size


@pytest.mark.parametrize("which", range(len(MEASURED)), ids=lambda i: f"{MEASURED[i][0]}-{i}")
def test_the_bytes_of_each_device_are_those_that_are_allocated(folder, found, which, monkeypatch):
    """In the process that does not read the model; a GPU may sum a layer's gradients while the next one computes, which
    is planned for and does not happen here."""
    monkeypatch.setattr(sharded, "TILE", (4096, TILE))
    name, more = MEASURED[which]
    architecture = Architecture.of(str(folder / name), {}, folder, where="")
    planned = sharded.footprint("", architecture, settings_of(more), 2, tokens=1, half=half_of(more))
    assert planned.bytes == pytest.approx(found[1][4 + which]["bytes"], rel=0.1)
    assert planned.devices == 2


def test_moments_in_bf16_follow_those_in_fp32(monkeypatch):
    """One update is that of AdamW but for the rounding of what is kept; parts of a tensor are as good as the whole."""
    monkeypatch.setattr("glotmix.posttraining.optimiser.PART", 7)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(5, 9, generator=generator)
    both = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    made = [
        open_optimiser([p], Finetuning(learning_rate=1e-2, weight_decay=0.1, moments=kind))
        for p, kind in zip(both, ("float32", "bfloat16"), strict=True)
    ]
    assert isinstance(made[1], AdamWithHalfMoments)
    for step in range(20):
        gradient = torch.randn(5, 9, generator=generator)
        for p, optimiser in zip(both, made, strict=True):
            p.grad = gradient.clone()
            optimiser.step()
        if step == 0:
            torch.testing.assert_close(*both, rtol=0, atol=1e-7)
    moved = (both[0] - start).norm()
    assert 0 < (both[0] - both[1]).norm() < 0.02 * moved
    assert {s.dtype for s in made[1].state[both[1]].values() if s.ndim} == {torch.bfloat16}


def test_a_state_of_other_settings_or_another_team_is_not_gone_on_from_and_a_damaged_one_is_named(tmp_path):
    from glotmix.posttraining.shard_state import save_part

    save_part(tmp_path, ALONE, 3, {"a": torch.ones(2)}, {"rate": 1}, {"losses": [1.0]})
    step, tensors, progress = load_part(tmp_path, ALONE, {"rate": 1})
    assert (step, tensors["a"].tolist(), progress) == (3, [1.0, 1.0], {"losses": [1.0]})
    assert load_part(tmp_path, ALONE, {"rate": 2}) is None
    assert load_part(tmp_path, Team(0, 2), {"rate": 1}) is None
    assert load_part(tmp_path / "nowhere", ALONE, {"rate": 1}) is None
    part = tmp_path / "step-3" / "part-0.safetensors"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1] + b"\x01")
    with pytest.raises(Corrupt, match=r"digest differs.*delete it"):
        load_part(tmp_path, ALONE, {"rate": 1})
    part.write_bytes(whole[:20])
    with pytest.raises(Corrupt, match="delete it"):
        load_part(tmp_path, ALONE, {"rate": 1})


def test_what_cannot_train_is_said_by_name():
    chosen = Finetuning(batch=6, micro_batch=2)
    assert chosen.shared(1) == (6, 2)
    with pytest.raises(BadInput, match=r"finetuning.batch: a batch of 6 samples over 4 devices .*devices_per_run: 3"):
        chosen.shared(4)
    with pytest.raises(BadInput, match="micro_batch: each of 2 devices reads 3 samples"):
        chosen.shared(2)
    assert Finetuning().engine_for(is_proxy=False, devices=1) == "trl"
    assert Finetuning().engine_for(is_proxy=False, devices=8) == "sharded"
    assert Finetuning().engine_for(is_proxy=True, devices=8) == "proxy"
    with pytest.raises(BadInput, match=r"trl trains on one device.*sharded or auto"):
        Finetuning(engine="trl").engine_for(is_proxy=False, devices=8)
    with pytest.raises(BadInput, match=r"qlora with weights in parts.*engine: trl"):
        Finetuning(method="qlora").engine_for(is_proxy=False, devices=8)
    with pytest.raises(BadInput, match=r"8bit: bitsandbytes computes on a GPU.*float32 or bfloat16"):
        open_optimiser([torch.nn.Parameter(torch.zeros(2))], Finetuning(moments="8bit"))
    with pytest.raises(BadInput, match=r"qlora: bitsandbytes computes on a GPU"):
        load_model("anywhere", "cpu", quantised=True)
