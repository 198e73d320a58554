"""An index of projected training gradients on disk, for corpora whose samples are asked again and again.

Every matrix's gradient [O, I] is multiplied from both sides with random matrices, ``A G Bᵀ`` with at most k × k
entries, which its factors allow without the gradient ever being there (LoGra, Choe et al. 2024, arXiv 2405.13954, with
random sides). Products of projections are unbiased: ``E ⟨A G Bᵀ, A H Bᵀ⟩ = ⟨G, H⟩``. Norms are those of projections:
gradients of one layer point much the same way, so that their products are off by one common factor, which a cosine of
projections does not have.

A projection is an approximation, and one that is silent about it is worse than none (512 directions are off by 5 to 9
per cent of the largest product even for models of 0.2M parameters). So the error is measured while the index is made:
some training samples play queries, and their exact products with some others stand beside the projected ones.
"""

from __future__ import annotations

import math
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import stats
from torch import Tensor, nn

from glotmix.artifact import MANIFEST, creating, open_artifact, read_json, write_json
from glotmix.attribution.factors import Factor, Gradient, Outer, Rows, total
from glotmix.attribution.gradients import Loss, PerSampleGradients, chosen_parameters
from glotmix.attribution.influence import Described
from glotmix.attribution.modules import size_of
from glotmix.attribution.parts import Told, device_of, in_parts
from glotmix.attribution.samples import Samples
from glotmix.attribution.tracin import (
    Checkpoint,
    GradientProducts,
    gradient_products,
    keeping_weights,
    load_weights,
    passes_footprint,
    queries_at_once,
)
from glotmix.errors import BadInput, Corrupt
from glotmix.footprint import Footprint
from glotmix.proxy.architecture import Architecture

KIND = "influence index"
ROWS = 4096
"""Rows of the index that are in memory at once."""
DIMENSIONS = 16
"""Sides of a projected matrix."""
PROBES = 16
"""Training samples that play queries where the error is measured."""
COMPARED = 256
"""Training samples that probes are multiplied with exactly: pairs enough for an error, and gradients few enough."""


@dataclass(frozen=True)
class ProjectionError:
    """How far projected cosines are from exact ones, over pairs of a probe and another training sample."""

    pairs: int
    """How many pairs."""
    rms: float
    """Root mean square difference of the cosines."""
    scale: float
    """Root mean square of the exact cosines, to compare it with."""
    correlation: float
    """Mean over probes of the rank correlation between exact and projected cosines."""
    overlap: float
    """Mean over probes of the share of the exact top ``top`` that is also in the projected top."""
    top: int
    """How many samples count as the top."""
    chance: float
    """What the overlap would be at random."""


class Projection:
    """Random two-sided projections of every parameter, the same for the same seed."""

    def __init__(self, dimensions: int, seed: int):
        if dimensions < 1:
            raise BadInput(f"dimensions = {dimensions}", expected="1 or more on each side of a matrix")
        self.dimensions, self.seed = dimensions, seed
        self._sides: dict[str, tuple[Tensor | None, Tensor | None]] = {}

    def __call__(self, gradients: Mapping[str, Gradient]) -> Tensor:
        """Projected gradients of a batch, parameters side by side, [B, K]."""
        return torch.cat([self._projected(name, g) for name, g in gradients.items()], 1)

    def width(self, size: tuple[int, int]) -> int:
        """Entries that are kept of a parameter's gradient."""
        return math.prod(min(n, k) for n, k in zip(size, self._most(size), strict=True))

    def _most(self, size: tuple[int, int]) -> tuple[int, int]:
        """Sides of a projection; a vector has one side only, which then gets the entries of both."""
        return (1, self.dimensions**2) if size[0] == 1 else (self.dimensions, self.dimensions)

    def _projected(self, name: str, gradient: Gradient) -> Tensor:
        left, right = self._of(name, gradient.size)
        return total([_projected(factor, gradient.size, left, right) for factor in gradient.factors]).flatten(1)

    def _of(self, name: str, size: tuple[int, int]) -> tuple[Tensor | None, Tensor | None]:
        if name not in self._sides:
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) ^ self.seed)
            left, right = (
                None if n <= k else torch.randn(k, n, generator=generator) / k**0.5
                for n, k in zip(size, self._most(size), strict=True)
            )
            self._sides[name] = left, right
        return self._sides[name]


