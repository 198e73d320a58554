"""Objective: one number from the losses of all targets, to be made small, and a penalty for leaving a reference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from glotmix.errors import BadInput
from glotmix.language import named_among
from glotmix.notebook import Brief
from glotmix.optimize.config import OptimizeConfig
from glotmix.registry import near
from glotmix.scored import Scored, all_from_json, all_to_json
from glotmix.wording import listed


@dataclass(frozen=True)
class Penalty:
    """``κ · distance(p, reference)``, which holds the optimum near where there is data.

    "kl": ``κ Σ_l p_l ln(p_l / r_l)``; infinite where a share is given to a language that the reference lacks, so such
    a share stays zero (Olmix, arXiv 2602.12237, has κ = 0.05 and the natural mixture).
    "l1": ``κ Σ_l |p_l - r_l|``; rounded off within ``SMOOTH`` of its kinks, so that every solver can take it.
    """

    SMOOTH: ClassVar[float] = 1e-5

    weight: float
    """κ, in units of the objective."""
    reference: Mapping[str, float] | None = None
    """The mixture to stay near; None for the natural one (in proportion to the unique tokens in the limits)."""
    kind: Literal["kl", "l1"] = "kl"
    """Which distance."""

    def evaluate(self, p_L: np.ndarray, reference_L: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient [L]."""
        if self.kind == "l1":
            away_L = p_L - reference_L
            round_L = np.sqrt(away_L**2 + self.SMOOTH**2)
            return self.weight * float((round_L - self.SMOOTH).sum()), self.weight * away_L / round_L
        ratio_L = np.log(np.maximum(p_L, 1e-300) / np.maximum(reference_L, 1e-300))
        return self.weight * float((p_L * ratio_L).sum()), self.weight * (ratio_L + 1)

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        reference = None if self.reference is None else dict(self.reference)
        return {"kind": self.kind, "weight": self.weight, "reference": reference}


@dataclass(frozen=True, repr=False)
class Objective(Brief, ABC):
    """A function of the losses ``L_t`` of the targets that have a weight. Final subclasses say which.

    All of them are built from ``x_t = a_t (L_t - r_t)``: with ``a`` and ``r`` known, an objective is either the sum of
    the ``x_t`` or the largest of them (``peak``), which is all that the solver needs to know.
    """

    name: ClassVar[str]
    """As in a study's configuration."""
    peak: ClassVar[bool] = False
    """Whether it is a maximum over targets (not smooth) instead of a sum."""
    relative: ClassVar[bool] = False
    """Whether it needs each target's own best loss."""

    targets: tuple[str, ...]
    """All targets of the law, [T]: the order of losses."""
    weights: Mapping[str, float]
    """Weight of each target that counts (above zero); the others do not."""
    best: Mapping[str, float] = field(default_factory=dict)
    """Each counting target's own best loss, where the objective is relative; found by ``minimise`` if left empty."""
    penalty: Penalty | None = None
    """Added to the objective in the search; not part of :meth:`value`."""
    scored: Mapping[str, Scored] = field(default_factory=dict)
    """Targets that are scores: their losses are errors, one minus the score."""

    def __post_init__(self) -> None:
        for target, weight in self.weights.items():
            if target not in self.targets:
                raise BadInput(f"weight of {target}", where="weights", expected=f"one of {', '.join(self.targets)}")
            if not (np.isfinite(weight) and weight >= 0):
                raise BadInput(f"weight of {target} is {weight}", where="weights", expected="a number of at least 0")
        if not any(weight > 0 for weight in self.weights.values()):
            raise BadInput("no target has a weight above 0", where="weights")

    @cached_property
    def members(self) -> np.ndarray:
        """Positions of the counting targets, [M]."""
        return np.array([t for t, target in enumerate(self.targets) if self.weights.get(target, 0) > 0])

    @property
    def counts_scores(self) -> bool:
        """Whether all that counts are scores of which more is better, so that its value is told as a score."""
        counted = [self.scored.get(self.targets[t]) for t in self.members]
        return all(one is not None and one.higher_is_better for one in counted)

    def scaled(self, loss: np.ndarray) -> np.ndarray:
        """``x = a L`` of the counting targets, [..., M], from losses [..., T]."""
        return np.asarray(loss[..., self.members] * self.slopes)

    @cached_property
    @abstractmethod
    def slopes(self) -> np.ndarray:
        """``a`` of the counting targets, [M]; all above zero."""

    @abstractmethod
    def combine(self, x: np.ndarray) -> np.ndarray:
        """``x`` [..., M] to the value [...]."""

    def value(self, loss: np.ndarray) -> np.ndarray:
        """Value [...] of losses [..., T], in the order of ``targets``; NaN where a counting loss is NaN."""
        return self.combine(self.scaled(np.asarray(loss, dtype=float)))

    def __call__(self, loss: np.ndarray | Mapping[str, float]) -> float:
        """Value of one set of losses, as a vector [T] or keyed by target."""
        if isinstance(loss, Mapping):
            loss = np.array([loss.get(target, np.nan) for target in self.targets])
        return float(self.value(loss))

    def subset(self, x_M: np.ndarray) -> np.ndarray:
        """Mask [M] of the targets whose maximum bounds the objective from above at ``x`` and touches it there."""
        return np.ones(len(x_M), dtype=bool)

    def with_best(self, best: Mapping[str, float]) -> Objective:
        """The same objective, knowing each target's own best loss."""
        return replace(self, best=dict(best))

    def to_json(self) -> dict[str, Any]:
        """Name, weights, own bests and penalty."""
        penalty = None if self.penalty is None else self.penalty.to_json()
        return {
            "name": self.name,
            "weights": dict(self.weights),
            "best": dict(self.best),
            "penalty": penalty,
            **all_to_json(self.scored),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any], targets: tuple[str, ...]) -> Objective:
        """Read what :meth:`to_json` wrote."""
        penalty = None if data["penalty"] is None else Penalty(**data["penalty"])
        more = {"q": data["q"]} if "q" in data else {}
        scored = all_from_json(data.get("scored"))
        return OBJECTIVES[data["name"]](targets, data["weights"], data["best"], penalty, scored, **more)

    @cached_property
    def _weight_M(self) -> np.ndarray:  # noqa: N802
        return np.array([self.weights[self.targets[t]] for t in self.members])

    @cached_property
    def _best_M(self) -> np.ndarray:  # noqa: N802
        try:
            return np.array([self.best[self.targets[t]] for t in self.members])
        except KeyError as missing:
            raise BadInput(
                f"no own best loss of {missing.args[0]}", where="objective", expected="best of each target"
            ) from None


