"""Code that runs on a device makes its tensors there: the engine's whole path on a stand-in for one, and a search."""

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from glotmix.attribution.inrun import InRunShapley, targets_of
from glotmix.mixture.adaptives.plan import AdaptivePlan
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.mixture.weighting import Weighting
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.controller import MixtureController
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.model import Shape, init_parameters
from glotmix.proxy.parallel import Team
from glotmix.proxy.run import StackRun
from glotmix.proxy.train import train_stack
from tests.elsewhere import Elsewhere, Mixed, elsewhere

SOURCE = Path(__file__).parents[2] / "src" / "glotmix"
SHAPE = Shape(width=32, layers=1, heads=2, feed_forward=48, vocab=64, context=16)
TRAINING = ProxyConfig(width=32, layers=1, heads=2, context=16, batch=6, evaluations=2, learning_rate=1e-2)
SIZES = {"big": 40 * 16, "low": 4 * 16}
EVEN = Mixture(dict.fromkeys(SIZES, 0.5))
STEPS = 12


@dataclasses.dataclass
class Text:
    tokens: np.ndarray
    bytes: int


class Store:
    fingerprint = "store"

    def train(self, language):
        place = list(SIZES).index(language)
        return (np.random.default_rng(place).zipf(1.3, SIZES[language] + 1) + 20 * place) % 64


HELD_OUT = {name: Text(np.random.default_rng(9 + i).zipf(1.3, 100) % 64, 200) for i, name in enumerate(SIZES)}


def run(name, plan=None, weighting=None):
    adaptive = plan.make(1) if plan else None
    return StackRun(name, Schedule.constant(EVEN), STEPS * 6 * 16, 1, weighting, adaptive)


PATHS = {
    "plain": lambda: [run("a"), run("b")],
    "weighted": lambda: [run("w", weighting=Weighting({"big": 0.5, "low": 1.5})), run("a")],
    "doremi": lambda: [run("d", AdaptivePlan("doremi", EVEN))],
    "pike": lambda: [run("p", AdaptivePlan("pike", EVEN, {"zeta1": 0.05, "zeta2": 0.01, "batch": 6, "every": 4}))],
    "multidds_s": lambda: [run("m", AdaptivePlan("multidds_s", EVEN, {"every": 4, "learning_rate": 1e-2}))],
    "gradvac": lambda: [run("g", AdaptivePlan("gradvac", EVEN))],
}


def trained(path, precision, device):
    """Losses of a path's runs, and what in-run Shapley says of them; with state and checkpoints."""
    runs = PATHS[path]()
    training = TRAINING.model_copy(update={"precision": precision})
    batches = MixtureBatches(Store(), runs, training)
    guide = None
    if any(one.is_guided for one in runs):
        references = {one.run: {n: t.to(device) for n, t in init_parameters(SHAPE, [7]).items()} for one in runs}
        development = {name: np.random.default_rng(5).integers(64, size=(8, 17)) for name in SIZES}
        guide = MixtureController(runs, batches, SHAPE, training, references=references, development=development)
    observer = InRunShapley(targets_of(HELD_OUT, 16, 4), tuple(SIZES), batches.languages_of, clip=1.0, every=4)
    held_out = {"held_out": HELD_OUT, "trained_on": HELD_OUT}
    results = train_stack(
        runs, batches, SHAPE, training, guide=guide, team=Team(device=device), on_batch=observer.on_batch, **held_out
    )
    assert {result.status for result in results} == {"complete"}
    losses = np.array([[row.value for row in result.losses] for result in results])
    return losses, np.stack([matrix.value_TL for matrix in observer.matrices()])


@pytest.mark.parametrize("path", PATHS)
def test_a_training_on_another_device_mixes_no_tensors_and_measures_the_same(path, precision):
    here = trained(path, precision, "cpu")
    with elsewhere() as device:
        there = trained(path, precision, device)
    # The same operations in torch's form, as without the kernels for one CPU core.
    near = {"float32": 1e-4, "bfloat16": 0.02}[precision]
    np.testing.assert_allclose(there[0], here[0], rtol=near)
    assert np.abs(there[1] - here[1]).max() < 10 * near * np.abs(here[1]).max()


def test_a_state_saved_on_a_device_goes_on_there(tmp_path):
    class Killed(Exception):
        pass

    def kill(done, steps, loss):
        if done == 6:
            raise Killed

    def train(device, **options):
        runs = PATHS["plain"]()
        batches = MixtureBatches(Store(), runs, TRAINING)
        (one, _) = train_stack(runs, batches, SHAPE, TRAINING, team=Team(device=device), held_out=HELD_OUT, **options)
        return [row.value for row in one.losses]

    with elsewhere() as device:
        with pytest.raises(Killed):
            train(device, state=tmp_path / "state", state_every=0.0, on_step=kill)
        again = train(device, state=tmp_path / "state", checkpoint=lambda run, step: tmp_path / f"{run}-{step}")
        assert again == train(device)
    assert (tmp_path / "a-12" / "model.safetensors").is_file()