def _projected(factor: Factor, size: tuple[int, int], left: Tensor | None, right: Tensor | None) -> Tensor:
    """``A (Σ_t l_t ⊗ r_t) Bᵀ`` of every sample, [B, k, k]."""
    if isinstance(factor, Outer):
        l_BTk = _side(factor.left_BTO.float(), left)
        return torch.bmm(l_BTk.transpose(1, 2), _side(factor.right_BTI.float(), right))
    if isinstance(factor, Rows):
        there = (factor.row_BT >= 0).unsqueeze(-1)
        row_BT = factor.row_BT.clamp(min=0)
        l_BTk = torch.nn.functional.one_hot(row_BT, size[0]).float() if left is None else left.T[row_BT]
        return torch.bmm((l_BTk * there).transpose(1, 2), _side(factor.value_BTI.float(), right))
    whole_BOI = factor.value_BI.float().view(-1, *size)
    return _side(_side(whole_BOI, right).transpose(1, 2), left).transpose(1, 2)


def _side(values: Tensor, matrix: Tensor | None) -> Tensor:
    return values if matrix is None else values @ matrix.to(values.device).T


@dataclass(frozen=True)
class InfluenceIndex:
    """What :func:`build_index` left on disk."""

    directory: Path
    """Where it lies."""
    train: Described
    """The N training samples."""
    checkpoints: tuple[str, ...]
    """Names of the E checkpoints."""
    learning_rates: tuple[float | None, ...]
    """Learning rate of each."""
    parameters: tuple[str, ...]
    """Parameters whose gradients were projected."""
    width: int
    """K, entries of a projected gradient."""
    dimensions: int
    """Sides of a projected matrix."""
    seed: int
    """Seed of the projection."""
    error: ProjectionError
    """How good it is."""

    def rows(self, e: int) -> np.ndarray:
        """Projected gradients at a checkpoint, mapped read-only, [N, K]."""
        path = self.directory / f"gradients-{e}.bin"
        return np.memmap(path, np.float32, "r", shape=(len(self.train), self.width))

    def products(
        self, model: nn.Module, loss: Loss, checkpoints: Sequence[Checkpoint], test: Samples, *, batch: int = 32
    ) -> GradientProducts:
        """Approximate products with new test samples; their cosines have the error that is told.

        Raises:
            BadInput: other checkpoints than the index was made of, or a test sample that does not fit the model.
        """
        if tuple(c.name for c in checkpoints) != self.checkpoints:
            names = ", ".join(c.name for c in checkpoints)
            raise BadInput(f"checkpoints {names}", where=self.directory, expected=", ".join(self.checkpoints))
        test.check_fit(model, "test")
        gradients, project = (
            PerSampleGradients(model, loss, list(self.parameters)),
            Projection(self.dimensions, self.seed),
        )
        E, Q, N = len(checkpoints), len(test), len(self.train)
        dot_EQN, test_EQ = np.zeros((E, Q, N)), np.zeros((E, Q))
        with keeping_weights(model):
            for e, checkpoint in enumerate(checkpoints):
                load_weights(model, checkpoint)
                batches = test.batches(batch, device_of(model))
                query_QK = torch.cat([project(gradients(inputs)).cpu() for _, inputs in batches])
                test_EQ[e] = _norms(query_QK)
                rows = self.rows(e)
                for start in range(0, N, ROWS):
                    part = torch.from_numpy(np.array(rows[start : start + ROWS]))
                    dot_EQN[e, :, start : start + ROWS] = (query_QK @ part.T).numpy()
        norms_EN = load_file(self.directory / "norms.safetensors")["train_norm_EN"]
        return GradientProducts(self.checkpoints, dot_EQN, test_EQ, norms_EN, self.learning_rates, self.parameters)