@dataclass(frozen=True, repr=False)
class Mean(Objective):
    """``Σ_t w_t L_t / Σ_t w_t``: the weighted mean; with equal weights the mean."""

    name: ClassVar[str] = "mean"

    @cached_property
    def slopes(self) -> np.ndarray:
        return np.asarray(self._weight_M / self._weight_M.sum())

    def combine(self, x: np.ndarray) -> np.ndarray:
        total: np.ndarray = x.sum(axis=-1)
        return total


@dataclass(frozen=True, repr=False)
class Normalised(Objective):
    """``Σ_t w_t L_t / L_t^best / Σ_t w_t``: languages with high loss do not outweigh the others.

    Source: He et al. (arXiv 2410.12883), who divide by the loss at ``p_t = 1``. Here ``L_t^best`` is the least loss
    that the law predicts for t under the same limits: the same number for a law without transfer and no limits.
    """

    name: ClassVar[str] = "normalised"
    relative: ClassVar[bool] = True

    @cached_property
    def slopes(self) -> np.ndarray:
        return np.asarray(self._weight_M / self._weight_M.sum() / self._best_M)

    def combine(self, x: np.ndarray) -> np.ndarray:
        total: np.ndarray = x.sum(axis=-1)
        return total


@dataclass(frozen=True, repr=False)
class Worst(Objective):
    """``max_t w_t L_t / L_t^best``: the language that is furthest above what it could have."""

    name: ClassVar[str] = "worst"
    peak: ClassVar[bool] = True
    relative: ClassVar[bool] = True

    @cached_property
    def slopes(self) -> np.ndarray:
        return np.asarray(self._weight_M / self._best_M)

    def combine(self, x: np.ndarray) -> np.ndarray:
        worst: np.ndarray = x.max(axis=-1)
        return worst