def test_the_stand_in_refuses_to_mix_devices():
    with elsewhere() as device:
        one = torch.ones(3, device=device)
        assert isinstance(one, Elsewhere)
        assert (one * 2 + one.sum()).cpu().tolist() == [5.0, 5.0, 5.0]
        assert (one * torch.tensor(2.0)).tolist() == [2.0, 2.0, 2.0]  # a single number may come from anywhere
        with pytest.raises(Mixed, match=r"add of \(3,\) on the device, \(3,\) on the CPU"):
            one + torch.ones(3)
        with pytest.raises(Mixed):
            torch.zeros(4, 2)[torch.tensor([1, 2], device=device)]


MAKERS = {
    "zeros", "ones", "empty", "full", "arange", "tensor", "as_tensor", "from_numpy", "rand", "randn", "randint",
    "randperm", "eye", "linspace",
}  # fmt: skip
ON_THE_HOST = {
    "proxy/model.py:init_parameters": "drawn on the CPU, so that every device starts from the same bits",
    "proxy/kernels.py:_work": "room for one head in native.c, which runs on a CPU",
    "proxy/train.py:_ahead.assemble": "a batch as it was read; moved by whoever asked for it",
    "proxy/controller.py:MixtureController.backward": "weights of a batch; moved in the next line",
    "attribution/inrun.py:targets_of": "held-out text; moved by contributions()",
    "attribution/factors.py:Workspace.__init__": "of no size; made anew on the device of what it is for",
    "attribution/index.py:Projection._of": "drawn on the CPU, so that every device projects alike; moved where used",
    "attribution/index.py:InfluenceIndex.products": "rows of a file, multiplied with queries that were brought back",
    "attribution/index.py:_measured": "rows of a file, compared with one another",
    "attribution/by_source.py:SourceGradients.__init__": "of no size; replaced by what a pass reads",
    "attribution/samples.py:Samples.check_fit": "samples lie on the CPU until their batch is moved",
    "attribution/samples.py:Samples.take": "samples; moved batch by batch",
    "attribution/texts.py:Texts.encoded": "samples; moved batch by batch",
    "probe/alignment.py:retrieved": "arrays, of which an array is made",
    "proxy/controller.py:_Guided.backward_by_language": "places in a batch, as a list",
    "proxy/architecture.py:Architecture.held.at": "a fake tensor: its size is counted and nothing is stored",
    "proxy/architecture.py:with_fake_tensors": "fake tensors",
    "proxy/held.py:of_proxy.at": "fake tensors",
    "probe/gradient_variance.py:of_model.of": "a single number, which may meet tensors of any device",
}
"""Functions that make tensors on the CPU on purpose, and why."""


def makes_on_the_cpu(source):
    """File and function of every tensor that is made without a device and not moved in the same expression."""
    found = set()
    for path in sorted(path for room in ("proxy", "attribution", "probe") for path in (source / room).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) in {f"torch.{name}" for name in MAKERS}):
                continue
            if any(keyword.arg == "device" for keyword in node.keywords) or _moved(node, above):
                continue
            names, up = [], node
            while up in above:
                up = above[up]
                names += [up.name] if isinstance(up, ast.FunctionDef | ast.ClassDef) else []
            found.add(f"{path.relative_to(source).as_posix()}:{'.'.join(reversed(names))}")
    return found


def _moved(node, above):
    """Whether ``.to(...)`` follows in the chain of calls."""
    while (
        isinstance(above.get(node), ast.Attribute | ast.Call | ast.Subscript)
        and getattr(above[node], "func", node) is node
    ):
        node = above[node]
        if isinstance(node, ast.Attribute) and node.attr == "to":
            return True
    return False


def test_tensors_are_made_on_the_device_that_they_are_used_on():
    found = makes_on_the_cpu(SOURCE)
    assert found - ON_THE_HOST.keys() == set(), "give it device=..., or say in ON_THE_HOST why it belongs on the CPU"
    assert ON_THE_HOST.keys() - found == set(), "no longer there"


def test_the_search_finds_what_it_looks_for(tmp_path):
    (tmp_path / "proxy").mkdir()
    code = (
        "import torch\ndef wrong(x):\n    return x + torch.zeros(3)\n"
        "class A:\n    def right(self, x):\n        torch.zeros(3, device=x.device)\n"
        "        return x + torch.from_numpy(a).long().to(x.device)\n"
    )
    (tmp_path / "proxy" / "some.py").write_text(code)
    assert makes_on_the_cpu(tmp_path) == {"proxy/some.py:wrong"}
