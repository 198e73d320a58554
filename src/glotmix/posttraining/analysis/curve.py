"""Curve: scores of one task over the number of samples, by seed and language, and what is read off it.

Shape letters here: N sizes (samples per language beside the pivot's), S seeds, L languages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from glotmix.errors import BadInput
from glotmix.language import Language

COLUMNS = ("task", "trained", "base", "mix", "n", "seed", "language", "value")
"""Of a table of scores: the task measured, the tasks trained on (joined by "+"), the base model, the languages trained
on beside the pivot (with spaces between), samples of each, seed, language measured, its score."""


@dataclass(frozen=True)
class Curve:
    """One task measured in one training configuration, over sizes."""

    task: str
    """Task measured."""
    trained: str
    """Tasks trained on, joined by "+"."""
    base: str
    """Base model."""
    mix: tuple[str, ...]
    """Languages trained on beside the pivot: the seen ones."""
    pivot: str
    """Language whose samples are the same in every cell."""
    sizes: tuple[int, ...]
    """Samples of each language of the mix (per task), rising."""
    languages: tuple[str, ...]
    """Languages measured."""
    value_NSL: np.ndarray
    """Scores; NaN where a cell is missing."""

    @property
    def others(self) -> tuple[str, ...]:
        """Languages measured beside the pivot."""
        return tuple(language for language in self.languages if language != self.pivot)

    @property
    def unseen(self) -> tuple[str, ...]:
        """Languages measured that no cell of this curve trains on."""
        return tuple(language for language in self.others if language not in self.mix)

    @property
    def seen(self) -> tuple[str, ...]:
        """Languages of the mix that are measured; seen at size 0 too, where they are not trained on yet."""
        return tuple(language for language in self.others if language in self.mix)

    def mean(self, languages: Sequence[str] | None = None) -> np.ndarray:
        """Mean score over languages (default: all beside the pivot), [N, S].

        Raises:
            BadInput: no languages, or one that is not measured.
        """
        chosen = self.others if languages is None else tuple(languages)
        if not chosen or (missing := [name for name in chosen if name not in self.languages]):
            raise BadInput(f"no scores of {', '.join(missing) if chosen else 'any language'}", where=self.task)
        return np.asarray(self.value_NSL[:, :, [self.languages.index(name) for name in chosen]].mean(-1))

    def relative(self) -> np.ndarray:
        """Performance relative to the pivot, ``mean over others / pivot``, [N, S] (arXiv 2504.16677, §4)."""
        return np.asarray(self.mean() / self.mean([self.pivot]))

    def gap(self) -> np.ndarray:
        """Seen minus unseen mean, [N, S]."""
        return np.asarray(self.mean(self.seen) - self.mean(self.unseen))

    def by_script(self, *, unseen: bool = True) -> dict[str, np.ndarray]:
        """Mean over the languages written in Latin letters, and over the others, [N, S] each; empty groups left out."""
        chosen = self.others if unseen else self.seen
        latin = [name for name in chosen if script_of(name) == "Latn"]
        groups = {"Latin": latin, "other scripts": [name for name in chosen if name not in latin]}
        return {name: self.mean(members) for name, members in groups.items() if members}

    def gain(self, value_NS: np.ndarray) -> float:
        """Most that any size gains over size 0, seeds averaged: ``max_n value(n) − value(0)``.

        The maximum is over noisy means and flatters itself; the paper's printed gains are of this kind.
        """
        mean_N = np.nanmean(value_NS, 1)
        return float(np.nanmax(mean_N) - mean_N[0])

    def best(self, value_NS: np.ndarray) -> tuple[int, float]:
        """Size with the greatest mean over seeds, and that mean."""
        mean_N = np.nanmean(value_NS, 1)
        at = int(np.nanargmax(mean_N))
        return self.sizes[at], float(mean_N[at])


def script_of(language: str) -> str:
    """ISO 15924 script of a language, however it is named."""
    return Language.resolve(language).script


def curves_from(table: pl.DataFrame, pivot: str) -> list[Curve]:
    """Every curve of a table of scores.

    Raises:
        BadInput: a missing column, a cell twice, or a table without the pivot.
    """
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise BadInput(f"no column {missing[0]}", where="scores", expected=", ".join(COLUMNS))
    key = ["task", "trained", "base", "mix"]
    if table.select([*key, "n", "seed", "language"]).is_duplicated().any():
        raise BadInput("a cell is listed twice", where="scores", expected="one row per cell and language")
    if pivot not in table["language"]:
        raise BadInput(f"no scores of the pivot {pivot}", where="scores")
    curves = []
    for (task, trained, base, mix), part in table.group_by(key, maintain_order=True):
        sizes = sorted(set(part["n"].to_list()))
        seeds = sorted(set(part["seed"].to_list()))
        languages = tuple(dict.fromkeys(part["language"].to_list()))
        value_NSL = np.full((len(sizes), len(seeds), len(languages)), np.nan)
        for row in part.iter_rows(named=True):
            at = sizes.index(row["n"]), seeds.index(row["seed"]), languages.index(row["language"])
            value_NSL[at] = row["value"]
        curves.append(
            Curve(
                str(task), str(trained), str(base), tuple(str(mix).split()), pivot, tuple(sizes), languages, value_NSL
            )
        )
    return curves
