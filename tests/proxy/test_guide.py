"""Loss weights, adaptive methods and restarts steer runs through one hook, resumable and with their cost counted."""

import dataclasses
import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from glotmix.errors import BadInput
from glotmix.mixture.adaptives.plan import AdaptivePlan
from glotmix.mixture.balancing import proportional, temperature, uniform
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage
from glotmix.mixture.weighting import Weighting, mixed, scalarization
from glotmix.proxy import flops
from glotmix.proxy.checkpoint import load_checkpoint
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.controller import LOOK, MixtureController
from glotmix.proxy.evaluation_texts import EvaluationTexts
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.model import Shape, init_parameters
from glotmix.proxy.parallel import join, leave
from glotmix.proxy.run import StackRun
from glotmix.proxy.stack import Stack
from glotmix.proxy.train import train_stack

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("both_precisions")
V, T, B = 64, 16, 6
SHAPE = Shape(width=32, layers=1, heads=2, feed_forward=48, vocab=V, context=T)
TRAINING = ProxyConfig(width=32, layers=1, heads=2, context=T, batch=B, evaluations=2, learning_rate=1e-2)
SIZES = {"big": 40 * T, "mid": 10 * T, "low": 2 * T}
STEPS = 24
PLANS = {
    "doremi": AdaptivePlan("doremi", uniform(SIZES)),
    "odm": AdaptivePlan("odm", proportional(SIZES)),
    "odm_exp3": AdaptivePlan("odm_exp3", proportional(SIZES)),
    "ado": AdaptivePlan("ado", proportional(SIZES), {"first_fit": 12, "ignored": 4, "every": 6}),
    "pike": AdaptivePlan("pike", uniform(SIZES), {"zeta1": 0.05, "zeta2": 0.01, "batch": B, "every": 4}),
    "multidds_s": AdaptivePlan("multidds_s", proportional(SIZES), {"every": 8, "learning_rate": 1e-2}),
    "gradvac": AdaptivePlan("gradvac", temperature(SIZES, 5)),
}


@dataclasses.dataclass
class Text:
    tokens: np.ndarray
    bytes: int


class Store:
    """Three languages that differ in which tokens they use, so that their losses and gradients do."""

    fingerprint = "store"

    def train(self, language):
        place = list(SIZES).index(language)
        return (np.random.default_rng(place).zipf(1.3, SIZES[language] + 1) + 20 * place) % V


HELD_OUT = {name: Text(np.random.default_rng(9 + i).zipf(1.3, 200) % V, 400) for i, name in enumerate(SIZES)}


def run(name="r", *, schedule=None, weighting=None, plan=None, seed=1):
    schedule = schedule or Schedule.constant(plan.start if plan else proportional(SIZES))
    adaptive = plan.make(seed) if plan else None
    return StackRun(name, schedule, STEPS * B * T, seed, weighting, adaptive)


def train(runs, **options):
    batches = MixtureBatches(Store(), runs, TRAINING)
    watched = EvaluationTexts.of(HELD_OUT, batches, T)
    references = {one.run: init_parameters(SHAPE, [7]) for one in runs}
    guide = None
    if any(one.is_guided for one in runs):
        guide = MixtureController(
            runs, batches, SHAPE, TRAINING, references=references, development=watched.development
        )
    options = {"held_out": watched.held_out, "trained_on": watched.trained_on} | options
    return train_stack(runs, batches, SHAPE, TRAINING, guide=guide, **options)


def values(result, metric="nats"):
    return np.array([row.value for row in result.losses if row.metric == metric])


def batch_of(counts):
    """Every language's sequences as one batch [1, N, T + 1], with their languages."""
    rows, names = [], []
    for name, count in counts.items():
        tokens = Store().train(name)
        rows += [tokens[s * T : s * T + T + 1] for s in range(count)]
        names += [name] * count
    return torch.from_numpy(np.stack(rows)).unsqueeze(0), names


