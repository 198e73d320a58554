"""Measurements: runs as arrays, the seam between training and fitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from glotmix.mixture.mixture import Mixture
from glotmix.mixture.phases import Phases
from glotmix.notebook import Shown
from glotmix.scored import Scored


@dataclass(frozen=True, repr=False)
class Measurements(Shown):
    """Runs as arrays: what laws are fitted to. One row per run and checkpoint, diverged runs already left out."""

    runs: tuple[str, ...]
    """Run names, [R]. The same name may stand in several rows that differ in ``D_R`` (checkpoints)."""
    languages: tuple[str, ...]
    """Languages (or groups) trained on, [L]: the columns of ``p_RL``."""
    targets: tuple[str, ...]
    """Languages (or groups) evaluated, [T]: the columns of ``loss_RT``. May hold languages that no run trained on."""
    p_RL: np.ndarray
    """Mixtures; rows sum to one."""
    loss_RT: np.ndarray
    """Held-out losses (bits per byte in glotmix's own studies), or errors of scores; NaN where a run lacks a target."""
    N_R: np.ndarray
    """Parameters without embeddings; NaN where a table does not tell."""
    D_R: np.ndarray
    """Training tokens; NaN where a table does not tell."""
    seed_R: np.ndarray
    """Integer seeds; 0 where a table does not tell."""
    role_R: tuple[str, ...]
    """What each run was planned for: "coalition", "swarm", "anchor", "validation", ... or "" for imported runs."""
    unique_RL: np.ndarray | None = None
    """Unique tokens U of each language that the run could draw from (after simulated epoching), or None."""
    unit: str = "loss"
    """Unit of the losses: "bpb" in studies, "loss" where a table does not tell."""
    remarks: tuple[str, ...] = ()
    """What a reader must know of how a table was read: what was left out, divided, or looks odd."""
    phases: Phases | None = None
    """Mixtures by phase, of which ``p_RL`` is the average; None where no run's mixture changed."""

    before_T: np.ndarray | None = None
    """Losses before the first step, where runs go on from a trained model; None for random weights."""
    scored: Mapping[str, Scored] = field(default_factory=dict)
    """Targets that are scores: their columns of ``loss_RT`` are errors, one minus the score."""

    def __len__(self) -> int:
        return len(self.runs)

    def where(self, keep_R: np.ndarray) -> Measurements:
        """The rows chosen by a boolean mask or an array of indices."""
        index = np.arange(len(self))[keep_R]
        return Measurements(
            tuple(self.runs[i] for i in index),
            self.languages,
            self.targets,
            self.p_RL[index],
            self.loss_RT[index],
            self.N_R[index],
            self.D_R[index],
            self.seed_R[index],
            tuple(self.role_R[i] for i in index),
            None if self.unique_RL is None else self.unique_RL[index],
            self.unit,
            self.remarks,
            None if self.phases is None else self.phases.where(index),
            self.before_T,
            self.scored,
        )

    @property
    def changes_R(self) -> np.ndarray:  # noqa: N802
        """Whether the mixture of each run changed while it trained."""
        return np.zeros(len(self), dtype=bool) if self.phases is None else self.phases.differ_R

    @property
    def composition(self) -> np.ndarray:
        """What each run was trained on, [R, X]: its mixture, and that of every phase with its length; runs that agree
        in it differ by size, learning rate and noise alone."""
        if self.phases is None:
            return self.p_RL
        told_RX = np.hstack([self.phases.p_RKL.reshape(len(self), -1), self.phases.length_RK])
        return np.hstack([self.p_RL, np.where(self.changes_R[:, None], told_RX, 0.0)])

    def with_role(self, *roles: str) -> Measurements:
        """The rows planned for one of ``roles``."""
        return self.where(np.array([role in roles for role in self.role_R], dtype=bool))

    def mixture(self, row: int) -> Mixture:
        """The mixture of one row."""
        return Mixture.from_vector(self.languages, self.p_RL[row])

    def loss(self, target: str) -> np.ndarray:
        """Losses of one target, [R]."""
        return self.loss_RT[:, self.targets.index(target)]

    @property
    def gain_unit(self) -> str:
        """Unit of what a target gains: that of the losses, and of scores their rise."""
        if not self.scored:
            return self.unit
        return "score" if len(self.scored) == len(self.targets) else f"{self.unit}; of scores their rise"

    @property
    def before(self) -> dict[str, float]:
        """Losses before the first step by target; nothing where runs start from random weights."""
        told = {} if self.before_T is None else dict(zip(self.targets, self.before_T.tolist(), strict=True))
        return {target: loss for target, loss in told.items() if np.isfinite(loss)}

    def measured_columns(self) -> list[tuple[str, np.ndarray]]:
        """``loss/<target>`` with losses [R], or ``score/<target>`` (``error/<target>`` where lower is better) with
        scores, target by target."""
        found = []
        for target in self.targets:
            score, loss_R = self.scored.get(target), self.loss(target)
            name = "loss" if score is None else score.column
            found.append((f"{name}/{target}", loss_R if score is None else score.turned(loss_R)))
        return found

    def to_polars(self) -> pl.DataFrame:
        """One wide table, which :func:`read_runs` reads back: ``run``, ``role``, ``N`` (parameters without embeddings),
        ``D`` (training tokens), ``seed``, ``p/<group>`` (shares), ``loss/<group>`` (of scores ``score/<group>``, or
        ``error/<group>`` where lower is better), ``unique/<group>`` (unique tokens) where they are known, and where
        mixtures changed ``phase1/tokens`` (share of the run's tokens), ``phase1/lr`` (mean learning rate) and
        ``phase1/p/<group>`` of every phase. What is not known is null; a column of N or D without numbers is left out.
        """
        sizes = {name: x_R for name, x_R in (("N", self.N_R), ("D", self.D_R)) if np.isfinite(x_R).any()}
        wide = {f"p/{name}": self.p_RL[:, l] for l, name in enumerate(self.languages)}  # noqa: E741
        wide |= dict(self.measured_columns())
        if self.unique_RL is not None:
            wide |= {f"unique/{name}": self.unique_RL[:, l] for l, name in enumerate(self.languages)}  # noqa: E741
        wide |= {} if self.phases is None else self.phases.columns(self.languages)
        table = pl.DataFrame({"run": self.runs, "role": self.role_R, **sizes, "seed": self.seed_R, **wide})
        return table.fill_nan(None)
