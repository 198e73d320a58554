"""Influence scores against captum and dattri, and what in-run Shapley adds to a training: CPU-seconds on one thread.

    python benchmarks/influence.py [--size 0.2M|3M|30M] [--repeats 3] [--fresh]
    python benchmarks/influence.py --in-run
    python benchmarks/influence.py --memory
    python benchmarks/influence.py --errors
    python benchmarks/influence.py --profile [--size 3M]
    python benchmarks/influence.py --table

Same model, samples, checkpoints, parameters (all of them) and batch size for everyone; dot products must agree to
1e-4 and cosines to 1e-3 before a time is added to benchmarks/results/influence_<size>.json (peers sum norms in fp32,
which are off by more than 1e-4 at 3M parameters; ``--errors`` measures everyone in fp64). We and a peer take
turns, so that a ratio is of neighbours in time. The process keeps the memory it frees: dattri makes gigabytes of
short-lived tensors for every batch, and what fresh pages cost varies severalfold on shared machines (``--fresh``
measures with them). In-run Shapley is timed in results/influence_in_run.json, the peak of memory over the number of
training samples in results/influence_memory.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import own_tests  # noqa: F401 - before anything of the tests
import torch

from glotmix.attribution.inrun import InRunShapley, targets_of
from glotmix.attribution.samples import Samples, classification_loss
from glotmix.attribution.tracin import Checkpoint, gradient_products
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Shape
from glotmix.proxy.run import StackRun
from glotmix.proxy.train import train_stack

SIZES = {"0.2M": (64, 2, 2000), "3M": (256, 4, 3000), "30M": (512, 8, 25_000)}
"""Width, layers, vocabulary."""
SAMPLES = {"0.2M": (512, 128), "3M": (192, 64), "30M": (16, 8)}
"""Training and test samples: as many as fit into the minutes that peers take."""
BATCHES = {"0.2M": 64, "3M": 64, "30M": 8}
"""Samples of a pass: peers hold so many gradients of the whole model at once, some of them twice."""
T = 64
QUERY_BYTES = 1 << 33
"""Memory for our test gradients; captum holds its own twice, 12 GB of 48 samples at 30M."""
RESULTS = Path(__file__).parent / "results"
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 28)}
"""glibc's settings with which a process keeps what it frees."""
AGREEMENT = {"dot": 1e-4, "cosine": 1e-3}
"""Largest difference of scores, as a share of the largest one, with which a time counts."""
LANGUAGES = tuple("abcdefgh")


def classifier(width: int, layers: int, vocab: int) -> torch.nn.Module:
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=vocab,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=T + 2,
        attn_implementation="eager",
        pad_token_id=1,
    )
    return XLMRobertaForSequenceClassification(config).eval()


