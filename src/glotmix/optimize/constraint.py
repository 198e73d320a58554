"""Constraints: which mixtures are allowed — floors, ceilings, epochs, sums over groups — and why none may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from glotmix.errors import BadInput, Infeasible
from glotmix.language import named_among
from glotmix.mixture.mixture import Mixture
from glotmix.optimize import projection
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.conflict import TOLERANCE, Limit, feasible, smallest_conflict
from glotmix.registry import near
from glotmix.wording import large


@dataclass(frozen=True)
class Group:
    """A limit on the sum of the shares of several languages."""

    languages: tuple[str, ...]
    """Its members."""
    floor: float = 0.0
    """Least sum of their shares."""
    ceiling: float = 1.0
    """Greatest sum."""


@dataclass(frozen=True)
class Constraints:
    """The allowed mixtures: ``{p : Σ p = 1, floor ≤ p ≤ ceiling, p_l D ≤ max_epochs U_l, group sums in their range}``.

    Raises:
        BadInput: an unknown language, a bound that is no share, or ``max_epochs`` without D or unique tokens.
        Infeasible: no mixture meets all limits; the message names the smallest set of them in conflict.
    """

    languages: tuple[str, ...]
    """Languages of the mixture, [L]."""
    floors: Mapping[str, float] = field(default_factory=dict)
    """Least share of a language; 0 where not named."""
    ceilings: Mapping[str, float] = field(default_factory=dict)
    """Greatest share; 1 where not named."""
    max_epochs: float | None = None
    """Most passes over a language's unique tokens."""
    unique: Mapping[str, float] = field(default_factory=dict)
    """Unique tokens U of each language; all of them if ``max_epochs`` is set."""
    D: float | None = None
    """Training tokens of the run; needed for ``max_epochs``."""
    groups: Mapping[str, Group] = field(default_factory=dict)
    """Name to limits on a sum of shares; groups may overlap."""

    def __post_init__(self) -> None:
        self._check()
        if not feasible(self.limits):
            raise Infeasible(explain(self))

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """Every limit that says more than ``0 ≤ p ≤ 1``."""
        found = []
        for l, language in enumerate(self.languages):  # noqa: E741
            row_L = np.eye(len(self.languages))[l]
            if (floor := self.floors.get(language, 0.0)) > 0:
                found.append(Limit(row_L, floor, True, language, f"floor {floor:.6g} of {language}"))
            if (ceiling := self.ceilings.get(language, 1.0)) < 1:
                found.append(Limit(row_L, ceiling, False, language, f"ceiling {ceiling:.6g} of {language}"))
            if (cap := self._epoch_cap(language)) < 1:
                words = (
                    f"ceiling {cap:.6g} of {language}, which is {self.max_epochs:g} passes over its "
                    f"{large(self.unique[language])} unique tokens in {large(self.D or 0.0)} (max_epochs)"
                )
                found.append(Limit(row_L, cap, False, language, words, by_epochs=True))
        for name, group in self.groups.items():
            row_L = np.array([float(language in group.languages) for language in self.languages])
            members = " + ".join(group.languages)
            if group.floor > 0:
                words = f"floor {group.floor:.6g} of group {name} ({members})"
                found.append(Limit(row_L, group.floor, True, name, words))
            if group.ceiling < 1:
                words = f"ceiling {group.ceiling:.6g} of group {name} ({members})"
                found.append(Limit(row_L, group.ceiling, False, name, words))
        return tuple(found)

    @cached_property
    def floor_L(self) -> np.ndarray:  # noqa: N802
        """Least shares [L]."""
        return np.array([self.floors.get(language, 0.0) for language in self.languages])

    @cached_property
    def ceiling_L(self) -> np.ndarray:  # noqa: N802
        """Greatest shares [L], epochs included."""
        return np.array(
            [min(self.ceilings.get(language, 1.0), self._epoch_cap(language), 1.0) for language in self.languages]
        )

    @cached_property
    def rows_GL(self) -> np.ndarray:  # noqa: N802
        """Membership of groups, 0 or 1."""
        rows = [[float(language in group.languages) for language in self.languages] for group in self.groups.values()]
        return np.array(rows).reshape(len(self.groups), len(self.languages))

    @cached_property
    def low_G(self) -> np.ndarray:  # noqa: N802
        """Least group sums."""
        return np.array([group.floor for group in self.groups.values()])

    @cached_property
    def high_G(self) -> np.ndarray:  # noqa: N802
        """Greatest group sums."""
        return np.array([group.ceiling for group in self.groups.values()])

    def violation(self, p_L: np.ndarray) -> float:
        """The most that any limit, the sum or the sign is missed by; 0 for an allowed mixture."""
        p_L = np.asarray(p_L, dtype=float)
        worst = max([abs(float(p_L.sum()) - 1), -float(p_L.min()), *[-limit.slack(p_L) for limit in self.limits]])
        return max(worst, 0.0)

    def broken(self, mixture: Mapping[str, float]) -> tuple[str, ...]:
        """Limits that a mixture does not meet, in words."""
        p_L = np.array([mixture.get(language, 0.0) for language in self.languages])
        return tuple(limit.words for limit in self.limits if limit.slack(p_L) < -TOLERANCE)

    def project(self, x_L: np.ndarray) -> np.ndarray:
        """The allowed mixture nearest to ``x`` in Euclidean distance, exact to rounding."""
        return projection.nearest(x_L, self.floor_L, self.ceiling_L, self.rows_GL, self.low_G, self.high_G)

    def project_kl(self, weight_L: np.ndarray) -> np.ndarray:
        """``argmin_p KL(p ‖ weights)`` over the allowed mixtures: other shares give way in proportion."""
        return projection.proportional(weight_L, self.floor_L, self.ceiling_L, self.rows_GL, self.low_G, self.high_G)

    def linear_program(self) -> dict[str, Any]:
        """The allowed set as arguments of :func:`scipy.optimize.linprog`."""
        A = np.vstack([self.rows_GL, -self.rows_GL])
        b = np.concatenate([self.high_G, -self.low_G])
        return {
            "A_ub": A if len(A) else None,
            "b_ub": b if len(A) else None,
            "A_eq": np.ones((1, len(self.languages))),
            "b_eq": np.ones(1),
            "bounds": np.column_stack([self.floor_L, self.ceiling_L]),
            "method": "highs",
        }

    def to_json(self) -> dict[str, Any]:
        """The limits as given."""
        return {
            "floors": dict(self.floors),
            "ceilings": dict(self.ceilings),
            "max_epochs": self.max_epochs,
            "unique": dict(self.unique),
            "D": self.D,
            "groups": {
                name: {"languages": list(group.languages), "floor": group.floor, "ceiling": group.ceiling}
                for name, group in self.groups.items()
            },
        }

    def _epoch_cap(self, language: str) -> float:
        if self.max_epochs is None:
            return 1.0
        assert self.D is not None
        return self.max_epochs * self.unique[language] / self.D

    def _check(self) -> None:
        if not self.languages or len(set(self.languages)) < len(self.languages):
            raise BadInput(f"languages {', '.join(self.languages)}", expected="at least one, each once")
        named = [("floors", self.floors), ("ceilings", self.ceilings)]
        named += [(f"groups.{name}", dict.fromkeys(group.languages, 0.0)) for name, group in self.groups.items()]
        known = ", ".join(self.languages)
        for where, shares in named:
            for language, share in shares.items():
                if language not in self.languages:
                    hint = near(language, self.languages)
                    raise BadInput(f"{language} is not in the mixture{hint}", where=where, expected=f"one of {known}")
                if not 0 <= share <= 1:
                    raise BadInput(f"{language} = {share}", where=where, expected="a share from 0 to 1")
        for name, group in self.groups.items():
            if name in self.languages:
                raise BadInput(f"a group is called {name}, as a language is", where="groups", expected="another name")
            if not (group.languages and 0 <= group.floor <= 1 and 0 <= group.ceiling <= 1):
                raise BadInput(f"{group}", where=f"groups.{name}", expected="members, and shares from 0 to 1")
        if self.max_epochs is None:
            return
        if not self.max_epochs > 0:
            raise BadInput(f"max_epochs = {self.max_epochs}", expected="a number above 0, or none")
        if self.D is None or not self.D > 0:
            raise BadInput(
                f"max_epochs = {self.max_epochs:g} with D = {self.D}", expected="the run's training tokens D"
            )
        if missing := [language for language in self.languages if not self.unique.get(language, -1) >= 0]:
            raise BadInput(
                f"max_epochs without the unique tokens of {', '.join(missing)}", expected="unique tokens of all"
            )


