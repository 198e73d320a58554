"""TracIn: products of test and training gradients over the checkpoints of a run.

Pruthi et al. 2020 (arXiv 2002.08484): ``TracInCP(z, z') = Σ_e η_e ⟨∇L(z', θ_e), ∇L(z, θ_e)⟩``. Influence across
languages (Choenni et al. 2023, arXiv 2305.13286) takes the cosine in place of the product, so that samples with large
gradients do not win every test sample. Positive: training on z lowers the loss of z'.

One pass keeps products and norms, from which every similarity and weighting follows (:meth:`GradientProducts.scores`).
Shape letters here: E checkpoints, Q test samples, N training samples.
"""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from glotmix.attribution.factors import Gradient, gathered, total
from glotmix.attribution.gradients import Loss, PerSampleGradients
from glotmix.attribution.queries import Queries, queries_of
from glotmix.attribution.samples import Samples
from glotmix.errors import BadInput, Corrupt
from glotmix.footprint import Footprint
from glotmix.proxy.architecture import Architecture

QUERY_BYTES = 1 << 31
"""Memory that test gradients may take together; more test samples are done in several passes over the training data."""

BATCH = 32
"""Samples of one pass."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights of one moment of a run."""

    name: str
    """How it is called in results."""
    weights: Path | Mapping[str, Tensor]
    """A directory with safetensors (``save_pretrained``'s, a kept proxy's), one such file, or a state dict."""
    learning_rate: float | None = None
    """Learning rate η of the updates that this checkpoint stands for; only TracIn's own weighting needs it."""


@dataclass(frozen=True)
class GradientProducts:
    """What every TracIn score is made of."""

    checkpoints: tuple[str, ...]
    """Names of the checkpoints."""
    dot_EQN: np.ndarray
    """``⟨g_q, g_n⟩`` at every checkpoint."""
    test_norm_EQ: np.ndarray
    """``‖g_q‖``."""
    train_norm_EN: np.ndarray
    """``‖g_n‖``."""
    learning_rates: tuple[float | None, ...]
    """η of every checkpoint."""
    parameters: tuple[str, ...]
    """Parameters whose gradients were multiplied."""

    def scores(self, similarity: str = "cosine", weighting: str = "uniform") -> np.ndarray:
        """Contribution of every checkpoint to the score, [E, Q, N]; their sum is the score.

        Args:
            similarity: "dot" or "cosine". The cosine with a gradient that is zero is zero.
            weighting: "learning_rate" (TracInCP), "uniform" (each 1), or "last" (the last checkpoint alone).

        Raises:
            BadInput: learning rates are asked for and a checkpoint has none.
        """
        weight_E = self._weights(weighting)
        if similarity not in ("dot", "cosine"):
            raise BadInput(f"similarity = {similarity!r}", expected='"dot" or "cosine"')
        value_EQN = self.dot_EQN
        if similarity == "cosine":
            norms_EQN = self.test_norm_EQ[:, :, None] * self.train_norm_EN[:, None, :]
            value_EQN = np.divide(value_EQN, norms_EQN, out=np.zeros_like(value_EQN), where=norms_EQN > 0)
        return np.asarray(weight_E[:, None, None] * value_EQN)

    def self_influence(self, weighting: str = "uniform") -> np.ndarray:
        """``Σ_e w_e ‖g_n‖²`` of every training sample, [N]: high for outliers and wrong labels."""
        return np.asarray(self._weights(weighting) @ self.train_norm_EN**2)

    def _weights(self, weighting: str) -> np.ndarray:
        E = len(self.checkpoints)
        if weighting == "uniform":
            return np.ones(E)
        if weighting == "last":
            return np.asarray(np.eye(E)[-1])
        if weighting != "learning_rate":
            raise BadInput(f"weighting = {weighting!r}", expected='"learning_rate", "uniform" or "last"')
        for name, rate in zip(self.checkpoints, self.learning_rates, strict=True):
            if rate is None:
                raise BadInput("no learning rate", where=f"checkpoint {name}", expected="one, or another weighting")
        return np.array(self.learning_rates, float)