class Logits(torch.nn.Module):
    def __init__(self, inner: torch.nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.inner(input_ids=ids).logits


def samples(n: int, seed: int, vocab: int) -> Samples:
    rng = np.random.default_rng(seed)
    inputs = {"input_ids": rng.integers(2, vocab, (n, T)), "labels": rng.integers(0, 2, n)}
    return Samples({name: torch.from_numpy(x) for name, x in inputs.items()}, ("a",) * n)


def states(model: torch.nn.Module) -> list[dict[str, torch.Tensor]]:
    """Two checkpoints."""
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append({n: t + 0.02 * torch.randn_like(t) for n, t in model.state_dict().items()})
    return found


def ours(model, checkpoints, test, train, batch):
    moments = [Checkpoint(str(i), state, 1.0) for i, state in enumerate(checkpoints)]
    products = gradient_products(model, classification_loss, moments, test, train, batch=batch, query_bytes=QUERY_BYTES)
    return {"dot": products.scores("dot").sum(0), "cosine": products.scores("cosine").sum(0)}


def captum(model, checkpoints, test, train, batch):
    from captum.influence import TracInCP

    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{i}.pt" for i in range(len(checkpoints))]
        for path in paths:
            Path(path).touch()

        def load(wrapped, path):
            wrapped.inner.load_state_dict(checkpoints[paths.index(path)])
            return 1.0

        data = torch.utils.data.TensorDataset(train.inputs["input_ids"], train.inputs["labels"])
        loss = torch.nn.CrossEntropyLoss(reduction="none")
        peer = TracInCP(Logits(model), data, paths, load, loss_fn=loss, batch_size=batch)
        return {"dot": peer.influence((test.inputs["input_ids"], test.inputs["labels"])).detach().numpy()}


def sample_loss(model, parameters, ids, label):
    """The loss of one sample, for ``torch.func``; mask and positions are given, as making them looks at values."""
    options = {
        "attention_mask": torch.zeros(1, 1, T, T),
        "position_ids": torch.arange(2, T + 2)[None],
        "token_type_ids": torch.zeros(1, T, dtype=torch.long),
    }
    out = torch.func.functional_call(model, dict(parameters), (ids.reshape(1, -1),), options)
    return torch.nn.functional.cross_entropy(out.logits, label.reshape(1))


def dattri(similarity):
    def run(model, checkpoints, test, train, batch):
        from dattri.algorithm.tracin import TracInAttributor
        from dattri.task import AttributionTask

        def loss(parameters, sample):
            return sample_loss(model, parameters, *sample)

        sets = [torch.utils.data.TensorDataset(s.inputs["input_ids"], s.inputs["labels"]) for s in (train, test)]
        loaders = [torch.utils.data.DataLoader(data, batch_size=batch) for data in sets]
        task = AttributionTask(loss_func=loss, model=model, checkpoints=checkpoints)
        weights = torch.ones(len(checkpoints))
        peer = TracInAttributor(task=task, weight_list=weights, normalized_grad=similarity == "cosine", device="cpu")
        peer.projector_kwargs = None
        with torch.no_grad():
            return {similarity: peer.attribute(*loaders).T.numpy()}

    return run


def cached_vmap(model, checkpoints, test, train, batch):
    """What a careful user writes without a library: ``torch.func`` gradients per sample, test gradients kept."""
    per_sample = torch.func.vmap(torch.func.grad(partial(sample_loss, model)), in_dims=(None, 0, 0))
    dot, cosine = 0, 0
    for state in checkpoints:
        parameters = {name: state[name] for name, _ in model.named_parameters()}

        def gradients(inputs, at=parameters):
            found = per_sample(at, inputs["input_ids"], inputs["labels"])
            return torch.cat([g.flatten(1) for g in found.values()], 1)

        test_QP = torch.cat([gradients(inputs) for _, inputs in test.batches(batch)])
        norm_Q = test_QP.norm(dim=1)
        parts = []
        for _, inputs in train.batches(batch):
            train_BP = gradients(inputs)
            parts.append((test_QP @ train_BP.T, norm_Q[:, None] * train_BP.norm(dim=1)))
        products, norms = (torch.cat(side, 1) for side in zip(*parts, strict=True))
        dot, cosine = dot + products, cosine + products / norms
    return {"dot": dot.numpy(), "cosine": cosine.numpy()}


VMAP = "plain vmap, dot and cosine"
PEERS = {
    "captum TracInCP, dot": captum,
    "dattri TracIn, dot": dattri("dot"),
    "dattri TracIn, cosine": dattri("cosine"),
    VMAP: cached_vmap,
}


def measure(size: str, peers: list[str], n_train: int, n_test: int, path: Path) -> None:
    """One repeat: ours and each peer in turn on the same samples, written as soon as it is known."""
    model, batch = classifier(*SIZES[size]), BATCHES[size]
    checkpoints = states(model)
    test, train = (samples(n, seed, SIZES[size][2]) for n, seed in ((n_test, 1), (n_train, 2)))
    few = [samples(2, seed, SIZES[size][2]) for seed in (3, 4)]
    for name in peers:
        for method in (ours, PEERS[name]):
            method(model, checkpoints[:1], *few, batch)  # warm
        row: dict = {"train": n_train, "test": n_test}
        found = []
        for who, method in (("glotmix", ours), ("peer", PEERS[name])):
            began = time.process_time()
            found.append(method(model, checkpoints, test, train, batch))
            row[f"{who}_cpu_seconds"] = round(time.process_time() - began, 3)
        mine, theirs = found
        apart = {k: float(np.abs(v - mine[k]).max() / np.abs(mine[k]).max()) for k, v in theirs.items()}
        assert all(value < AGREEMENT[k] for k, value in apart.items()), (name, apart)
        worst = max(apart.values())
        row |= {"largest_difference": worst, "times_as_fast": row["peer_cpu_seconds"] / row["glotmix_cpu_seconds"]}
        row["glotmix_ms_per_gradient"] = 500 * row["glotmix_cpu_seconds"] / (n_train + n_test)
        row["least_ms_per_gradient"] = floor(model, train, batch)
        result = json.loads(path.read_text()) if path.is_file() else {}
        result |= {"parameters": sum(p.numel() for p in model.parameters()), "checkpoints": 2, "T": T, "batch": batch}
        result.setdefault("repeats", {}).setdefault(name, []).append(
            {key: round(value, 9 if key == "largest_difference" else 3) for key, value in row.items()}
        )
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{size}, {name}: {row['times_as_fast']:.1f} times as fast {row}", flush=True)


def markdown(kind: str) -> list[str]:
    """A table of docs/methods/influence.md: rows of one peer and one number of samples together."""
    columns = ["parameters", "train × test", "batch", "against", "its gradients per ours", "times as fast, each repeat"]
    columns += ["ours, ms per gradient", "forward and backward alone, ms"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for size in SIZES:
        path = RESULTS / f"influence_{size}{kind}.json"
        result = json.loads(path.read_text()) if path.is_file() else {"repeats": {}}
        for peer, rows in result["repeats"].items():
            for counts in dict.fromkeys((row["train"], row["test"]) for row in rows):
                some = [row for row in rows if (row["train"], row["test"]) == counts]
                times = ", ".join(f"{row['times_as_fast']:.1f}" for row in some)
                mine, least = (
                    min(row[key] for row in some) for key in ("glotmix_ms_per_gradient", "least_ms_per_gradient")
                )
                (train, test), batch = counts, result["batch"]
                # Libraries compute the test gradients again for every training batch.
                passes = 1 if peer == VMAP else -(-train // batch)
                again = (train + passes * test) / (train + test)
                cells = [f"{result['parameters'] / 1e6:.2g}M", f"{train} × {test}", f"{batch}", peer, f"{again:.2f}"]
                lines.append("| " + " | ".join([*cells, times, f"{mine:.3g}", f"{least:.3g}"]) + " |")
    return lines


def floor(model: torch.nn.Module, train: Samples, batch: int) -> float:
    """Milliseconds per sample of what no exact method can leave out: forward, and backward to the layers' inputs."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    for p in trainable:
        p.requires_grad_(False)
    times = []
    for _ in range(5):
        began = time.process_time()
        for _, inputs in train.batches(batch):
            embedded = model.roberta.embeddings.word_embeddings(inputs["input_ids"]).requires_grad_()
            logits = model(inputs_embeds=embedded).logits
            loss = torch.nn.functional.cross_entropy(logits, inputs["labels"], reduction="sum")
            torch.autograd.grad(loss, embedded)
        times.append(time.process_time() - began)
    for p in trainable:
        p.requires_grad_(True)
    return 1000 * min(times) / len(train)


def errors() -> dict:
    """Largest error of each method's scores, as a share of the largest score, against a loop in double precision."""
    from tests.attribution.conftest import autograd_gradients

    found: dict[str, dict[str, float]] = {}
    for size in ("0.2M", "3M"):
        width, layers, vocab = SIZES[size]
        model, batch = classifier(width, layers, vocab), BATCHES[size]
        checkpoints = states(model)[:1]
        test, train = samples(8, 1, vocab), samples(16, 2, vocab)
        exact = classifier(width, layers, vocab)
        exact.load_state_dict(checkpoints[0])
        names = [name for name, _ in exact.double().named_parameters()]
        test_QP, train_NP = (autograd_gradients(exact, classification_loss, some, names) for some in (test, train))
        truth = {"dot": test_QP @ train_NP.T}
        truth["cosine"] = truth["dot"] / np.outer(np.linalg.norm(test_QP, axis=1), np.linalg.norm(train_NP, axis=1))
        for name, method in {"glotmix": ours, **PEERS}.items():
            for similarity, scores in method(model, checkpoints, test, train, batch).items():
                worst = float(np.abs(scores - truth[similarity]).max() / np.abs(truth[similarity]).max())
                key = name.partition(",")[0] + f", {similarity}"
                found.setdefault(size, {})[key] = float(f"{worst:.2g}")
                print(f"{size} {key}: {worst:.2g}", flush=True)
    return found


def profiled(size: str) -> dict:
    """Shares of our own time by operation, the largest first; what the profiler itself takes is in all of them."""
    model, batch = classifier(*SIZES[size]), BATCHES[size]
    n_train, n_test = SAMPLES[size]
    test, train = (samples(n, seed, SIZES[size][2]) for n, seed in ((n_test, 1), (n_train, 2)))
    checkpoints = states(model)[:1]
    ours(model, checkpoints, *(samples(2, seed, SIZES[size][2]) for seed in (3, 4)), batch)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        ours(model, checkpoints, test, train, batch)
    rows = {row.key: row.self_cpu_time_total for row in profile.key_averages()}
    whole = sum(rows.values())
    largest = sorted(rows.items(), key=lambda row: -row[1])[:14]
    for name, time_us in largest:
        print(f"{time_us / whole:6.1%}  {name}")
    return {"train": n_train, "test": n_test, "shares": {name: round(t / whole, 4) for name, t in largest}}


def memory() -> dict:
    """Peak resident memory of a fresh process that scores so many training samples, in MiB."""
    found = {}
    for n in (64, 512, 2048):
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import influence as b, resource\n"
            "b.torch.set_num_threads(1)\n"
            "model = b.classifier(*b.SIZES['0.2M'])\n"
            f"b.ours(model, b.states(model)[:1], b.samples(16, 1, 2000), b.samples({n}, 2, 2000), 64)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
        )
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        found[str(n)] = int(out.strip().splitlines()[-1])
        print(f"{n} training samples: peak {found[str(n)]} MiB", flush=True)
    gradients = 2048 * 203_714 * 4 // 2**20
    return {"parameters": 203_714, "peak_MiB": found, "all_gradients_of_2048_samples_MiB": gradients}


class Text:
    def __init__(self, seed: int):
        self.tokens, self.bytes = np.random.default_rng(seed).zipf(1.3, 2000) % 1000, 6000


def in_run(steps: int = 40, every: int = 10) -> dict:
    """CPU-seconds of a training with and without in-run Shapley: 8 languages, one held-out window of each."""
    shape = Shape(width=64, layers=2, heads=2, feed_forward=176, vocab=1000, context=128)
    training = ProxyConfig(width=64, layers=2, heads=2, context=128, batch=32)
    run = StackRun("run", Schedule.constant(Mixture(dict.fromkeys(LANGUAGES, 1 / 8))), steps * 32 * 128, 0)

    def batch(k, step):
        return np.random.default_rng(step).zipf(1.3, (32, 129)) % 1000

    held_out = {name: Text(i) for i, name in enumerate(LANGUAGES)}
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(7):
        for name in seconds:
            observer = InRunShapley(
                targets_of(held_out, 128, 1), LANGUAGES, lambda k, s: LANGUAGES * 4, clip=1.0, every=every
            )
            began = time.process_time()
            train_stack([run], batch, shape, training, on_batch=observer.on_batch if name == "with" else None)
            seconds[name].append(round(time.process_time() - began, 3))
    pairs = [b / a - 1 for a, b in zip(seconds["without"], seconds["with"], strict=True)]
    added = float(np.median(pairs))
    print(f"in-run Shapley every {every} steps: +{added:.1%} CPU time, pairs {[f'{x:.1%}' for x in pairs]}")
    setting = {"steps": steps, "every": every, "languages": 8, "parameters": shape.parameters}
    return setting | {"cpu_seconds": seconds, "added": round(added, 4), "added_by_pair": [round(x, 4) for x in pairs]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, default="0.2M")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", action="append", choices=PEERS, help="default all")
    parser.add_argument("--train", type=int, help="training samples; default by size")
    parser.add_argument("--test", type=int, help="test samples")
    parser.add_argument("--table", action="store_true", help="print the kept results as Markdown and stop")
    parser.add_argument("--in-run", action="store_true", help="time in-run Shapley instead")
    parser.add_argument("--memory", action="store_true", help="measure memory instead")
    parser.add_argument("--errors", action="store_true", help="measure the errors of scores instead")
    parser.add_argument("--profile", action="store_true", help="tell where our own time goes instead")
    parser.add_argument("--fresh", action="store_true", help="take and give back memory as glibc does by default")
    options = parser.parse_args()
    kind = "_fresh" if options.fresh else ""
    if options.table:
        print("\n".join(markdown(kind)))
        return
    if not options.fresh and not os.environ.keys() >= KEPT.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEPT)  # malloc reads them at its start
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    looks = {"in_run": in_run, "memory": memory, "errors": errors}
    if asked := [name for name in looks if getattr(options, name)]:
        name, look = asked[0], looks[asked[0]]
        (RESULTS / f"influence_{name}.json").write_text(json.dumps(look(), indent=1) + "\n")
        return
    if options.profile:
        path = RESULTS / f"influence_profile_{options.size}.json"
        path.write_text(json.dumps(profiled(options.size), indent=1) + "\n")
        return
    path = RESULTS / f"influence_{options.size}{kind}.json"
    n_train, n_test = SAMPLES[options.size]
    for _ in range(options.repeats):
        measure(options.size, options.peer or list(PEERS), options.train or n_train, options.test or n_test, path)


if __name__ == "__main__":
    main()
