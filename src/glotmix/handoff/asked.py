"""AskedRun: what a foreign trainer is asked to train, with a checksum by which its results are known."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glotmix.artifact import fingerprint, open_artifact, read_json, write_json
from glotmix.errors import BadInput, Corrupt
from glotmix.scored import Scored

KIND = "asked run"
ASKED, ABOUT, GUIDE, RUNS, RESULTS = "asked.json", "handoff.json", "README.md", "runs", "results"
WAITING = "waiting.txt"
"""Full names of the runs that are needed now, a line each, the most useful first."""
CHECKSUM = re.compile(r"^(?P<name>.+)\.(?P<checksum>[0-9a-f]{8})$")
"""A run's full name: its name in the plan, a point, and the checksum of what is asked."""


@dataclass(frozen=True)
class AskedRun:
    """One run that a foreign trainer is asked for."""

    run: str
    """Its name in the plan."""
    checksum: str
    """Eight hexadecimal digits of everything that determines it."""
    role: str
    """What it is for."""
    seed: int
    """Seed of the initial weights and of the data's order."""
    N: int
    """Parameters without embeddings."""
    D: float
    """Training tokens, in whole steps."""
    C: float
    """Training compute in FLOPs."""
    steps: int
    """Optimiser steps."""
    batch: int
    """Sequences per step."""
    sequence_length: int
    """Tokens per sequence."""
    learning_rate: float
    """Peak of the learning rate."""
    wished: Mapping[str, float]
    """Source to the share that the design asks for."""
    realised: Mapping[str, float]
    """Source to the share that the trainer will give, by its own rule."""
    unique: Mapping[str, float]
    """Source to the unique tokens that the run may draw from."""
    arguments: tuple[str, ...] = ()
    """Flags that tell the trainer seed, size, length and learning rate."""
    remarks: tuple[str, ...] = ()
    """What ``realised.json`` has to say in words."""

    @property
    def full_name(self) -> str:
        """Name and checksum: what results are reported under."""
        return f"{self.run}.{self.checksum}"

    def to_json(self) -> dict[str, Any]:
        """A plain dict, for ``asked.json``."""
        return {"full_name": self.full_name, **vars(self), "arguments": list(self.arguments)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, where: object = None) -> AskedRun:
        """Read what :meth:`to_json` wrote.

        Raises:
            BadInput: it is not that.
        """
        try:
            fields = {key: value[key] for key in cls.__dataclass_fields__ if key in value}
            fields |= {key: tuple(fields.get(key, ())) for key in ("arguments", "remarks")}
            asked = cls(**fields)
            if not all(isinstance(part, Mapping) for part in (asked.wished, asked.realised, asked.unique)):
                raise TypeError("shares")
            if not (asked.steps >= 1 and math.isfinite(asked.D) and CHECKSUM.match(asked.full_name)):
                raise ValueError("sizes")
        except (KeyError, TypeError, ValueError, AttributeError):
            raise BadInput("is not a run that was handed off", where=where) from None
        return asked


@dataclass(frozen=True)
class AskedScore:
    """A score that is wanted of every run."""

    meaning: Scored
    """What it means."""
    metric: str | None = None
    """Which of a task's scores; None for the first of ``acc``, ``accuracy``, … that there is."""
    task: str | None = None
    """What an evaluation harness calls it; None for the target's own name."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return {**self.meaning.to_json(), "metric": self.metric, "task": self.task}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AskedScore:
        """Read what :meth:`to_json` wrote."""
        return cls(Scored.from_json(value), value.get("metric"), value.get("task"))


@dataclass(frozen=True)
class About:
    """What all runs of a handoff have in common, and what losses are converted by."""

    trainer: str
    """Exporter whose trainer trains them."""
    sources: tuple[str, ...]
    """What is trained on."""
    targets: tuple[str, ...]
    """What losses are wanted of."""
    bytes_per_token: Mapping[str, float]
    """Target to the UTF-8 bytes of its held-out text by its tokens, an end-of-text token per document included."""
    unigram: Mapping[str, float]
    """Target to the loss, in bits per byte, of a model that knows nothing but how frequent tokens are."""
    base: str | None = None
    """Where the trainer finds the model that all runs go on from; None for random weights."""
    scores: Mapping[str, AskedScore] = field(default_factory=dict)
    """What scores are wanted of, beside the losses."""

    @property
    def measured(self) -> tuple[str, ...]:
        """Names under which losses or scores may be told."""
        return (*self.targets, *self.scores)

    def target_of_task(self, task: str) -> str | None:
        """The score that a task of an evaluation harness is told under, by its own name; None for another one."""
        return next((name for name, one in self.scores.items() if task == (one.task or name)), None)

    def write(self, folder: Path) -> None:
        """Write ``handoff.json``."""
        scores = {"scores": {name: one.to_json() for name, one in self.scores.items()}} if self.scores else {}
        told = {key: value for key, value in vars(self).items() if key != "scores"}
        write_json(folder / ABOUT, {**told, "sources": list(self.sources), "targets": list(self.targets), **scores})

    @classmethod
    def of(cls, folder: Path) -> About:
        """Read ``handoff.json``.

        Raises:
            BadInput: there is none, or it is none.
        """
        path = folder / ABOUT
        if not path.is_file():
            raise BadInput(f"no {ABOUT} in it", where=folder, expected="the folder `handoff` of a study")
        value = read_json(path)
        try:
            sizes, unigram = (
                {str(k): float(v) for k, v in value[key].items()} for key in ("bytes_per_token", "unigram")
            )
            names = tuple(value["sources"]), tuple(value["targets"])
            scores = {name: AskedScore.from_json(one) for name, one in value.get("scores", {}).items()}
            return cls(str(value["trainer"]), *names, sizes, unigram, value.get("base"), scores)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise BadInput("does not tell sources, targets and bytes per token", where=path) from None


def checksum_of(made_from: Mapping[str, Any]) -> str:
    """Eight digits that change with anything that determines a run's numbers."""
    return fingerprint(made_from)[:8]


def asked_runs(folder: Path) -> dict[str, AskedRun]:
    """Every run that was ever handed off in ``folder``, by its full name.

    Raises:
        BadInput: a run's folder is damaged.
    """
    found = {}
    for path in sorted((folder / RUNS).glob(f"*/{ASKED}")):
        if path.parent.name.endswith(".part"):
            continue
        try:
            artifact = open_artifact(path.parent, KIND)
            asked = AskedRun.from_json(read_json(path if artifact is None else artifact.checked(ASKED)), where=path)
        except Corrupt as error:
            raise BadInput(f"{error}; delete {path.parent} to have it written again") from None
        found[asked.full_name] = asked
    return found