def gradient_products(
    model: nn.Module,
    loss: Loss,
    checkpoints: Sequence[Checkpoint],
    test: Samples,
    train: Samples,
    *,
    parameters: str | Sequence[str] = "all",
    batch: int = BATCH,
    query_bytes: int = QUERY_BYTES,
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> GradientProducts:
    """Exact products between the gradients of all test and all training samples, at every checkpoint.

    Test gradients are computed once per checkpoint (once in all, if they fit in ``query_bytes``, which is what bounds
    the memory together with one batch); no training gradient outlives its batch. The model is left with its weights.

    Args:
        model: any torch model; it is run without dropout.
        loss: per-sample losses (``classification_loss`` or ``next_token_loss`` of :mod:`..samples`, or yours).
        checkpoints: moments of the run, in order.
        test: samples whose predictions are explained.
        train: samples that were trained on.
        parameters: see :func:`glotmix.attribution.gradients.chosen_parameters`.
        batch: samples of one pass.
        query_bytes: memory for test gradients.
        processes: work on so many parts of the training samples side by side; model and loss are sent to each, which
            computes the test gradients for itself. On a machine with several GPUs each takes its own.
        on_progress: called with (training samples done, in all).

    Raises:
        BadInput: no checkpoints, one that does not match the model, a sample longer than the context, a parameter
            whose gradient hooks cannot see.
    """
    if not checkpoints:
        raise BadInput("no checkpoints")
    test.check_fit(model, "test")
    train.check_fit(model, "train")
    if processes > 1:
        options = {"parameters": parameters, "batch": batch, "query_bytes": query_bytes}
        return in_processes(processes, model, loss, checkpoints, test, train, options, on_progress)
    gradients = PerSampleGradients(model, loss, parameters)
    size = sum(p.numel() for p in gradients.matrices.values())
    at_once = max(1, min(len(test), query_bytes // (4 * max(1, size))))
    E, Q, N = len(checkpoints), len(test), len(train)
    dot_EQN, test_EQ, train_EN = np.zeros((E, Q, N)), np.zeros((E, Q)), np.zeros((E, N))
    passes = E * -(-Q // at_once) * N
    done = 0
    with keeping_weights(model):
        for e, checkpoint in enumerate(checkpoints):
            load_weights(model, checkpoint)
            for start in range(0, Q, at_once):
                some = slice(start, min(Q, start + at_once))
                queries = _queries(gradients, test.take(range(Q)[some]), batch)
                test_EQ[e, some] = np.sqrt(total([query.square_norm_Q for query in queries]).cpu().numpy())
                for columns, inputs in train.batches(batch, _device(model)):
                    dot_QB, square_B = _products(queries, gradients(inputs))
                    dot_EQN[e, some, columns], train_EN[e, columns] = dot_QB, np.sqrt(square_B)
                    done += len(square_B)
                    if on_progress is not None:
                        on_progress(done, passes)
    names = tuple(c.name for c in checkpoints)
    rates = tuple(c.learning_rate for c in checkpoints)
    return GradientProducts(names, dot_EQN, test_EQ, train_EN, rates, tuple(gradients.parameters))


def in_processes(
    processes: int,
    model: nn.Module,
    loss: Loss,
    checkpoints: Sequence[Checkpoint],
    test: Samples,
    train: Samples,
    options: Mapping[str, Any],
    on_progress: Callable[[int, int], None] | None,
) -> GradientProducts:
    """Products of the parts of the training samples, each from a process of its own, put together."""
    try:
        ForkingPickler.dumps((model, loss))
    except Exception as error:  # whatever a model's parts raise that cannot be sent
        raise BadInput(
            f"model or loss cannot be sent to other processes: {error}", expected="a loss that is a module's function"
        ) from None
    places = np.array_split(np.arange(len(train)), min(processes, len(train)))
    threads = max(1, torch.get_num_threads() // len(places))
    parts: list[GradientProducts] = []
    with ProcessPoolExecutor(len(places), multiprocessing.get_context("spawn")) as pool:
        some = [train.take(place.tolist()) for place in places]
        futures = [
            pool.submit(_part, i, threads, model, loss, list(checkpoints), test, part, dict(options))
            for i, part in enumerate(some)
        ]
        for place, future in zip(places, futures, strict=True):
            parts.append(future.result())
            if on_progress is not None:
                on_progress(int(place[-1]) + 1, len(train))
    return replace(
        parts[0],
        dot_EQN=np.concatenate([part.dot_EQN for part in parts], 2),
        train_norm_EN=np.concatenate([part.train_norm_EN for part in parts], 1),
    )


def _part(
    index: int,
    threads: int,
    model: nn.Module,
    loss: Loss,
    checkpoints: list[Checkpoint],
    test: Samples,
    train: Samples,
    options: dict[str, Any],
) -> GradientProducts:
    torch.set_num_threads(threads)
    model = copy.deepcopy(
        model
    )  # what was sent lies in memory that all processes share, and weights are loaded into it
    if _device(model).type == "cuda":
        model.to(f"cuda:{index % torch.cuda.device_count()}")
    return gradient_products(model, loss, checkpoints, test, train, **options)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _queries(gradients: PerSampleGradients, test: Samples, batch: int) -> list[Queries]:
    """The test samples' gradients, in the form that training batches are multiplied with."""
    parts: dict[str, list[Gradient]] = {}
    for _, inputs in test.batches(batch, _device(gradients.model)):
        for name, gradient in gradients(inputs).items():
            parts.setdefault(name, []).append(gradient)
    return queries_of({name: gathered(found) for name, found in parts.items()})


def _products(queries: Sequence[Queries], training: Mapping[str, Gradient]) -> tuple[np.ndarray, np.ndarray]:
    """``⟨g_q, g_b⟩`` [Q, B] and ``‖g_b‖²`` [B] over all parameters."""
    dots, squares = zip(*(query.products(training) for query in queries), strict=True)
    return total(dots).cpu().numpy(), total(squares).cpu().numpy()


@contextmanager
def keeping_weights(model: nn.Module) -> Iterator[None]:
    """Whatever is loaded inside, the model has its own weights again afterwards."""
    before = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    try:
        yield
    finally:
        model.load_state_dict(before)


def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into the model; names that are tied to a loaded one may be left out.

    Raises:
        BadInput: no safetensors there, or weights of another model.
        Corrupt: a file that is truncated or changed.
    """
    state = _read(checkpoint) if isinstance(checkpoint.weights, Path) else dict(checkpoint.weights)
    own = model.state_dict(keep_vars=True)
    where = f"checkpoint {checkpoint.name}"
    loaded = {tensor.data_ptr() for name, tensor in own.items() if name in state}
    missing = [name for name, tensor in own.items() if name not in state and tensor.data_ptr() not in loaded]
    unknown = [name for name in state if name not in own]
    if missing or unknown:
        raise BadInput(
            f"{len(missing)} weights are missing ({', '.join(missing[:3])}), "
            f"{len(unknown)} unknown ({', '.join(unknown[:3])})",
            where=where,
            expected="a checkpoint of this model",
        )
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise BadInput(f"{name} is {tuple(tensor.shape)}", where=where, expected=str(tuple(own[name].shape)))
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)


def _read(checkpoint: Checkpoint) -> dict[str, Tensor]:
    path = checkpoint.weights
    assert isinstance(path, Path)
    files = sorted(path.glob("model*.safetensors")) if path.is_dir() else [path] if path.is_file() else []
    if not files or any(file.suffix != ".safetensors" for file in files):
        raise BadInput(f"no safetensors in {path}", where=f"checkpoint {checkpoint.name}", expected="model.safetensors")
    try:
        return {name: tensor for file in files for name, tensor in load_file(file).items()}
    except SafetensorError as error:
        raise Corrupt(f"{path}: {error}") from None


def footprint(
    stage: str,
    architecture: Architecture,
    *,
    length: int,
    tests: int,
    trained: int,
    checkpoints: int,
    batch: int = BATCH,
    query_bytes: int = QUERY_BYTES,
) -> Footprint:
    """What :func:`gradient_products` holds, and computes: training gradients anew for as many passes as queries take.

    Args:
        stage: what it is called.
        architecture: of the model.
        length: tokens of a sample.
        tests: test samples.
        trained: training samples.
        checkpoints: moments of the run, those of several runs together.
        batch: samples of one pass.
        query_bytes: memory for test gradients.
    """
    matrices, together = architecture.in_products, min(batch, max(tests, trained))
    at_once = max(1, min(tests, int(query_bytes // (4 * matrices))))
    gradients = tests + -(-tests // at_once) * trained
    products = 2.0 * tests * trained * matrices
    return Footprint(
        stage,
        weights=2 * 4 * architecture.parameters,  # the model's own are put back at the end
        gradients=architecture.at_outputs(together, length),
        activations=architecture.activations(together, length),
        kept=4 * matrices * at_once,
        flops=checkpoints * (gradients * length * 3 * architecture.forward_flops(length) + products),
        smaller="a smaller batch",
    )
