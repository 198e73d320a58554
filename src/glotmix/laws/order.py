"""When a language is read: laws of shares that count by the phase in which they come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glotmix.laws.law import Inputs, LawValue, OnALaw, Problem
from glotmix.laws.priors import normal, of_parameters
from glotmix.mixture.phases import Phases

LATE_PRIOR = (0.0, 1.5)
"""Mean and standard deviation of λ: no order, and in either direction up to about twenty times (e^3) as much weight at
one end of a run as at the other."""
FURTHEST = 12.0
"""Bound of |λ|."""


@dataclass(frozen=True)
class Ordered(OnALaw):
    """A law of what shares are worth after a run whose mixture changed: ``q_l = Σ_k w_k(λ) p_kl`` in place of p.

    ``w_k ∝ ∫_phase exp(λ c(s)) ds`` with c the cumulative learning rate from 0 to 1
    (:meth:`~glotmix.mixture.phases.Phases.weights`): text is forgotten as the weights of the model move on, so what is
    read while the learning rate decays is hardly forgotten any more. The target's own text has λ = ``late``, the text
    of all others ``late_others``; negative ones count early text more, as where others prepare the ground. Weights sum
    to one, so with equal phases, and for λ = 0, it is the law itself. Passes, where the law counts them, are those of
    q: what was read late is remembered better. Ours; the priors are weak (``LATE_PRIOR``).
    """

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.law.name}+order"

    @property
    def source(self) -> str:  # type: ignore[override]
        return f"{self.law.source}; its shares by phase, ours"

    @property
    def formula(self) -> str:  # type: ignore[override]
        return f"{self.law.formula}, with q_l = Σ_k w_k p_kl for p_l"

    @property
    def knows_order(self) -> bool:
        return True

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return (*self.law.parameters(problem), *self._names(problem))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        low_P, high_P = self.law.bounds(problem)
        wide = np.full(len(self._names(problem)), FURTHEST)
        return np.append(low_P, -wide), np.append(high_P, wide)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        theta = self.law.starts(problem, inputs, loss_R, n, rng)
        late = rng.normal(*LATE_PRIOR, (len(theta), len(self._names(problem))))
        late[:1] = LATE_PRIOR[0]
        return np.hstack([theta, late])

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        names, phases = self._names(problem), inputs.phases
        end = len(theta_P) - len(names)
        if phases is None or not names:
            at = self.law.evaluate(problem, theta_P[:end], inputs)
            none = np.zeros((len(at.loss_R), len(names)))
            return LawValue(at.loss_R, np.hstack([at.gradient_theta_RP, none]), at.by_p)
        weight, slope = {}, {}
        for name, late in zip(names, theta_P[end:].tolist(), strict=True):
            weight[name], slope[name] = phases.weights(late)
        q_RL = np.zeros_like(inputs.p_RL)
        moved = {}
        for name in names:
            of_L = self._counted(problem, name)
            q_RL[:, of_L] = np.einsum("rk,rkl->rl", weight[name], phases.p_RKL[:, :, of_L])
            moved[name] = np.einsum("rk,rkl->rl", slope[name], phases.p_RKL[:, :, of_L])
        at = self.law.evaluate(problem, theta_P[:end], Inputs(q_RL, inputs.N_R, inputs.D_R, inputs.unique_RL))
        by_q_RL = at.gradient_p_RL
        columns = [(by_q_RL[:, self._counted(problem, name)] * moved[name]).sum(axis=1) for name in names]
        return LawValue(at.loss_R, np.column_stack([at.gradient_theta_RP, *columns]), by_q_RL)

    def density(self, problem: Problem, theta_P: np.ndarray, phases: Phases) -> np.ndarray:
        density_RKL = np.ones_like(phases.p_RKL)
        names = self._names(problem)
        for name, late in zip(names, theta_P[len(theta_P) - len(names) :].tolist(), strict=True):
            weight_RK = phases.weights(late)[0]
            length_RK = np.where(phases.length_RK > 0, phases.length_RK, 1.0)
            density_RKL[:, :, self._counted(problem, name)] = (weight_RK / length_RK)[:, :, None]
        return density_RKL

    def prior(self, problem: Problem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        names = self._names(problem)
        end = len(theta_P) - len(names)
        known = self.law.prior(problem, theta_P[:end])
        if not names:
            return known
        distance, rows = of_parameters(theta_P, [normal(end + k, LATE_PRIOR) for k in range(len(names))])
        if known is None:
            return distance, rows
        inner_rows = np.hstack([known[1], np.zeros((len(known[0]), len(names)))])
        return np.concatenate([known[0], distance]), np.vstack([inner_rows, rows])

    def _names(self, problem: Problem) -> tuple[str, ...]:
        if "order" not in problem.varies:
            return ()
        own = ("late",) if problem.own is not None else ()
        others = ("late_others",) if len(problem.languages) > len(own) else ()
        return (*own, *others)

    def _counted(self, problem: Problem, name: str) -> np.ndarray:
        """Which languages a parameter speaks of, [L]."""
        own_L = np.arange(len(problem.languages)) == (-1 if problem.own is None else problem.own)
        return np.asarray(own_L if name == "late" else ~own_L)
