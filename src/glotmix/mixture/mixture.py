"""Mixture: the sampling ratios p over languages, in tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from glotmix.errors import BadInput
from glotmix.notebook import bars_html

if TYPE_CHECKING:
    import polars as pl

SUM_TOLERANCE = 1e-6
"""How far the shares that a user writes may sum from one; within it they are divided by their sum."""
MOST_SHOWN = 8
"""Languages that ``repr`` lists."""


class Mixture(Mapping[str, float]):
    """Sampling ratios ``p_l`` over languages (or any named groups), in **tokens**; immutable and keyed by name.

    Shares are finite, not negative and sum to one. A language with share zero is a member that is not trained on, so
    two mixtures over the same languages can be compared; a name that was never a member is a ``KeyError``.
    """

    __slots__ = ("_shares",)

    def __init__(self, shares: Mapping[str, float], *, where: object = None):
        """
        Args:
            shares: language to share; must sum to one within ``SUM_TOLERANCE``.
            where: file and field the shares came from, for the error message.

        Raises:
            BadInput: no language, a share that is negative or not finite, or a sum other than one.
        """
        if not shares:
            raise BadInput("a mixture without languages", where=where)
        for language, share in shares.items():
            if not math.isfinite(share) or share < 0:
                raise BadInput(f"share of {language} is {share}", where=where, expected="a number from 0 to 1")
        total = math.fsum(shares.values())
        if abs(total - 1) > SUM_TOLERANCE:
            raise BadInput(f"shares sum to {total:.6g}", where=where, expected="1 (use Mixture.normalised for weights)")
        self._shares = {language: float(share) / total for language, share in shares.items()}

    def _repr_html_(self) -> str:
        """For notebooks: a bar per language, the largest first."""
        rows = sorted(self.items(), key=lambda row: -row[1])
        return bars_html(f"mixture of {len(rows)} languages", rows)

    @classmethod
    def normalised(cls, weights: Mapping[str, float], *, where: object = None) -> Mixture:
        """The mixture proportional to non-negative ``weights``.

        Raises:
            BadInput: a weight that is negative or not finite, or all of them zero.
        """
        for language, weight in weights.items():
            if not math.isfinite(weight) or weight < 0:
                raise BadInput(f"weight of {language} is {weight}", where=where, expected="a number of at least 0")
        total = math.fsum(weights.values())
        if not total > 0:
            raise BadInput("all weights are zero", where=where)
        return cls({language: weight / total for language, weight in weights.items()}, where=where)

    @classmethod
    def from_vector(cls, languages: Iterable[str], p_L: Iterable[float]) -> Mixture:
        """The mixture with shares ``p_L`` in the order of ``languages``."""
        return cls(dict(zip(languages, map(float, p_L), strict=True)))

    def __getitem__(self, language: str) -> float:
        return self._shares[language]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shares)

    def __len__(self) -> int:
        return len(self._shares)

    def __hash__(self) -> int:
        return hash(frozenset(self._shares.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mixture) and self._shares == other._shares

    def __repr__(self) -> str:
        shown = [f"{language:.30} {share:.4g}" for language, share in list(self._shares.items())[:MOST_SHOWN]]
        more = [f"… {len(self) - MOST_SHOWN} more"] if len(self) > MOST_SHOWN else []
        return f"Mixture({', '.join([*shown, *more])})"

    @property
    def support(self) -> tuple[str, ...]:
        """Languages with a share above zero."""
        return tuple(language for language, share in self._shares.items() if share > 0)

    def vector(self, languages: Iterable[str]) -> np.ndarray:
        """Shares in the order of ``languages``; zero for one that is not a member. Shape [L]."""
        return np.array([self._shares.get(language, 0.0) for language in languages])

    def over(self, languages: Iterable[str]) -> Mixture:
        """The same mixture with ``languages`` as its members (zeros added; none with a share may be left out)."""
        languages = tuple(languages)
        if lost := [language for language in self.support if language not in languages]:
            raise BadInput(f"the mixture has a share of {', '.join(lost)}", expected=f"only {', '.join(languages)}")
        return Mixture({language: self._shares.get(language, 0.0) for language in languages})

    def tokens(self, D: float) -> dict[str, float]:
        """Training tokens ``D_l = p_l D`` of each language."""
        return {language: share * D for language, share in self._shares.items()}

    def epochs(self, D: float, unique: Mapping[str, float]) -> dict[str, float]:
        """Passes over each language's unique tokens ``U_l`` in a run of ``D`` tokens: ``p_l D / U_l``."""
        return {language: share * D / unique[language] for language, share in self._shares.items() if share > 0}

    def total_variation(self, other: Mapping[str, float]) -> float:
        """Half the sum of absolute differences: 0 for equal mixtures, 1 for disjoint ones."""
        names = set(self) | set(other)
        return 0.5 * math.fsum(abs(self.get(name, 0.0) - other.get(name, 0.0)) for name in names)

    def to_json(self) -> dict[str, float]:
        """A plain dict, for JSON and YAML."""
        return dict(self._shares)

    def to_polars(self) -> pl.DataFrame:
        """One row per language: ``language``, ``share`` (of training tokens, sums to 1)."""
        import polars as pl

        return pl.DataFrame({"language": list(self._shares), "share": list(self._shares.values())})


def share_columns(mixtures: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Columns ``p/<language>`` of a table that has a row per mixture; a language that one lacks has share 0 there."""
    languages = dict.fromkeys(language for mixture in mixtures for language in mixture)
    return {f"p/{language}": [float(mixture.get(language, 0.0)) for mixture in mixtures] for language in languages}