def build_index(
    directory: Path,
    model: nn.Module,
    loss: Loss,
    checkpoints: Sequence[Checkpoint],
    train: Samples,
    *,
    parameters: str | Sequence[str] = "all",
    dimensions: int = DIMENSIONS,
    seed: int = 0,
    batch: int = 32,
    probes: int = PROBES,
    processes: int = 1,
    on_progress: Told = None,
) -> InfluenceIndex:
    """Project every training gradient once and write them to ``directory``; memory holds a batch.

    Args:
        directory: of the index; complete or absent.
        model: any torch model; it is run without dropout.
        loss: per-sample losses.
        checkpoints: moments of the run, in order.
        train: samples that were trained on.
        parameters: as in :func:`~glotmix.attribution.tracin.gradient_products`.
        dimensions: k; a matrix keeps at most k × k entries.
        seed: of the projections and of the choice of probes.
        batch: samples of one pass.
        probes: training samples that play queries where the error is measured, if their gradients fit into memory.
        processes: side by side over the training samples, as in ``gradient_products``.
        on_progress: called with (training samples done, in all).

    Raises:
        BadInput: as ``gradient_products``, or fewer than three training samples.
    """
    if not checkpoints or len(train) < 3:
        raise BadInput(f"{len(checkpoints)} checkpoints and {len(train)} training samples", expected="1 and 3 or more")
    train.check_fit(model, "train")
    names = list(chosen_parameters(model, parameters))
    Projection(dimensions, seed)
    made_from = {"dimensions": dimensions, "seed": seed, "checkpoints": [c.name for c in checkpoints]}
    with creating(directory, KIND, made_from) as part:
        options = (list(checkpoints), names, dimensions, seed, batch, part)
        parts = in_parts(_project, processes, model, loss, train, batch, on_progress, *options)
        for e in range(len(checkpoints)):
            _joined(part, e, len(parts))
        norm_EN = np.concatenate([norms for norms, _ in parts], 1)
        error = _measured(part, model, loss, checkpoints, train, names, parts[0][1], dimensions, seed, batch, probes)
        save_file({"train_norm_EN": norm_EN}, part / "norms.safetensors")
        meta = {
            "train": asdict(Described.of(train)),
            "checkpoints": [c.name for c in checkpoints],
            "learning_rates": [c.learning_rate for c in checkpoints],
            "parameters": names,
            "width": parts[0][1],
            "dimensions": dimensions,
            "seed": seed,
            "error": asdict(error),
        }
        write_json(part / "index.json", meta)
    return open_index(directory)


def _project(
    number: int,
    model: nn.Module,
    loss: Loss,
    train: Samples,
    on_progress: Told,
    checkpoints: list[Checkpoint],
    parameters: list[str],
    dimensions: int,
    seed: int,
    batch: int,
    folder: Path,
) -> tuple[np.ndarray, int]:
    """One part's projected gradients, a file for each checkpoint, with their norms [E, N] and their width K."""
    gradients, project = PerSampleGradients(model, loss, parameters), Projection(dimensions, seed)
    E, N = len(checkpoints), len(train)
    norm_EN, width = np.zeros((E, N)), 0
    with keeping_weights(model):
        for e, checkpoint in enumerate(checkpoints):
            load_weights(model, checkpoint)
            with open(_file(folder, e, number), "wb") as file:
                for columns, inputs in train.batches(batch, device_of(model)):
                    rows_BK = project(gradients(inputs))
                    norm_EN[e, columns], width = _norms(rows_BK), rows_BK.shape[1]
                    file.write(rows_BK.float().cpu().numpy().tobytes())
                    if on_progress is not None:
                        on_progress(e * N + columns.start + len(rows_BK), E * N)
    return norm_EN, width


def _file(folder: Path, e: int, number: int = 0) -> Path:
    """Rows of a checkpoint; those of later parts until they are put behind the first's."""
    return folder / (f"gradients-{e}.bin" if number == 0 else f"gradients-{e}.{number}.bin")


def _joined(folder: Path, e: int, parts: int) -> None:
    with open(_file(folder, e), "ab") as whole:
        for number in range(1, parts):
            with open(_file(folder, e, number), "rb") as part:
                shutil.copyfileobj(part, whole)
            _file(folder, e, number).unlink()


def _measured(
    folder: Path,
    model: nn.Module,
    loss: Loss,
    checkpoints: Sequence[Checkpoint],
    train: Samples,
    parameters: list[str],
    width: int,
    dimensions: int,
    seed: int,
    batch: int,
    probes: int,
) -> ProjectionError:
    """Exact and projected cosines of probes with other training samples, drawn once for all checkpoints."""
    rng = np.random.default_rng(seed)
    probes = queries_at_once(model, parameters, min(probes, len(train)))
    probe = np.sort(rng.choice(len(train), probes, replace=False))
    other = np.sort(rng.choice(len(train), min(COMPARED, len(train)), replace=False))
    asked, compared = (train.take(places.tolist()) for places in (probe, other))
    exact = gradient_products(model, loss, checkpoints, asked, compared, parameters=parameters, batch=batch)
    near_EPN = np.zeros_like(exact.dot_EQN)
    norms = []
    for e in range(len(checkpoints)):
        rows = np.memmap(_file(folder, e), np.float32, "r", shape=(len(train), width))
        asked_PK, compared_NK = (torch.from_numpy(np.array(rows[places])) for places in (probe, other))
        near_EPN[e] = (asked_PK @ compared_NK.T).numpy()
        norms.append((_norms(asked_PK), _norms(compared_NK)))
    near = [np.stack(side) for side in zip(*norms, strict=True)]
    return _error(
        _cosines(exact.dot_EQN, exact.test_norm_EQ, exact.train_norm_EN), _cosines(near_EPN, *near), probe, other
    )


def index_gradients(tests: int, trained: int) -> int:
    """Gradients that are computed at a checkpoint to make an index and to ask it of so many test samples."""
    return tests + trained + min(PROBES, trained) + min(COMPARED, trained)