def test_full_batch_gradients_of_sampling_weighting_and_anything_between_agree_to_a_millionth():
    counts = {name: size // T for name, size in SIZES.items()}
    tokens_KBS, names = batch_of(counts)
    stack = Stack(SHAPE, [3])

    def weighted(weights, sampled=None):
        # A full batch holds every sequence once; sampled at q instead of in proportion, it is worth q_l / (U_l / U).
        worth = {name: 1.0 if sampled is None else sampled[name] / proportional(SIZES)[name] for name in counts}
        stack.gradient_KP.zero_()
        stack.backward_weighted(tokens_KBS, torch.tensor([[weights[n] * worth[n] for n in names]]).float())
        return stack.gradient_KP.double().clone()

    for tau in (2, 5, 100):
        target = temperature(SIZES, tau)
        expected = torch.zeros_like(stack.gradient_KP, dtype=torch.float64)
        for name, count in counts.items():  # Σ p_l ∇L_l, each language by the trainer's plain backward pass
            stack.gradient_KP.zero_()
            stack.backward(batch_of({name: count})[0])
            expected += target[name] * stack.gradient_KP.double()
        between, rest = mixed(SIZES, sample=2, target=tau)
        ones = dict.fromkeys(SIZES, 1.0)
        for form in (weighted(scalarization(SIZES, tau)), weighted(rest, between), weighted(ones, target)):
            assert float((form - expected).norm() / expected.norm()) < 1e-6  # at another temperature: 0.1 and more
    other = weighted(scalarization(SIZES, 2))
    assert float((other - expected).norm() / expected.norm()) > 0.05


def test_weights_of_one_change_no_bit_and_others_do():
    (plain,) = train([run()])
    (ones,) = train([run(weighting=Weighting(dict.fromkeys(SIZES, 1.0)))])
    assert (values(ones) == values(plain)).all()
    (weighted,) = train([run(weighting=scalarization(SIZES, 5))])
    assert np.abs(values(weighted) - values(plain)).max() > 1e-3


def test_a_weighted_run_is_the_same_in_a_stack():
    alone = train([run("w", weighting=scalarization(SIZES, 5))])[0]
    stacked = train([run("p"), run("w", weighting=scalarization(SIZES, 5))])[1]
    assert (values(stacked) == values(alone)).all()


@pytest.mark.parametrize("name", PLANS)
def test_every_adaptive_method_steers_a_run_and_counts_what_it_costs(name):
    (result,) = train([run(plan=PLANS[name])])
    (plain,) = train([run(schedule=Schedule.constant(PLANS[name].start))])
    assert result.status == "complete"
    moved = Mixture(result.guided["result"]).total_variation(PLANS[name].start)
    weights = result.guided["path"][-1][2]
    assert moved > 1e-3 or (weights is not None and max(weights.values()) > 1)
    per_sequence = T * flops.per_token(SHAPE, T)
    cost = PLANS[name].make(1).cost
    updates, batch = STEPS // cost.every, len(SIZES) * LOOK
    expected = {
        "doremi": STEPS * B / 3,  # one forward pass of the reference for each batch
        "pike": updates * batch,
        "multidds_s": updates * 2 * batch,
    }.get(name, 0.0)
    assert pytest.approx(expected * per_sequence) == result.C - plain.C
    assert sum(result.tokens.values()) == STEPS * B * T


def test_a_proxy_that_is_its_own_reference_exceeds_it_by_nothing():
    one, seen = run(plan=PLANS["doremi"], seed=7), []
    update = one.adaptive.update
    one.adaptive.update = lambda observation: (seen.append(observation), update(observation))
    train([one])  # whose reference has the seed 7 as well
    assert set(seen[0].excess.values()) == {0.0}
    assert max(seen[-1].excess.values()) > 0.01


@pytest.mark.parametrize("name", ["odm", "doremi", "multidds_s"])
def test_a_killed_adaptive_run_goes_on_to_the_bits_of_the_uninterrupted_one(name, tmp_path):
    (whole,) = train([run(plan=PLANS[name])])

    class Killed(Exception):
        pass

    def stop(done, _, loss):
        if done == 11:
            raise Killed

    state = tmp_path / "state"
    with pytest.raises(Killed):
        train([run(plan=PLANS[name])], state=state, state_every=0.0, on_step=stop)
    (resumed,) = train([run(plan=PLANS[name])], state=state)
    assert (values(resumed) == values(whole)).all()
    assert resumed.guided == whole.guided
    assert resumed.tokens == whole.tokens


def test_a_restart_is_a_new_run_from_the_weights_at_the_switch(tmp_path):
    first, second = proportional(SIZES), uniform(SIZES)
    switched = Schedule((Stage(0.0, first), Stage(0.5, second, restart=True)))
    kept = {}

    def keep(name, step):
        kept[step] = tmp_path / f"{name}-{step}"
        return kept[step]

    (restarted,) = train([run(schedule=switched)], checkpoint=keep)
    _, middle = load_checkpoint(kept[STEPS // 2])
    half = dataclasses.replace(run(), tokens=STEPS // 2 * B * T)
    whole = MixtureBatches(Store(), [run(schedule=switched)], TRAINING)

    def later(k, step):
        return whole(k, step + STEPS // 2)

    (fresh,) = train_stack([half], later, SHAPE, TRAINING, held_out=HELD_OUT, on_start=lambda stack: stack.set(middle))
    (again,) = train([run(schedule=switched)], held_out=HELD_OUT)
    assert (values(fresh)[-3:] == values(again)[-3:]).all()
    (plain,) = train([run(schedule=Schedule((Stage(0.0, first), Stage(0.5, second))))])
    assert np.abs(values(plain)[-3:] - values(restarted)[-3:]).max() > 1e-3


def test_training_text_is_measured_beside_held_out_text_with_how_much_was_read():
    (result,) = train([run(schedule=Schedule.constant(uniform(SIZES)))])
    seen = {row.language: row.value for row in result.losses if row.metric == "seen" and row.step == STEPS}
    assert seen == result.tokens
    last = {
        metric: {row.language: row.value for row in result.losses if row.metric == metric and row.step == STEPS}
        for metric in ("train", "nats")
    }
    # Two sequences read 24 times each are better known than text from elsewhere.
    assert last["train"]["low"] < last["nats"]["low"]


def test_development_text_is_never_measured_on():
    watched = EvaluationTexts.of(HELD_OUT, MixtureBatches(Store(), [run()], TRAINING), T)
    for name, text in HELD_OUT.items():
        measured = len(watched.held_out[name].tokens)
        assert measured == 150
        assert (watched.development[name].ravel()[:T] == text.tokens[measured : measured + T]).all()
    with pytest.raises(BadInput, match="big has 30 held-out tokens"):
        EvaluationTexts.of({"big": Text(np.zeros(30, int), 60)}, MixtureBatches(Store(), [run()], TRAINING), T)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (
            [
                run("a"),
                run("b", schedule=Schedule((Stage(0.0, proportional(SIZES)), Stage(0.5, uniform(SIZES), True)))),
            ],
            "restart at",
        ),
        ([run("a", plan=PLANS["gradvac"]), run("b")], "gradvac in a stack of 2"),
    ],
)
def test_runs_that_cannot_share_a_stack_are_named(runs, message):
    with pytest.raises(BadInput, match=message):
        train(runs)


def test_nothing_asked_for_is_left_out_silently():
    runs = [run(weighting=scalarization(SIZES, 5))]
    batches = MixtureBatches(Store(), runs, TRAINING)
    with pytest.raises(BadInput, match="run r has loss weights or an adaptive method"):
        train_stack(runs, batches, SHAPE, TRAINING)
    with pytest.raises(BadInput, match="doremi without a reference model"):
        MixtureController([run(plan=PLANS["doremi"])], batches, SHAPE, TRAINING)
    with pytest.raises(BadInput, match="multidds_s without development text of big, mid, low"):
        MixtureController([run(plan=PLANS["multidds_s"])], batches, SHAPE, TRAINING)
    with pytest.raises(BadInput, match="unexpected keyword argument 'zeta'"):
        AdaptivePlan("odm", uniform(SIZES), {"zeta": 1}).make(0)
    with pytest.raises(BadInput, match="no adaptive method 'magic'"):
        AdaptivePlan("magic", uniform(SIZES)).make(0)


CASES = ["weighted", *PLANS]


def measured(name, team=None):
    """Held-out losses, what the method chose and its cost, of one run."""
    weights = scalarization(SIZES, 5)
    one = run(weighting=weights) if name == "weighted" else run(plan=PLANS[name])
    (result,) = train([one], team=team)
    chosen = result.guided.get("result", {})
    return {"losses": values(result).tolist(), "mixture": [chosen.get(name, 0.0) for name in SIZES], "C": result.C}


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    """What each of two processes measured, which meet as two nodes do: at an address that both were told."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    meeting = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}"]
    command = [sys.executable, "-m", "torch.distributed.run", *meeting, "--rdzv-id=1", __file__, str(folder)]
    nodes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    told = [node.communicate()[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], "\n".join(told)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("name", CASES)
def test_two_processes_have_the_losses_and_the_mixture_of_one(by_two, name, precision):
    alone, first, second = measured(name), *(one[f"{name}-{precision}"] for one in by_two)
    assert first == second
    assert first["C"] == alone["C"]
    # As in test_parallel: halves are summed in another order, and rounded to 24 or 8 bits before.
    tolerance = {"float32": 1e-6, "bfloat16": 2e-3}[precision]
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=tolerance)
    if name == "ado":
        # It ends with a search, which makes more of a difference than there was. In bf16 how much more is the processor's
        # doing (on one kind more than a quarter of the way that the mixture went): there its losses are compared.
        if precision == "bfloat16":
            return
        tolerance = np.abs(np.subtract(alone["mixture"], [PLANS[name].start[one] for one in SIZES])).max() / 4
    assert np.abs(np.subtract(first["mixture"], alone["mixture"])).max() < tolerance


def test_the_methods_of_two_processes_differ_by_more_than_one_and_two_processes(by_two):
    losses = np.array([by_two[0][f"{name}-float32"]["losses"] for name in CASES])
    apart = np.abs(losses[:, None] / losses[None] - 1).max(-1)[np.triu_indices(len(CASES), 1)]
    assert np.median(apart) > 1e-3


if __name__ == "__main__":
    together, plain, found = join("cpu"), TRAINING, {}
    for kind in ("float32", "bfloat16"):
        TRAINING = plain.model_copy(update={"precision": kind})
        found |= {f"{name}-{kind}": measured(name, together) for name in CASES}
    Path(sys.argv[1], f"{together.rank}.json").write_text(json.dumps(found))
    leave()
