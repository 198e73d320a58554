"""The section `fit` of a study: which laws, how judged."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from glotmix.config import Section
from glotmix.errors import BadInput
from glotmix.laws import check_law


class FitConfig(Section):
    """Which laws, how judged."""

    laws: list[str] = Field(
        default_factory=lambda: ["null", "own_ratio", "log_linear", "shapley_law", "shapley_law_repeated"]
    )
    """Laws to fit (see ``glotmix laws``); those of repetition are left out where no run reads a text twice."""
    choose: str = "auto"
    """Law that the optimum is taken on: a name, or ``auto`` for the least held-out error."""
    folds: int = Field(5, ge=2)
    """Folds of cross-validation, by mixture."""
    bootstrap: int = Field(100, ge=0)
    """Resamples for intervals."""
    weights: Literal["repeats"] | None = None
    """``repeats``: runs count by how much repeats of their mixtures differ; None: all count alike."""
    seed: int = 0
    """Seed of starts, folds and resamples."""

    @field_validator("laws", mode="before")
    @classmethod
    def _null_is_a_law(cls, value: object) -> object:
        """A bare ``null`` in YAML is nothing; among laws it can only mean the law of that name."""
        return ["null" if item is None else item for item in value] if isinstance(value, list) else value

    @field_validator("laws")
    @classmethod
    def _laws_are_known(cls, names: list[str]) -> list[str]:
        try:
            return [check_law(name) for name in names]
        except BadInput as error:  # pydantic adds the field, the caller the file
            raise ValueError(str(error)) from None
