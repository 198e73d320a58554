"""TracIn: products of test and training gradients over the checkpoints of a run.

Pruthi et al. 2020 (arXiv 2002.08484): ``TracInCP(z, z') = Σ_e η_e ⟨∇L(z', θ_e), ∇L(z, θ_e)⟩``. Influence across
languages (Choenni et al. 2023, arXiv 2305.13286) takes the cosine in place of the product, so that samples with large
gradients do not win every test sample. Positive: training on z lowers the loss of z'.

One pass keeps products and norms, from which every similarity and weighting follows (:meth:`GradientProducts.scores`).
Shape letters here: E checkpoints, Q test samples, N training samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from glotmix.attribution.factors import Gradient, gathered, total
from glotmix.attribution.gradients import Loss, PerSampleGradients, chosen_parameters, held_whole
from glotmix.attribution.parts import Told, device_of, free_bytes, in_parts
from glotmix.attribution.queries import Queries, queries_of
from glotmix.attribution.samples import Samples
from glotmix.errors import BadInput, Corrupt
from glotmix.footprint import Footprint
from glotmix.proxy.architecture import Architecture

FREE = 0.5
"""Part of the free memory that test gradients may take together, where nothing else is said."""

BATCH = 32
"""Samples of one pass."""
DEVICE_BYTES = 80e9
"""Memory of the device that is planned for where no other is told."""


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
    query_bytes: int | None = None,
    processes: int = 1,
    on_progress: Told = None,
) -> GradientProducts:
    """Exact products between the gradients of all test and all training samples, at every checkpoint.

    Test gradients are computed once per checkpoint, training gradients as many times as the test gradients take to fit
    into ``query_bytes``, which is what bounds the memory together with one batch; where that is more than once, an
    :mod:`~glotmix.attribution.index` costs less. No training gradient outlives its batch. The model is left with its
    weights.

    Args:
        model: any torch model; it is run without dropout.
        loss: per-sample losses (``classification_loss`` or ``next_token_loss`` of :mod:`..samples`, or yours).
        checkpoints: moments of the run, in order.
        test: samples whose predictions are explained.
        train: samples that were trained on.
        parameters: see :func:`glotmix.attribution.gradients.chosen_parameters`.
        batch: samples of one pass.
        query_bytes: memory for test gradients; default half of what is free where the model lies.
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
    at_once = queries_at_once(model, parameters, len(test), query_bytes, processes)
    options = (list(checkpoints), test, parameters, batch, at_once)
    parts = in_parts(_products_of_part, processes, model, loss, train, batch, on_progress, *options)
    return replace(
        parts[0],
        dot_EQN=np.concatenate([part.dot_EQN for part in parts], 2),
        train_norm_EN=np.concatenate([part.train_norm_EN for part in parts], 1),
    )


def queries_at_once(
    model: nn.Module, parameters: str | Sequence[str], tests: int, query_bytes: int | None = None, processes: int = 1
) -> int:
    """How many of so many test samples have their gradients in memory together.

    Args:
        model: where it lies.
        parameters: whose gradients.
        tests: Q.
        query_bytes: for all of them; default half of what is free, of the processor's shared by all processes.
        processes: that hold them.
    """
    if query_bytes is None:
        device = device_of(model)
        query_bytes = int(FREE * free_bytes(device)) // (processes if device.type == "cpu" else 1)
    size = sum(p.numel() for p in held_whole(model, chosen_parameters(model, parameters)).values())
    return max(1, min(tests, query_bytes // (4 * max(1, size))))


def _products_of_part(
    number: int,
    model: nn.Module,
    loss: Loss,
    train: Samples,
    on_progress: Told,
    checkpoints: list[Checkpoint],
    test: Samples,
    parameters: str | Sequence[str],
    batch: int,
    at_once: int,
) -> GradientProducts:
    gradients = PerSampleGradients(model, loss, parameters)
    E, Q, N = len(checkpoints), len(test), len(train)
    dot_EQN, test_EQ, train_EN = np.zeros((E, Q, N)), np.zeros((E, Q)), np.zeros((E, N))
    passes = E * -(-Q // at_once) * N
    done = 0
    with keeping_weights(model):
        for e, checkpoint in enumerate(checkpoints):
            load_weights(model, checkpoint)
            for start in range(0, Q, at_once):
                some = slice(start, min(Q, start + at_once))
                queries = queries_for(gradients, test.take(range(Q)[some]), batch)
                test_EQ[e, some] = np.sqrt(total([query.square_norm_Q for query in queries]).cpu().numpy())
                for columns, inputs in train.batches(batch, device_of(model)):
                    dot_QB, square_B = products_with(queries, gradients(inputs))
                    dot_EQN[e, some, columns], train_EN[e, columns] = dot_QB, np.sqrt(square_B)
                    done += len(square_B)
                    if on_progress is not None:
                        on_progress(done, passes)
    names = tuple(c.name for c in checkpoints)
    rates = tuple(c.learning_rate for c in checkpoints)
    return GradientProducts(names, dot_EQN, test_EQ, train_EN, rates, tuple(gradients.parameters))


def queries_for(gradients: PerSampleGradients, test: Samples, batch: int) -> list[Queries]:
    """The test samples' gradients, in the form that training batches are multiplied with."""
    parts: dict[str, list[Gradient]] = {}
    for _, inputs in test.batches(batch, device_of(gradients.model)):
        for name, gradient in gradients(inputs).items():
            parts.setdefault(name, []).append(gradient)
    return queries_of({name: gathered(found) for name, found in parts.items()})


def products_with(queries: Sequence[Queries], training: Mapping[str, Gradient]) -> tuple[np.ndarray, np.ndarray]:
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
    query_bytes: float | None = None,
    device_bytes: float = DEVICE_BYTES,
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
        query_bytes: memory for test gradients; default half of what the rest leaves of the device.
        device_bytes: memory of the device.
    """
    one = passes_footprint(stage, architecture, length, min(batch, max(tests, trained)))
    matrices = architecture.in_products
    room = FREE * max(0.0, device_bytes - one.bytes) if query_bytes is None else query_bytes
    at_once = max(1, min(tests, int(room // (4 * matrices))))
    gradients = tests + -(-tests // at_once) * trained
    products = 2.0 * tests * trained * matrices
    return replace(
        one,
        kept=4 * matrices * at_once,
        flops=checkpoints * (gradients * length * 3 * architecture.forward_flops(length) + products),
    )


def passes_footprint(stage: str, architecture: Architecture, length: int, batch: int) -> Footprint:
    """What passes over batches hold, for exact products and for projections: no FLOPs yet."""
    return Footprint(
        stage,
        weights=2 * 4 * architecture.parameters,  # the model's own are put back at the end
        gradients=architecture.at_outputs(batch, length),
        activations=architecture.activations(batch, length),
        smaller="a smaller batch",
    )
