"""Reuse: a new language joins, and the old ones keep their relative shares, so few runs have to be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.optimize.constraint import Constraints
from glotmix.optimize.objective import Objective
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.predictor import Predictor
from glotmix.optimize.solve import minimise


@dataclass(frozen=True)
class Reuse:
    """A smaller mixture problem, in which everything that is not affected is one frozen block.

    Source: Olmix (arXiv 2602.12237), mixture reuse: the relative ratios of unaffected domains stay as they were found
    and only the affected ones, and the block as a whole, are measured again.
    """

    block: str
    """Name of the frozen block among the languages of the small problem."""
    frozen: Mixture
    """Relative shares inside it."""
    affected: tuple[str, ...]
    """Languages with shares of their own: the new ones, and old ones whose data or neighbours changed."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the small problem: the block and the affected ones."""
        return (self.block, *self.affected)

    def expand(self, small: Mapping[str, float]) -> Mixture:
        """The full mixture of a small one: ``p_l = small_block · frozen_l`` inside the block."""
        shares = {language: small[self.block] * share for language, share in self.frozen.items()}
        return Mixture({**shares, **{language: small[language] for language in self.affected}})

    def shrink(self, full: Mapping[str, float]) -> Mixture:
        """The small mixture of a full one; the shares inside its block are taken to be the frozen ones."""
        inside = sum(full.get(language, 0.0) for language in self.frozen)
        return Mixture({self.block: inside, **{language: full.get(language, 0.0) for language in self.affected}})

    def design(self, runs: int, rng: np.random.Generator) -> tuple[Mixture, ...]:
        """Mixtures to train: the block as it was, then evenly drawn ones of the small problem."""
        drawn = [np.eye(len(self.languages))[0], *rng.dirichlet(np.ones(len(self.languages)), max(runs - 1, 0))]
        return tuple(self.expand(Mixture.from_vector(self.languages, p_S)) for p_S in drawn[:runs])

    def matrix(self, languages: Iterable[str]) -> np.ndarray:
        """From small shares to full ones, [L, S]."""
        rows = []
        for language in languages:
            block = self.frozen.get(language, 0.0)
            rows.append([block, *(float(language == other) for other in self.affected)])
        return np.array(rows)

    def limits(self, full: Constraints) -> Constraints:
        """The small problem's limits: the block may be no larger than its members' limits let it be.

        Raises:
            BadInput: a limit on a group that holds frozen languages.
            Infeasible: no small mixture meets all limits.
        """
        if mixed := [name for name, group in full.groups.items() if set(group.languages) & set(self.frozen)]:
            raise BadInput(f"group {mixed[0]} holds languages that keep their ratios", expected="groups of the others")
        at = {language: place for place, language in enumerate(full.languages)}
        kept = [(at[language], share) for language, share in self.frozen.items() if share > 0]
        floors = {self.block: max(full.floor_L[place] / share for place, share in kept)}
        ceilings = {self.block: min([1.0, *(full.ceiling_L[place] / share for place, share in kept)])}
        floors |= {language: float(full.floor_L[at[language]]) for language in self.affected}
        ceilings |= {language: float(full.ceiling_L[at[language]]) for language in self.affected}
        return Constraints(self.languages, floors, ceilings, groups=full.groups)


@dataclass(frozen=True)
class Kept:
    """A law as a function of the small problem's shares."""

    predictor: Predictor
    """The law of all languages."""
    reuse: Reuse
    """What is frozen."""

    @property
    def languages(self) -> tuple[str, ...]:
        return self.reuse.languages

    @property
    def targets(self) -> tuple[str, ...]:
        return self.predictor.targets

    def loss(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        return self.predictor.loss(self._full(p_L), N, D)

    def gradient(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        return np.asarray(self.predictor.gradient(self._full(p_L), N, D) @ self.reuse.matrix(self.predictor.languages))

    def bootstrap_losses(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        return self.predictor.bootstrap_losses(self._full(p_L), N, D)

    def _full(self, p_S: np.ndarray) -> np.ndarray:
        return np.asarray(self.reuse.matrix(self.predictor.languages) @ p_S)


def minimise_kept(
    small: Reuse,
    predictor: Predictor,
    objective: Objective,
    constraints: Constraints,
    *,
    N: float | None = None,
    D: float | None = None,
    seed: int = 0,
) -> Optimum:
    """The optimum over mixtures in which the unaffected languages keep their ratios, beside the block alone.

    The mixtures in the result are full ones; its ``prices`` speak of the block as a whole.

    Raises:
        BadInput, Infeasible: as :func:`~glotmix.optimize.solve.minimise` and :meth:`Reuse.limits`.
    """
    alone = {"as it was": Mixture({small.block: 1.0, **dict.fromkeys(small.affected, 0.0)})}
    found = minimise(Kept(predictor, small), objective, small.limits(constraints), N=N, D=D, seed=seed, baselines=alone)
    spread = None
    if found.spread is not None:
        low, high = found.spread[small.block]
        spread = {language: (low * share, high * share) for language, share in small.frozen.items()}
        spread |= {language: found.spread[language] for language in small.affected}
    return replace(
        found,
        mixture=small.expand(found.mixture),
        baselines=tuple(replace(one, mixture=small.expand(one.mixture)) for one in found.baselines),
        spread=spread,
    )


def reuse_runs(small: Reuse, runs: int, rng: np.random.Generator, tokens: int = 0) -> tuple[PlannedRun, ...]:
    """The mixtures of :meth:`Reuse.design` as planned runs of so many tokens."""
    designed = [Schedule.constant(mixture) for mixture in small.design(runs, rng)]
    return tuple(PlannedRun(f"reuse-{i:03}", "swarm", schedule, tokens, 0) for i, schedule in enumerate(designed))


def reuse(
    optimum: Mapping[str, float], new: Iterable[str], *, affected: Iterable[str] = (), block: str = "kept"
) -> Reuse:
    """Freeze the relative shares of an earlier optimum, except those of ``affected`` languages.

    Args:
        optimum: the mixture found before.
        new: languages that join.
        affected: old languages whose share is to be found again (relatives of the new one, say).
        block: what to call the frozen rest.

    Raises:
        BadInput: a new language that is old, an affected one that is not, or nothing with a share left to freeze.
    """
    new, affected = tuple(new), tuple(affected)
    if old := [language for language in new if language in optimum]:
        raise BadInput(f"{', '.join(old)} is in the earlier mixture", where="new", expected="languages that are not")
    if unknown := [language for language in affected if language not in optimum]:
        raise BadInput(
            f"{', '.join(unknown)} is not in the earlier mixture", where="affected", expected="languages of it"
        )
    if block in optimum or block in new:
        raise BadInput(f"{block} is a language", where="block", expected="another name")
    kept = {language: share for language, share in optimum.items() if language not in affected}
    if not sum(kept.values()) > 0:
        raise BadInput("nothing is left to keep", where="affected", expected="fewer affected languages")
    return Reuse(block, Mixture.normalised(kept), (*affected, *new))
