"""Constraints: which mixtures are allowed — floors, ceilings, epochs, sums over groups — and why none may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

GROUP_KEYS = ("languages", "floor", "ceiling", "max_epochs", "keep")
"""What a study says of a group."""
KEEPS = ("within", "between")
"""What of a group is kept as it is in the mixture in use, else in the natural one: its members' relative shares, or the
sum of their shares."""
KEPT_TO = 1e-6
"""How far shares may be from those that are kept, by rounding."""


@dataclass(frozen=True)
class Group:
    """A limit on the sum of the shares of several languages."""

    languages: tuple[str, ...]
    """Its members."""
    floor: float = 0.0
    """Least sum of their shares."""
    ceiling: float = 1.0
    """Greatest sum."""
    max_epochs: float | None = None
    """Most passes over their unique tokens taken together."""
    within: Mapping[str, float] | None = None
    """Relative shares that its members keep; None where they are free."""
    given: bool = False
    """Whether the sum follows from what is asked, and is no limit that might give way."""


@dataclass(frozen=True)
class Constraints:
    """The allowed mixtures: ``{p : Σ p = 1, floor ≤ p ≤ ceiling, p_l D ≤ max_epochs U_l, group sums in their range}``,
    and where the shares inside a group are kept, those with ``p_l = r_l Σ_group p``: ``p = F q`` with one q for each
    such group and one for every other language, and everything is found in q.

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
        if not feasible(self.folded_limits):
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
            if (cap := self._group_cap(group)) < 1:
                words = (
                    f"ceiling {cap:.6g} of group {name} ({members}) by max_epochs ({group.max_epochs:g} epochs of "
                    f"{self._unique_of(group):.6g} unique tokens in D = {self.D:.6g})"
                )
                found.append(Limit(row_L, cap, False, name, words, by_epochs=True))
        return tuple(found)

    @cached_property
    def fold_LS(self) -> np.ndarray | None:  # noqa: N802
        """F [L, S], from the shares of kept groups and free languages to those of all; None where nothing is kept."""
        kept = {name: group for name, group in self.groups.items() if group.within is not None}
        if not kept:
            return None
        at = {language: place for place, language in enumerate(self.languages)}
        inside = {language for group in kept.values() for language in group.languages}
        columns = []
        for group in kept.values():
            column_L = np.zeros(len(self.languages))
            for language in group.languages:
                column_L[at[language]] = (group.within or {}).get(language, 0.0)
            columns.append(column_L)
        columns += [np.eye(len(self.languages))[at[one]] for one in self.languages if one not in inside]
        return np.column_stack(columns)

    @cached_property
    def kept_KL(self) -> np.ndarray:  # noqa: N802
        """Rows with ``row · p = 0`` for every allowed p: ``p_l - r_l Σ_group p`` of all but one member of a group."""
        rows = []
        for group in self.groups.values():
            if group.within is None:
                continue
            row_L = np.array([float(language in group.languages) for language in self.languages])
            for language in group.languages[:-1]:
                own_L = np.array([float(language == other) for other in self.languages])
                rows.append(own_L - group.within.get(language, 0.0) * row_L)
        return np.array(rows).reshape(len(rows), len(self.languages))

    @cached_property
    def folded_limits(self) -> tuple[Limit, ...]:
        """The limits as limits on q."""
        F = self.fold_LS
        return self.limits if F is None else tuple(replace(limit, row_L=limit.row_L @ F) for limit in self.limits)

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
        """Greatest group sums, epochs included."""
        return np.array([min(group.ceiling, self._group_cap(group)) for group in self.groups.values()])

    def violation(self, p_L: np.ndarray) -> float:
        """The most that any limit, the sum or the sign is missed by; 0 for an allowed mixture."""
        p_L = np.asarray(p_L, dtype=float)
        worst = max([abs(float(p_L.sum()) - 1), -float(p_L.min()), *[-limit.slack(p_L) for limit in self.limits]])
        return max(worst, 0.0, float(np.abs(self.kept_KL @ p_L).max(initial=0.0)))

    def broken(self, mixture: Mapping[str, float]) -> tuple[str, ...]:
        """Limits that a mixture does not meet, in words."""
        p_L = np.array([mixture.get(language, 0.0) for language in self.languages])
        kept = tuple(
            f"the shares inside {name}, which are kept"
            for name, group in self.groups.items()
            if group.within is not None and self._away_from_kept(p_L, group) > KEPT_TO
        )
        return tuple(limit.words for limit in self.limits if limit.slack(p_L) < -TOLERANCE) + kept

    def project(self, x_L: np.ndarray) -> np.ndarray:
        """The allowed mixture nearest to ``x`` in Euclidean distance, exact to rounding; where shares inside groups are
        kept, the nearest in q of the point's own least squares."""
        F, (floor_S, ceiling_S) = self.fold_LS, self._folded(self.floor_L, self.ceiling_L)
        q_S = x_L if F is None else np.asarray(x_L) @ F / (F**2).sum(axis=0)
        found_S = projection.nearest(q_S, floor_S, ceiling_S, self._rows_GS, self.low_G, self.high_G)
        return found_S if F is None else np.asarray(F @ found_S)

    def project_kl(self, weight_L: np.ndarray, held: tuple[int, float] | None = None) -> np.ndarray:
        """``argmin_p KL(p ‖ weights)`` over the allowed mixtures: other shares give way in proportion.

        In q it is the same problem with the weights ``exp(Σ_l F_ls ln(w_l / F_ls))``.

        Args:
            weight_L: weights, which need not sum to one.
            held: place of a language, and the share that it has.
        """
        floor_L, ceiling_L = self.floor_L, self.ceiling_L
        if held is not None:
            floor_L, ceiling_L = floor_L.copy(), ceiling_L.copy()
            floor_L[held[0]] = ceiling_L[held[0]] = held[1]
        F, (floor_S, ceiling_S) = self.fold_LS, self._folded(floor_L, ceiling_L)
        if F is not None:
            log_LS = np.log(np.maximum(weight_L, projection.TINY))[:, None] - np.log(np.where(F > 0, F, 1.0))
            weight_L = np.exp((F * log_LS).sum(axis=0))
        found_S = projection.proportional(weight_L, floor_S, ceiling_S, self._rows_GS, self.low_G, self.high_G)
        return found_S if F is None else np.asarray(F @ found_S)

    def _folded(self, floor_L: np.ndarray, ceiling_L: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest q, [S], at which no share leaves its bounds."""
        if (F := self.fold_LS) is None:
            return floor_L, ceiling_L
        own_LS = np.where(F > 0, F, np.nan)
        least_S, most_S = np.nanmax(floor_L[:, None] / own_LS, axis=0), np.nanmin(ceiling_L[:, None] / own_LS, axis=0)
        return least_S, np.minimum(most_S, 1.0)

    @cached_property
    def _rows_GS(self) -> np.ndarray:  # noqa: N802
        """Membership of groups in q, 0 or 1."""
        return self.rows_GL if self.fold_LS is None else np.asarray(np.round(self.rows_GL @ self.fold_LS))

    def linear_program(self) -> dict[str, Any]:
        """The allowed set as arguments of :func:`scipy.optimize.linprog`."""
        A = np.vstack([self.rows_GL, -self.rows_GL])
        b = np.concatenate([self.high_G, -self.low_G])
        return {
            "A_ub": A if len(A) else None,
            "b_ub": b if len(A) else None,
            "A_eq": np.vstack([np.ones(len(self.languages)), self.kept_KL]),
            "b_eq": np.append(1.0, np.zeros(len(self.kept_KL))),
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
                | ({} if group.max_epochs is None else {"max_epochs": group.max_epochs})
                | ({} if group.within is None else {"within": dict(group.within)})
                for name, group in self.groups.items()
            },
        }

    def _epoch_cap(self, language: str) -> float:
        if self.max_epochs is None:
            return 1.0
        assert self.D is not None
        return self.max_epochs * self.unique[language] / self.D

    def _unique_of(self, group: Group) -> float:
        return float(sum(self.unique[language] for language in group.languages))

    def _group_cap(self, group: Group) -> float:
        if group.max_epochs is None:
            return 1.0
        assert self.D is not None
        return group.max_epochs * self._unique_of(group) / self.D

    def _away_from_kept(self, p_L: np.ndarray, group: Group) -> float:
        """How far the shares of a group's members are from the relative ones that they keep."""
        held = {language: float(p_L[self.languages.index(language)]) for language in group.languages}
        total, within = sum(held.values()), group.within or {}
        return max(abs(share - within.get(language, 0.0) * total) for language, share in held.items())

    def _check_kept(self) -> None:
        kept = {name: group for name, group in self.groups.items() if group.within is not None}
        for name, group in kept.items():
            shares = group.within or {}
            sound = set(shares) <= set(group.languages) and min(shares.values()) >= 0
            if not sound or abs(sum(shares.values()) - 1) > TOLERANCE:
                raise BadInput(
                    f"{dict(shares)}", where=f"groups.{name}.within", expected="relative shares of its members"
                )
            for other, apart in self.groups.items():
                common = set(group.languages) & set(apart.languages)
                if other != name and common and (other in kept or common != set(group.languages)):
                    raise BadInput(
                        f"{name} keeps the shares inside it, and {other} holds {', '.join(sorted(common))} of it",
                        where="groups",
                        expected="groups that hold all of it, or nothing",
                    )

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
        self._check_kept()
        limited = {name: group.languages for name, group in self.groups.items() if group.max_epochs is not None}
        told = [self.groups[name].max_epochs for name in limited]
        limited |= {} if self.max_epochs is None else {"": self.languages}
        for epochs in (self.max_epochs, *told):
            if epochs is not None and not epochs > 0:
                raise BadInput(f"max_epochs = {epochs}", expected="a number above 0, or none")
            if epochs is not None and (self.D is None or not self.D > 0):
                raise BadInput(f"max_epochs = {epochs:g} with D = {self.D}", expected="the run's training tokens D")
        asked = dict.fromkeys(language for languages in limited.values() for language in languages)
        if missing := [language for language in asked if not self.unique.get(language, -1) >= 0]:
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
            ``GROUP_KEYS``.
    """
    names = tuple(languages)
    floors, ceilings, known = (_by_name(one, names) for one in (config.floors, config.ceilings, unique or {}))
    # What "auto" is worth is known once a law is fitted (optimize.passes): until then it holds nothing back.
    most = None if isinstance(config.max_epochs, str) else config.max_epochs
    return Constraints(names, floors, ceilings, most, known, D, groups_from(config, names, known))


def groups_from(config: OptimizeConfig, names: Sequence[str], unique: Mapping[str, float]) -> dict[str, Group]:
    """The groups of a configuration. What needs the natural mixture or epochs is left out where no unique tokens are
    known.

    Raises:
        BadInput: as :func:`constraints_from`.
    """
    reference = _by_name(config.current, names) or unique
    return {name: _group(name, one, names, reference, unique) for name, one in config.groups.items()}


def _group(
    name: str, told: Mapping[str, Any], names: Sequence[str], reference: Mapping[str, float], known: Mapping[str, float]
) -> Group:
    """One group of a configuration."""
    where = f"optimize.groups.{name}"
    if unknown := set(told) - set(GROUP_KEYS):
        raise BadInput(f"unknown key {sorted(unknown)[0]}", where=where, expected=", ".join(GROUP_KEYS))
    try:
        members = tuple(named_among(str(language), names) for language in told["languages"])
        floor, ceiling = float(told.get("floor", 0.0)), float(told.get("ceiling", 1.0))
        epochs = None if told.get("max_epochs") is None or not known else float(told["max_epochs"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{dict(told)!r} ({error})", where=where, expected="{languages: [...], floor: x, ceiling: y}"
        ) from None
    keep = told.get("keep")
    if keep not in (None, *KEEPS):
        raise BadInput(f"keep = {keep!r}", where=where, expected=" | ".join(KEEPS))
    if keep is None or not reference or not set(members) <= set(names):
        return Group(members, floor, ceiling, epochs)
    total, inside = sum(reference.values()), sum(reference.get(one, 0.0) for one in members)
    if not inside > 0:
        raise BadInput("keep, and its members have no share", where=where, expected="members of the mixture in use")
    if keep == "between":
        return Group(members, inside / total, inside / total, epochs)
    return Group(members, floor, ceiling, epochs, {one: reference.get(one, 0.0) / inside for one in members})


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
