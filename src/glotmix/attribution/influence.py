"""InfluenceScores: test samples × training samples, with what is known of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from glotmix.artifact import read_json, write_json
from glotmix.attribution.samples import Samples
from glotmix.attribution.tracin import GradientProducts
from glotmix.errors import BadInput, Corrupt


@dataclass(frozen=True)
class Described:
    """What is known of samples besides their tokens."""

    languages: tuple[str, ...]
    """Language of every sample."""
    ids: tuple[str, ...] | None = None
    """Identity of every sample, shared by translations; None where nothing is parallel."""
    labels: tuple[str | int, ...] | None = None
    """Class of every sample, or None."""

    def __len__(self) -> int:
        return len(self.languages)

    @property
    def names(self) -> tuple[str, ...]:
        """The languages, each once, in order of appearance."""
        return tuple(dict.fromkeys(self.languages))

    @classmethod
    def of(cls, samples: Samples) -> Described:
        """The description of samples."""
        return cls(samples.languages, samples.ids, samples.labels)


@dataclass(frozen=True)
class InfluenceScores:
    """Influence of N training samples on Q test samples; positive: training on it helps."""

    value_EQN: np.ndarray
    """Contribution of each checkpoint; the score is their sum."""
    test: Described
    """The Q test samples."""
    train: Described
    """The N training samples."""
    checkpoints: tuple[str, ...] = ("last",)
    """Names of the E checkpoints."""
    method: Mapping[str, Any] = field(default_factory=dict)
    """How it was computed: similarity, weighting, parameters, seed, ..."""

    def __post_init__(self) -> None:
        shape = (len(self.checkpoints), len(self.test), len(self.train))
        if self.value_EQN.shape != shape:
            raise BadInput(f"scores of shape {self.value_EQN.shape}", expected=f"{shape}: checkpoints × test × train")
        if not np.isfinite(self.value_EQN).all():
            e, q, n = np.argwhere(~np.isfinite(self.value_EQN))[0]
            raise BadInput(f"score of test {q}, train {n} at {self.checkpoints[e]} is not finite")

    @classmethod
    def of(
        cls,
        products: GradientProducts,
        test: Samples,
        train: Samples,
        *,
        similarity: str = "cosine",
        weighting: str = "uniform",
    ) -> InfluenceScores:
        """Scores from gradient products, as :meth:`GradientProducts.scores` weighs them."""
        method = {"similarity": similarity, "weighting": weighting, "parameters": list(products.parameters)}
        value_EQN = products.scores(similarity, weighting)
        return cls(value_EQN, Described.of(test), Described.of(train), products.checkpoints, method)

    @property
    def value_QN(self) -> np.ndarray:  # noqa: N802 — shape letters
        """The scores, [Q, N]."""
        return np.asarray(self.value_EQN.sum(0))

    def at(self, checkpoint: str) -> InfluenceScores:
        """The scores of one checkpoint alone."""
        if checkpoint not in self.checkpoints:
            raise BadInput(f"no checkpoint {checkpoint}", expected=f"one of {', '.join(self.checkpoints)}")
        e = self.checkpoints.index(checkpoint)
        return replace(self, value_EQN=self.value_EQN[e : e + 1], checkpoints=(checkpoint,))

    def top(self, m: int, *, negative: bool = False) -> np.ndarray:
        """The m most positive (or most negative) training samples of every test sample, strongest first, [Q, m].

        Equal scores are ranked by a sample's place, so the result is the same everywhere.
        """
        if not 1 <= m <= len(self.train):
            raise BadInput(f"top {m} of {len(self.train)} training samples", expected=f"1 to {len(self.train)}")
        value_QN = self.value_QN
        return np.argsort(value_QN if negative else -value_QN, axis=1, kind="stable")[:, :m]

    def save(self, directory: Path) -> None:
        """Write ``scores.safetensors`` and ``scores.json``."""
        directory.mkdir(parents=True, exist_ok=True)
        save_file({"value_EQN": np.ascontiguousarray(self.value_EQN)}, directory / "scores.safetensors")
        sides = {name: vars(side) for name, side in (("test", self.test), ("train", self.train))}
        write_json(directory / "scores.json", {"checkpoints": self.checkpoints, "method": dict(self.method), **sides})

    @classmethod
    def load(cls, directory: Path) -> InfluenceScores:
        """Read what :meth:`save` wrote.

        Raises:
            BadInput: no scores there.
            Corrupt: the files are broken or do not belong together.
        """
        path = directory / "scores.safetensors"
        if not path.is_file():
            raise BadInput("no such file", where=path, expected="a directory that influence scores were saved to")
        data = read_json(directory / "scores.json")
        try:
            test, train = (_described(data[side]) for side in ("test", "train"))
            return cls(load_file(path)["value_EQN"], test, train, tuple(data["checkpoints"]), data["method"])
        except (SafetensorError, KeyError, TypeError, BadInput) as error:
            raise Corrupt(f"{path}: {error}") from None


def _described(data: Mapping[str, Any]) -> Described:
    ids, labels = data["ids"], data["labels"]
    return Described(
        tuple(data["languages"]), None if ids is None else tuple(ids), None if labels is None else tuple(labels)
    )
