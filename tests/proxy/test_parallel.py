"""Two processes that share a stack's work end where one process ends."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Shape
from glotmix.proxy.parallel import Team, join, leave
from glotmix.proxy.run import StackRun
from glotmix.proxy.stack import Stack
from glotmix.proxy.train import train_stack

torch.set_num_threads(1)
SHAPE = Shape(width=32, layers=2, heads=2, feed_forward=48, vocab=97, context=16)
TRAINING = ProxyConfig(width=32, layers=2, heads=2, context=16, batch=4, evaluations=3)


class Text:
    tokens, bytes = np.random.default_rng(0).zipf(1.5, 333) % 97, 1000


def train(team=None, training=TRAINING):
    runs = [StackRun(f"run{seed}", Schedule.constant(Mixture({"a": 1.0})), 40 * 64, seed) for seed in (1, 2)]

    def batches(k, step):
        return np.random.default_rng([k, step]).zipf(1.5, (4, 17)) % 97

    results = train_stack(runs, batches, SHAPE, training, held_out={"a": Text}, team=team)
    return [[row.value for row in result.losses] for result in results]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What each of two processes measured: a file for each process and precision."""
    folder = tmp_path_factory.mktemp("shared")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__, str(folder)]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return folder


def test_two_processes_have_the_losses_of_one_within_rounding(shared, precision):
    alone = np.array(train(training=TRAINING.model_copy(update={"precision": precision})))
    first, second = (np.array(json.loads((shared / f"{rank}-{precision}.json").read_text())) for rank in (0, 1))
    assert (first == second).all()
    # The batches are the same but summed in halves; another seed's losses are 1e-2 away and more.
    # Each half's gradients are rounded to fp32's 24 bits or bf16's 8; what is summed over the processes is fp32.
    np.testing.assert_allclose(first, alone, rtol={"float32": 2e-5, "bfloat16": 5e-4}[precision])
    assert np.abs(alone[0] / alone[1] - 1).max() > 1e-3


def test_a_batch_that_cannot_be_split_is_bad_input():
    with pytest.raises(BadInput, match="batch of 4 sequences over 3 processes"):
        Team(rank=0, size=3).part(torch.zeros(1, 4, 17))


def test_a_program_started_alone_is_a_team_of_one(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    team = join("cpu")
    assert (team.rank, team.size, team.leads) == (0, 1, True)


def test_recomputed_activations_give_the_same_bits(precision):
    kept = TRAINING.model_copy(update={"precision": precision})
    again = kept.model_copy(update={"recompute_activations": True})
    assert train(training=again) == train(training=kept)


def test_recomputing_keeps_one_tensor_of_a_block_instead_of_all():
    shape = Shape(width=32, layers=8, heads=2, feed_forward=48, vocab=97, context=16)
    tokens = torch.randint(0, 97, (1, 4, 17), generator=torch.Generator().manual_seed(0))

    def kept(recompute):
        stack, total = Stack(shape, [0], recompute=recompute), [0]

        def count(tensor):
            total[0] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            from glotmix.proxy import model

            model.loss(stack.parameters, tokens, shape, stack.recompute)
        return total[0]

    assert kept(True) < 0.35 * kept(False)


if __name__ == "__main__":
    together = join("cpu")
    for name in ("float32", "bfloat16"):
        asked = TRAINING.model_copy(update={"precision": name})
        Path(sys.argv[1], f"{together.rank}-{name}.json").write_text(json.dumps(train(together, asked)))
    leave()
