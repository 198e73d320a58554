"""Census: how much text each language has, what the tokenizer costs it, and how often a target run would repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from glotmix.errors import BadInput
from glotmix.notebook import rich_html

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class CensusRow:
    """One language of a study."""

    language: str
    """Tag."""
    documents: int
    """Training documents, exact duplicates left out."""
    bytes: int
    """UTF-8 bytes of their text."""
    unique_tokens: int
    """U: their tokens, ends of documents included."""
    held_out_documents: int
    """Documents that losses are measured on."""
    held_out_tokens: int
    """Tokens of those."""
    held_out_bytes: int
    """UTF-8 bytes of those, the denominator of bits per byte."""
    fertility: float
    """Tokens per ``fertility_unit`` in training text."""
    fertility_unit: str
    """``word`` (between white space), or ``character`` in scripts without spaces between words."""
    bytes_per_token: float
    """UTF-8 bytes of text per token."""
    byte_premium: float | None
    """Bytes that say what one byte says in the reference language, over documents that both have; None without."""
    parallel_documents: int
    """Documents that the language shares with the reference by id."""
    share: float | None
    """Share p of the mixture the epochs are for; None without a mixture."""
    epochs: float | None
    """p D / U: passes over the language in the target run; None without a mixture and a budget."""


@dataclass(frozen=True)
class Census:
    """All languages of a study."""

    rows: tuple[CensusRow, ...]
    """One row per language, in the study's order."""
    reference: str
    """Language that byte premiums are relative to."""
    budget: float | None
    """Training tokens D of the target run that the epochs are for."""

    def __getitem__(self, language: str) -> CensusRow:
        for row in self.rows:
            if row.language == language:
                return row
        raise KeyError(language)

    @property
    def unique(self) -> dict[str, float]:
        """Unique tokens U per language."""
        return {row.language: float(row.unique_tokens) for row in self.rows}

    def at(self, budget: float, mixture: Mapping[str, float]) -> Census:
        """The same census with shares and epochs of a mixture over ``budget`` tokens; a language left out has 0."""
        rows = (
            CensusRow(
                **{
                    **asdict(row),
                    "share": (p := mixture.get(row.language, 0.0)),
                    "epochs": p * budget / row.unique_tokens,
                }
            )
            for row in self.rows
        )
        return Census(tuple(rows), self.reference, budget)

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {"reference": self.reference, "budget": self.budget, "languages": [asdict(row) for row in self.rows]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, where: object = None) -> Census:
        """A census from what :meth:`to_json` gave.

        Raises:
            BadInput: a field that is missing or unknown.
        """
        try:
            return cls(tuple(CensusRow(**row) for row in value["languages"]), value["reference"], value["budget"])
        except (KeyError, TypeError) as error:
            expected = ", ".join(field.name for field in fields(CensusRow))
            raise BadInput(f"not a census: {error}", where=where, expected=expected) from None

    def _repr_html_(self) -> str:
        """For notebooks."""
        return rich_html(self.table())

    def table(self) -> Table:
        """For the terminal."""
        from rich.table import Table

        table = Table(title="Census")
        table.add_column("language")
        columns = ["documents", "MB", "unique tokens U", "held-out tokens", "fertility", "bytes/token", "byte premium"]
        for name in [*columns, "share", "epochs"]:
            table.add_column(name, justify="right")
        for row in self.rows:
            table.add_row(
                row.language,
                f"{row.documents:,}",
                f"{row.bytes / 1e6:.2f}",
                f"{row.unique_tokens:,}",
                f"{row.held_out_tokens:,}",
                f"{row.fertility:.2f} per {row.fertility_unit}",
                f"{row.bytes_per_token:.2f}",
                _shown(row.byte_premium, ".2f"),
                _shown(row.share, ".1%"),
                _shown(row.epochs, ".2f"),
            )
        table.caption = f"byte premium against {self.reference}" + (
            f"; epochs of a run of {self.budget:,.0f} tokens" if self.budget is not None else ""
        )
        return table


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
