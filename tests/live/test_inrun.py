"""In-run values in anybody's loop are the built-in engine's on the same batches, whoever reads them and how."""

import json
import math

import numpy as np
import pytest
import torch

from glotmix.attribution import inrun as engine
from glotmix.attribution.inrun import Target, targets_of
from glotmix.errors import BadInput
from glotmix.live import InRunShapley
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.checkpoint import save_checkpoint
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Shape
from glotmix.proxy.run import StackRun, learning_rate
from glotmix.proxy.stack import BETAS, EPSILON
from glotmix.proxy.train import train_stack
from tests.live.inrun_processes import SOURCES, Language, batch, loss, train, windows

torch.set_num_threads(1)
transformers = pytest.importorskip("transformers", reason="needs the extra glotmix[posttrain]")
accelerate = pytest.importorskip("accelerate", reason="transformers' Trainer needs accelerate")
STEPS, T = 30, 16
LANGUAGES = ("a", "a2", "c")
TRAINING = ProxyConfig(width=32, layers=2, heads=2, context=T, batch=9, learning_rate=2e-3, precision="float32")


def text(language, rng, n):
    return rng.integers(1, 4, n).cumsum() % 30 + (45 if language == "c" else 0)


def languages_of(step):
    """Nine sequences, unequally many of each."""
    return [LANGUAGES[i] for i in (0, 1, 2, 2, 0, 1, 2, 2, 2)]


def tokens_of(step):
    rng = np.random.default_rng([0, step])
    return np.stack([text(name, rng, T + 1) for name in languages_of(step)])


class Held:
    def __init__(self, language):
        self.tokens, self.bytes = text(language, np.random.default_rng(9), 100), 300


TARGETS = targets_of({name: Held(name) for name in ("a", "c")}, T, 4)


def by_the_engine(shape, folder, preconditioned):
    """The built-in matrix, and the weights that the training began with as a Llama."""
    observer = engine.InRunShapley(
        TARGETS, LANGUAGES, lambda k, step: languages_of(step), clip=TRAINING.clip, every=4,
        preconditioned=preconditioned,
    )  # fmt: skip
    run = StackRun("run", Schedule.constant(Mixture(dict.fromkeys(LANGUAGES, 1 / 3))), STEPS * 9 * T, 1)
    train_stack(
        [run], lambda k, step: tokens_of(step), shape, TRAINING, on_batch=observer.on_batch,
        on_start=lambda stack: save_checkpoint(folder, stack.master, shape),
    )  # fmt: skip
    return observer.matrices()[0]


def sequences():
    for step in range(STEPS):
        for ids, name in zip(tokens_of(step), languages_of(step), strict=True):
            row = torch.from_numpy(ids)
            yield {"input_ids": row, "labels": row, "language": LANGUAGES.index(name)}


class Sequences(torch.utils.data.IterableDataset):
    def __iter__(self):
        return sequences()