def index_footprint(
    stage: str,
    architecture: Architecture,
    *,
    length: int,
    tests: int,
    trained: int,
    checkpoints: int,
    dimensions: int = DIMENSIONS,
    batch: int = 32,
) -> tuple[Footprint, float]:
    """What :func:`build_index` and its products hold and compute, and the bytes that indices take on disk.

    Args:
        stage: what it is called.
        architecture: of the model.
        length: tokens of a sample.
        tests: test samples.
        trained: training samples.
        checkpoints: moments of the run, those of several runs together.
        dimensions: k.
        batch: samples of one pass.
    """
    one = passes_footprint(stage, architecture, length, min(batch, max(tests, trained)))
    width = architecture.summed(lambda parameter: Projection(dimensions, 0).width(size_of(parameter)))
    sides = architecture.summed(lambda parameter: dimensions * sum(size_of(parameter)))
    exact = min(COMPARED, trained) * architecture.in_products * (2.0 * length + 2.0 * PROBES)
    passes = index_gradients(tests, trained) * length * 3 * architecture.forward_flops(length)
    kept = 4 * (PROBES * architecture.in_products + sides + (tests + ROWS) * width)
    flops = checkpoints * (passes + exact + 2.0 * tests * trained * width)
    return replace(one, kept=kept, flops=flops), 4 * width * trained * checkpoints


def open_index(directory: Path, *, verify: bool = False) -> InfluenceIndex:
    """Open an index.

    Args:
        directory: what :func:`build_index` made.
        verify: compare every file with its checksum, which reads all of them.

    Raises:
        BadInput: no index there.
        Corrupt: a file that is missing, truncated or (with ``verify``) changed.
    """
    artifact = open_artifact(directory, KIND)
    if artifact is None:
        raise BadInput(f"no {MANIFEST} in it", where=directory, expected="an influence index, made to the end")
    for name, recorded in artifact.files.items():
        path = directory / name
        if not path.is_file() or path.stat().st_size != recorded["bytes"]:
            size = path.stat().st_size if path.is_file() else 0
            raise Corrupt(f"{path}: {size} bytes, was written with {recorded['bytes']}; make the index again")
    if verify:
        artifact.verify()
    meta: dict[str, Any] = read_json(directory / "index.json")
    try:
        load_file(directory / "norms.safetensors")
        train = {name: None if v is None else tuple(v) for name, v in meta.pop("train").items()}
        error = ProjectionError(**meta.pop("error"))
        tuples = {name: tuple(meta.pop(name)) for name in ("checkpoints", "learning_rates", "parameters")}
        return InfluenceIndex(directory, Described(**train), error=error, **tuples, **meta)  # type: ignore[arg-type]
    except (SafetensorError, KeyError, TypeError, AttributeError) as broken:
        raise Corrupt(f"{directory}: {broken}; make the index again") from None


def _cosines(dot_EPN: np.ndarray, probe_EP: np.ndarray, norm_EN: np.ndarray) -> np.ndarray:
    """Mean over checkpoints, [P, N]."""
    norms_EPN = probe_EP[:, :, None] * norm_EN[:, None, :]
    mean_PN: np.ndarray = np.divide(dot_EPN, norms_EPN, out=np.zeros_like(dot_EPN), where=norms_EPN > 0).mean(0)
    return mean_PN


def _error(exact_PN: np.ndarray, near_PN: np.ndarray, probe: np.ndarray, other: np.ndarray) -> ProjectionError:
    """A probe with itself is left out."""
    others = other[None, :] != probe[:, None]
    top = max(1, min(100, int(others.sum(1).min()) // 10))
    correlations, overlaps = [], []
    for exact, near, mask in zip(exact_PN, near_PN, others, strict=True):
        a, b = exact[mask], near[mask]
        if np.ptp(a) > 0 and np.ptp(b) > 0:
            correlations.append(float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1]))
        best = [set(np.argsort(-x, kind="stable")[:top].tolist()) for x in (a, b)]
        overlaps.append(len(best[0] & best[1]) / top)
    difference = (near_PN - exact_PN)[others]
    return ProjectionError(
        int(others.sum()),
        float(np.sqrt(np.mean(difference**2))),
        float(np.sqrt(np.mean(exact_PN[others] ** 2))),
        float(np.mean(correlations)) if correlations else float("nan"),
        float(np.mean(overlaps)),
        top,
        top / int(others[0].sum()),
    )


def _norms(value_NK: Tensor) -> np.ndarray:
    return np.asarray(torch.linalg.vector_norm(value_NK, dim=1).double().cpu().numpy())