@dataclass(frozen=True, repr=False)
class Regret(Objective):
    """``max_t w_t (L_t - L_t^best)``: the most that any language gives up to the others, in units of the loss."""

    name: ClassVar[str] = "regret"
    peak: ClassVar[bool] = True
    relative: ClassVar[bool] = True

    @cached_property
    def slopes(self) -> np.ndarray:
        return self._weight_M

    def scaled(self, loss: np.ndarray) -> np.ndarray:
        return np.asarray((loss[..., self.members] - self._best_M) * self.slopes)

    def combine(self, x: np.ndarray) -> np.ndarray:
        worst: np.ndarray = x.max(axis=-1)
        return worst


@dataclass(frozen=True, repr=False)
class Quantile(Objective):
    """The ``⌈q M⌉``-th smallest of ``L_t / L_t^best``: a share 1 - q of the languages may do worse. Not convex.

    Weights only say which targets count. The solver minimises the maximum over the ⌈q M⌉ best targets at the current
    mixture, which is never below the quantile and touches it, until nothing changes.
    """

    name: ClassVar[str] = "quantile"
    peak: ClassVar[bool] = True
    relative: ClassVar[bool] = True

    q: float = 0.75
    """Above 0 and at most 1; 1 is :class:`Worst`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.q <= 1:
            raise BadInput(f"q = {self.q}", where="quantile", expected="above 0 and at most 1")

    @cached_property
    def slopes(self) -> np.ndarray:
        return 1 / self._best_M

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "q": self.q}

    def combine(self, x: np.ndarray) -> np.ndarray:
        return np.sort(x, axis=-1)[..., self._rank(x.shape[-1]) - 1]

    def subset(self, x_M: np.ndarray) -> np.ndarray:
        return np.argsort(np.argsort(x_M, kind="stable")) < self._rank(len(x_M))

    def _rank(self, M: int) -> int:
        return max(int(np.ceil(self.q * M - 1e-9)), 1)


OBJECTIVES: Mapping[str, Callable[..., Objective]] = {
    "mean": Mean,
    "weighted": Mean,
    "normalised": Normalised,
    "worst": Worst,
    "regret": Regret,
    "quantile": Quantile,
}


IN_UNITS = ("mean", "regret")
"""Objectives that add or compare losses as they are: bits per byte and errors of scores have no common unit."""


def objective_from(
    config: OptimizeConfig,
    targets: Iterable[str],
    languages: Iterable[str],
    scored: Mapping[str, Scored] | None = None,
) -> Objective:
    """The objective that a study's configuration asks for.

    Targets in the mixture have weight 1, those outside it 0, unless ``weights`` says otherwise; under "weighted" only
    what ``weights`` names counts. Where no target is in the mixture and none has a weight, all count alike.

    Raises:
        BadInput: a weight of something that is no target, a negative one, no target that counts, or losses and scores
            at once under an objective that takes them as they are.
    """
    targets, languages = tuple(targets), tuple(languages)
    weights = {named_among(name, targets): weight for name, weight in config.weights.items()}
    if unknown := [target for target in weights if target not in targets]:
        raise BadInput(
            f"weight of {unknown[0]}, for which there is no loss{near(unknown[0], targets)}",
            where="optimize.weights",
            expected=f"one of {', '.join(targets)}",
        )
    inside = {} if config.objective == "weighted" else {target: 1.0 for target in targets if target in languages}
    if not inside and not weights and config.objective != "weighted":
        inside = dict.fromkeys(targets, 1.0)
    scored = {target: one for target, one in (scored or {}).items() if target in targets}
    _check_units(config.objective, {**inside, **weights}, scored)
    penalty = None
    if config.kl or config.l1:
        reference = config.current if config.near == "current" else None
        penalty = Penalty(config.kl or config.l1, reference, "kl" if config.kl else "l1")
    more = {"q": config.quantile} if config.objective == "quantile" else {}
    return OBJECTIVES[config.objective](targets, {**inside, **weights}, penalty=penalty, scored=scored, **more)


def _check_units(name: str, weights: Mapping[str, float], scored: Mapping[str, Scored]) -> None:
    counted = [target for target, weight in weights.items() if weight > 0]
    scores = [target for target in counted if target in scored]
    if name in IN_UNITS and scores and len(scores) < len(counted):
        losses = [target for target in counted if target not in scored]
        raise BadInput(
            f"{name} of losses ({listed(losses)}) and scores ({listed(scores)}), which have no common unit",
            where="optimize.objective",
            expected="normalised, worst or quantile, which compare each target with its own best; or weighted, with a "
            "weight for every target that counts: of a loss for one unit of it, of a score for all of it, from 0 to 1",
        )