def explain(constraints: Constraints) -> str:
    """Why no mixture is allowed: the smallest set of limits that cannot all hold."""
    conflict = smallest_conflict(constraints.limits)
    text = "; ".join(limit.words for limit in conflict)
    total = sum(limit.bound for limit in conflict)
    if all(limit.is_floor for limit in conflict):
        return f"no mixture meets these limits: {text}. Together they ask for {total:.6g}, and shares sum to 1"
    if not any(limit.is_floor for limit in conflict):
        text = f"no mixture meets these limits: {text}. Together they allow {total:.6g}, and shares sum to 1"
        if constraints.max_epochs is not None and all("max_epochs" in limit.words for limit in conflict):
            most = constraints.max_epochs * sum(constraints.unique[language] for language in constraints.languages)
            text += f"; at most D = {most:.6g} tokens would fit, or max_epochs = {constraints.max_epochs / total:.6g}"
        return text
    return f"no mixture with shares that sum to 1 meets these limits together: {text}"


def constraints_from(
    config: OptimizeConfig,
    languages: Iterable[str],
    *,
    unique: Mapping[str, float] | None = None,
    D: float | None = None,
) -> Constraints:
    """The limits that a study's configuration asks for.

    Args:
        config: the section ``optimize``.
        languages: languages of the mixture.
        unique: unique tokens of each language in the target run's corpus.
        D: training tokens of the target run.

    Raises:
        BadInput, Infeasible: as :class:`Constraints`; a group without members, or with a key other than
            ``languages``, ``floor`` and ``ceiling``.
    """
    names, groups = tuple(languages), {}
    for name, group in config.groups.items():
        where = f"optimize.groups.{name}"
        if unknown := set(group) - {"languages", "floor", "ceiling"}:
            raise BadInput(f"unknown key {sorted(unknown)[0]}", where=where, expected="languages, floor, ceiling")
        try:
            members = tuple(named_among(str(language), names) for language in group["languages"])
            groups[name] = Group(members, float(group.get("floor", 0.0)), float(group.get("ceiling", 1.0)))
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{group!r} ({error})", where=where, expected="{languages: [...], floor: x, ceiling: y}"
            ) from None
    floors, ceilings, known = (_by_name(one, names) for one in (config.floors, config.ceilings, unique or {}))
    # What "auto" is worth is known once a law is fitted (optimize.passes): until then it holds nothing back.
    most = None if isinstance(config.max_epochs, str) else config.max_epochs
    return Constraints(names, floors, ceilings, most, known, D, groups)


def _by_name(shares: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """The same numbers by the names that the mixture has for the languages ("es" for "spa_Latn").

    Raises:
        BadInput: two spellings of one language.
    """
    found = {named_among(name, names): share for name, share in shares.items()}
    if len(found) < len(shares):
        raise BadInput(f"{', '.join(shares)}: a language twice, in two spellings", expected="every language once")
    return found


def natural(constraints: Constraints) -> Mixture:
    """The mixture in proportion to the unique tokens that the limits know of.

    Raises:
        BadInput: they know of none.
    """
    if any(constraints.unique.get(language) is None for language in constraints.languages):
        raise BadInput("the natural mixture is not known", expected="unique tokens of every language, or a reference")
    return Mixture.normalised({language: constraints.unique[language] for language in constraints.languages})
