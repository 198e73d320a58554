"""Law: a family of functions ``L(N, D, p; θ)`` for the held-out loss of one target language.

A law is stateless: its parameters θ are a plain vector that :mod:`glotmix.fit` finds. One method evaluates the formula
together with its exact derivatives, by θ (for the fit) and by p (for the optimiser), because the three share almost all
of their work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from glotmix.mixture.phases import Phases
from glotmix.notebook import Brief
from glotmix.transfer.matrix import TransferMatrix


@dataclass(frozen=True, repr=False)
class Problem(Brief):
    """What a law knows about one target before it sees losses."""

    target: str
    """The language whose loss is predicted; may lie outside ``languages``."""
    languages: tuple[str, ...]
    """Languages trained on, [L]: the order of the columns of ``p_RL``."""
    transfer: TransferMatrix | None = None
    """Shapley values (or another lens), for laws that use them."""
    varies: frozenset[str] = frozenset()
    """Which of "N" and "D" take several values in the runs fitted to, "unique" if passes are known (D and unique
    tokens), and "order" if mixtures change within runs; a law leaves out terms that cannot be seen."""
    shift: Mapping[str, float] = field(default_factory=dict)
    """Kind of parameter (``C`` of ``C/fra``) to how far the mean of its prior is moved, in standard deviations: what
    all targets of a table together tell of it (:mod:`glotmix.fit.pooling`)."""

    @property
    def own(self) -> int | None:
        """Column of the target in the mixture; None for a language outside it."""
        return self.languages.index(self.target) if self.target in self.languages else None


@dataclass(frozen=True, repr=False)
class Inputs(Brief):
    """What a law predicts from; one row per run."""

    p_RL: np.ndarray
    """Mixtures; rows sum to one."""
    N_R: np.ndarray
    """Parameters without embeddings; NaN where unknown (only laws that do not need N accept it)."""
    D_R: np.ndarray
    """Training tokens; NaN where unknown (only laws that do not need D accept it)."""
    unique_RL: np.ndarray | None = None
    """Unique tokens per language, for laws that know repetition."""
    phases: Phases | None = None
    """Mixtures by phase, for laws that know order; ``p_RL`` is their average. None: the same from start to end."""

    _logs: dict[int | None, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, init=False, compare=False)

    def log_shares(self, own: int | None, least: float, absent: float) -> tuple[np.ndarray, np.ndarray]:
        """ln p of every language but ``own`` [R, L - 1] (all where it is None) and of ``own`` [R] (else zeros).

        Shares below ``least`` count as that, and ``absent`` stands for ln 0. Taken once: a fit asks hundreds of times.
        """
        if (known := self._logs.get(own)) is None:
            some_RL = self.p_RL > 0
            log_RL = np.where(some_RL, np.log(np.where(some_RL, np.maximum(self.p_RL, least), 1.0)), absent)
            both = (log_RL, np.zeros(len(log_RL))) if own is None else (np.delete(log_RL, own, axis=1), log_RL[:, own])
            known = self._logs[own] = both
        return known

    def where(self, keep_R: np.ndarray) -> Inputs:
        """The rows chosen by a mask or by indices."""
        unique = None if self.unique_RL is None else self.unique_RL[keep_R]
        phases = None if self.phases is None else self.phases.where(keep_R)
        return Inputs(self.p_RL[keep_R], self.N_R[keep_R], self.D_R[keep_R], unique, phases)

    def to_json(self) -> dict[str, Any]:
        """Mixtures, sizes, and phases where there are any; what is unknown is null."""
        N, D = ([x if np.isfinite(x) else None for x in x_R.tolist()] for x_R in (self.N_R, self.D_R))
        phases = {} if self.phases is None else {"phases": self.phases.to_json()}
        return {"p": self.p_RL.tolist(), "N": N, "D": D, **phases}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Inputs:
        """Read what :meth:`to_json` wrote."""
        N_R, D_R = (np.array([np.nan if x is None else x for x in data[name]], dtype=float) for name in ("N", "D"))
        phases = None if data.get("phases") is None else Phases.from_json(data["phases"])
        return cls(np.array(data["p"], dtype=float), N_R, D_R, None, phases)


@dataclass(frozen=True)
class LawValue:
    """A law at R runs, with its derivatives."""

    loss_R: np.ndarray
    """Predicted losses."""
    by_theta: np.ndarray | Callable[[], np.ndarray]
    """``gradient_theta_RP``, or how to work it out: an optimiser never asks for it, a fit does."""
    by_p: np.ndarray | Callable[[], np.ndarray]
    """``gradient_p_RL``, or how to work it out: a fit never asks for it, an optimiser does."""

    @cached_property
    def gradient_theta_RP(self) -> np.ndarray:  # noqa: N802
        """dL/dθ."""
        return self.by_theta() if callable(self.by_theta) else self.by_theta

    @cached_property
    def gradient_p_RL(self) -> np.ndarray:  # noqa: N802
        """dL/dp with the shares taken as independent; an optimiser projects it on the simplex."""
        return self.by_p() if callable(self.by_p) else self.by_p


class Law(ABC):
    """One family. Final subclasses are frozen dataclasses whose fields are choices, never fitted numbers."""

    name: ClassVar[str]
    """As typed on the command line."""
    source: ClassVar[str]
    """Paper and equation."""
    formula: ClassVar[str]
    """In the paper's letters, one line of text."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """What must vary or be known: any of "N", "D", "unique", "transfer", "own" (target must be in the mixture)."""
    finite_at_zero: ClassVar[bool] = True
    """Whether a share of zero is allowed; where the paper's form is infinite there, the docstring says what we do."""
    each_its_own: ClassVar[bool] = False
    """Whether :meth:`evaluate` also takes parameters of every run, θ [R, P]; derivatives by θ are not asked then."""

    @property
    def inside(self) -> Law:
        """The law of shares that others stand on, where it is wrapped; else itself."""
        return self

    @property
    def knows_order(self) -> bool:
        """Whether shares count by when they are read."""
        return False

    @abstractmethod
    def parameters(self, problem: Problem) -> tuple[str, ...]:
        """Names of θ, [P]."""

    @abstractmethod
    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of θ, each [P]."""

    @abstractmethod
    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        """``n`` starting points [n, P] inside the bounds, the first the most sensible."""

    @abstractmethod
    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        """Losses and both derivatives."""

    def prior(self, problem: Problem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Standardised distances of θ from what is known beforehand, [K], and their derivatives, [K, P].

        The fit adds their squares to those of the residuals, both in units of a standard deviation: a Gaussian prior.
        """
        return None

    def prior_kinds(self, problem: Problem) -> tuple[str, ...]:
        """Of which kind each distance of the prior is, [K]: the name of its first parameter up to a ``/``."""
        low_P, high_P = self.bounds(problem)
        known, names = self.prior(problem, np.clip(np.ones(len(low_P)), low_P, high_P)), self.parameters(problem)
        return () if known is None else tuple(names[int(np.argmax(row != 0))].partition("/")[0] for row in known[1])

    def usable(self, problem: Problem, inputs: Inputs) -> np.ndarray:
        """Mask [R] of the runs at which the formula is finite."""
        return np.ones(len(inputs.p_RL), dtype=bool)

    def density(self, problem: Problem, theta_P: np.ndarray, phases: Phases) -> np.ndarray:
        """What a token of each phase and language counts, in tokens of a run without phases, [R, K, L]: ones for a law
        that is blind to order."""
        return np.ones_like(phases.p_RKL)

    def predict(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> np.ndarray:
        """Losses [R]."""
        return self.evaluate(problem, theta_P, inputs).loss_R

    def jacobian(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> np.ndarray:
        """dL/dθ, [R, P]."""
        return self.evaluate(problem, theta_P, inputs).gradient_theta_RP

    def gradient(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> np.ndarray:
        """dL/dp with the shares taken as independent, [R, L]."""
        return self.evaluate(problem, theta_P, inputs).gradient_p_RL


@dataclass(frozen=True)
class OnALaw(Law):
    """A law that stands on another: what it needs, allows and can be used for is the other's, unless it says more."""

    law: Law
    """The other."""

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return self.law.needs

    @property
    def finite_at_zero(self) -> bool:  # type: ignore[override]
        return self.law.finite_at_zero

    @property
    def inside(self) -> Law:
        return self.law.inside

    @property
    def knows_order(self) -> bool:
        return self.law.knows_order

    def usable(self, problem: Problem, inputs: Inputs) -> np.ndarray:
        return self.law.usable(problem, inputs)