def trained(model, folder, callback, *, accumulate=1, resume=None, **options):
    """transformers' Trainer with the engine's optimiser, on the engine's batches."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": TRAINING.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, 1.0, betas=BETAS, eps=EPSILON)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate(min(step, STEPS - 1), STEPS, TRAINING)
    )
    settings = {"remove_unused_columns": False, "max_steps": STEPS, "save_strategy": "no"} | options
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=9 // accumulate, gradient_accumulation_steps=accumulate,
        max_grad_norm=TRAINING.clip, use_cpu=True, report_to=[], disable_tqdm=True, logging_strategy="no", **settings,
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=model, args=arguments, train_dataset=Sequences(), callbacks=[callback], optimizers=(optimizer, rate)
    )
    trainer.train(resume_from_checkpoint=resume)


def opened(folder):
    return transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("tied", "accumulate", "preconditioned", "recomputed"),
    [(True, 1, True, False), (False, 3, True, False), (True, 3, True, True), (True, 1, False, False)],
)
def test_a_trainer_gets_the_engines_matrix(tmp_path, tied, accumulate, preconditioned, recomputed):
    from glotmix.live import InRunShapleyCallback

    shape = Shape(width=32, layers=2, heads=2, feed_forward=48, vocab=90, context=T, tied=tied)
    true = by_the_engine(shape, tmp_path / "base", preconditioned)
    callback = InRunShapleyCallback(TARGETS, LANGUAGES, every=4, preconditioned=preconditioned)
    options = {"gradient_checkpointing": True} if recomputed else {}
    trained(opened(tmp_path / "base"), tmp_path / "out", callback, accumulate=accumulate, **options)
    found = callback.matrix()
    assert (found.targets, found.sources, found.method, found.unit) == (
        true.targets, true.sources, true.method, true.unit,
    )  # fmt: skip
    assert np.abs(found.value_TL - true.value_TL).max() < 1e-4 * np.abs(true.value_TL).max()
    assert found.notes["measured"] == pytest.approx(true.notes["measured"], abs=1e-4)
    kept = json.loads((tmp_path / "out" / "in_run_shapley.json").read_text())
    assert kept == found.to_json()


@pytest.mark.filterwarnings("ignore")
def test_looking_changes_no_bit_and_a_resumed_run_has_the_values_of_a_whole_one(tmp_path):
    from glotmix.live import InRunShapleyCallback

    shape = Shape(width=32, layers=1, heads=2, feed_forward=48, vocab=90, context=T)
    by_the_engine(shape, tmp_path / "base", True)
    ends, matrices = [], []
    for every, resume in ((4, None), (1000, None), (4, str(tmp_path / "4" / "checkpoint-15"))):
        model = opened(tmp_path / "base")
        callback = InRunShapleyCallback(TARGETS, LANGUAGES, every=every)
        folder = tmp_path / str(every)
        trained(model, folder, callback, resume=resume, save_strategy="steps", save_steps=15)
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        matrices.append(callback.shapley.state_dict())
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])
    assert matrices[0] == matrices[2]
    assert not matrices[1]["losses"]


@pytest.mark.filterwarnings("ignore")
def test_a_trainer_that_would_drop_the_sources_is_told(tmp_path):
    from glotmix.live import InRunShapleyCallback

    shape = Shape(width=32, layers=1, heads=2, feed_forward=48, vocab=90, context=T)
    by_the_engine(shape, tmp_path / "base", True)
    with pytest.raises(BadInput, match="remove_unused_columns"):
        callback = InRunShapleyCallback(TARGETS, LANGUAGES)
        trained(opened(tmp_path / "base"), tmp_path, callback, remove_unused_columns=True)


def test_a_plain_loop_adds_up_to_what_sgd_takes_off():
    """Norms with biases, a tied head, repeated and absent sources: with SGD, first order is nearly all of a small step."""
    model = Language()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    shapley = InRunShapley(model, optimizer, windows(), SOURCES, every=1, preconditioned=False, loss=loss)
    before = [float(loss(model, {"input_ids": t.tokens_BS}).mean().detach()) for t in windows().values()]
    tokens_BS, source_B = batch(0)
    shapley.reads(source_B)
    loss(model, {"input_ids": tokens_BS}).mean().backward()
    shapley.before_update()
    optimizer.step()
    after = [float(loss(model, {"input_ids": t.tokens_BS}).mean().detach()) for t in windows().values()]
    value_TL = shapley.matrix().value_TL / math.log2(math.e)
    np.testing.assert_allclose(value_TL.sum(1), np.subtract(before, after), rtol=0.02)
    assert (value_TL[:, SOURCES.index("absent")] == 0).all()


def test_processes_that_share_a_training_have_the_matrix_of_one(tmp_path):
    """Data parallel, sharded by FSDP2, and layers split by column and row, two processes with gloo."""
    import subprocess
    import sys
    from pathlib import Path

    script = Path(__file__).with_name("inrun_processes.py")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script), str(tmp_path)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    alone = train("alone")
    for kind in ("data", "sharded", "split"):
        both = [np.array(json.loads((tmp_path / f"{kind}-{rank}.json").read_text())) for rank in (0, 1)]
        assert (both[0] == both[1]).all()
        assert np.abs(both[0] - alone).max() < 1e-4 * np.abs(alone).max(), kind


class Twice(Language):
    """Uses a layer's weight beside the layer, which no hook sees."""

    def forward(self, ids):
        return super().forward(ids) + self.up(self.table.weight[ids]) @ self.up.weight @ self.table.weight.T


def one_step(model, optimizer=None, **options):
    optimizer = optimizer or torch.optim.AdamW(model.parameters(), 1e-3)
    shapley = InRunShapley(model, optimizer, windows(), SOURCES, every=1, loss=loss, **options)
    for step in range(8):
        tokens_BS, source_B = batch(step)
        shapley.reads(source_B)
        loss(model, {"input_ids": tokens_BS}).mean().backward()
        shapley.before_update()
        optimizer.step()
        optimizer.zero_grad()
    return shapley


def test_what_cannot_be_measured_is_named():
    with pytest.raises(BadInput, match=r"parameter (table|up)\.weight"):
        one_step(Twice())
    model = Language()
    with pytest.raises(BadInput, match="SGD does not step as Adam does"):
        one_step(model, torch.optim.SGD(model.parameters(), 1e-3))
    with pytest.raises(BadInput, match="AdamW with amsgrad"):
        one_step(model, torch.optim.AdamW(model.parameters(), 1e-3, amsgrad=True))
    with pytest.raises(BadInput, match="none of the model's parameters"):
        one_step(model, torch.optim.AdamW(Language().parameters(), 1e-3))
    with pytest.raises(BadInput, match="no update was measured"):
        InRunShapley(model, torch.optim.AdamW(model.parameters()), windows(), SOURCES).matrix()
    shapley = one_step(model)
    assert shapley.measured == 8 - engine.UNSETTLED
    with pytest.raises(BadInput, match="training sequences of d"):
        shapley.reads(["d"])
    with pytest.raises(BadInput, match="no gradient was caught"):
        shapley.before_update()
    with pytest.raises(BadInput, match="every = 1"):
        other = InRunShapley(model, torch.optim.AdamW(model.parameters()), windows(), SOURCES, every=2)
        other.load_state_dict(shapley.state_dict())


def test_targets_are_windows_with_their_bytes():
    assert isinstance(next(iter(windows().values())), Target)
