"""Census: how much text each language has, what the tokenizer costs it, and how often a target run would repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from glotmix.corpus.overlap import TextOverlap
from glotmix.errors import BadInput
from glotmix.notebook import Shown

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table

LOST_FROM = 0.01
"""Share of unknown tokens, or of text that is lost, from which a note says so."""
SHARED_FROM = 0.01
"""Share of texts that stand in another language too from which a note says so."""


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
    tokens_per_byte: float | None = None
    """Tokens per UTF-8 byte of training text."""
    parity: float | None = None
    """Tokens that say what one token says in the reference language, over documents that both have; None without."""
    vocabulary_share: float | None = None
    """Share of the vocabulary that occurs in the language's text."""
    unknown_tokens: float | None = None
    """Share of its tokens that are the one for what is not in the vocabulary."""
    lost_text: float | None = None
    """Share of its characters that the tokenizer does not give back, by a sample."""
    files: int | None = None
    """Files that were read."""
    rows: int | None = None
    """Rows that were found in them."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Why rows are in neither side → how many."""
    labels: dict[str, int] = field(default_factory=dict)
    """Labels that its rows have → rows."""


@dataclass(frozen=True, repr=False)
class Census(Shown):
    """All languages of a study."""

    rows: tuple[CensusRow, ...]
    """One row per language, in the study's order."""
    reference: str
    """Language that byte premiums are relative to."""
    budget: float | None
    """Training tokens D of the target run that the epochs are for."""
    overlap: TextOverlap | None = None
    """What languages have in common; None where it is not known."""
    remarks: tuple[str, ...] = ()
    """What else there is to know of the corpus: what lies beside it and is not read."""

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
        return replace(self, rows=tuple(rows), budget=budget)

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            "reference": self.reference,
            "budget": self.budget,
            "languages": [asdict(row) for row in self.rows],
            "overlap": None if self.overlap is None else self.overlap.to_json(),
            "remarks": list(self.remarks),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, where: object = None) -> Census:
        """A census from what :meth:`to_json` gave.

        Raises:
            BadInput: a field that is missing or unknown.
        """
        try:
            overlap = value.get("overlap")
            return cls(
                tuple(CensusRow(**row) for row in value["languages"]),
                value["reference"],
                value["budget"],
                None if overlap is None else TextOverlap.from_json(overlap),
                tuple(value.get("remarks", ())),
            )
        except (KeyError, TypeError) as error:
            expected = ", ".join(field.name for field in fields(CensusRow))
            raise BadInput(f"not a census: {error}", where=where, expected=expected) from None

    def to_polars(self) -> pl.DataFrame:
        """One row per language, a column for each field of :class:`CensusRow` that is one number: ``language``,
        ``documents``, ``bytes``, ``unique_tokens`` (U), ``held_out_documents``, ``held_out_tokens``,
        ``held_out_bytes``, ``fertility`` (tokens per ``fertility_unit``), ``bytes_per_token``, ``byte_premium``,
        ``parallel_documents``, ``share``, ``epochs``, ``tokens_per_byte``, ``parity``, ``vocabulary_share``,
        ``unknown_tokens``, ``lost_text``, ``files``, ``rows``; and ``left_out``, how many rows are in neither side.
        """
        import polars as pl

        told = [asdict(row) | {"left_out": sum(row.left_out.values())} for row in self.rows]
        return pl.DataFrame(told, infer_schema_length=None).drop("labels")

    def table(self) -> Table:
        """For the terminal."""
        from rich.table import Table

        table = Table(title="Census")
        table.add_column("language", no_wrap=True)
        columns = ["documents", "MB", "unique tokens U", "held-out tokens", "fertility", "byte premium"]
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
                _shown(row.byte_premium, ".2f"),
                _shown(row.share, ".1%"),
                _shown(row.epochs, ".2f"),
            )
        table.caption = f"byte premium against {self.reference}" + (
            f"; epochs of a run of {self.budget:,.0f} tokens" if self.budget is not None else ""
        )
        return table

    def tables(self) -> list[Table | str]:
        """For the terminal: the census, what the tokenizer costs, what was read, what languages share, and the
        notes."""
        found: list[Table | str] = [self.table(), self._tokenizer_table(), self._reading_table()]
        if self.overlap is not None and self.overlap.shared:
            found.append(overlap_table(self.overlap))
        return [*found, *self.notes()]

    def _tokenizer_table(self) -> Table:
        columns = ("tokens per byte", "parity", "vocabulary used", "unknown tokens", "text lost")
        table = _table("Tokenizer", columns, f"parity against {self.reference}")
        for row in self.rows:
            shares = [_shown(one, ".1%") for one in (row.vocabulary_share, row.unknown_tokens, row.lost_text)]
            table.add_row(row.language, _shown(row.tokens_per_byte, ".3f"), _shown(row.parity, ".2f"), *shares)
        return table

    def _reading_table(self) -> Table:
        table = _table("What was read", ("files", "rows", "to train on", "to measure on", "left out"))
        for row in self.rows:
            counts = (row.files, row.rows, row.documents, row.held_out_documents)
            why = ", ".join(f"{count:,} {reason}" for reason, count in self._left_out(row)) or "none"
            table.add_row(row.language, *("–" if n is None else f"{n:,}" for n in counts), why)
        return table

    def _left_out(self, row: CensusRow) -> list[tuple[str, int]]:
        """Why rows of a file were left out, those in another language that is asked for not counted."""
        asked = {f"in {other.language}" for other in self.rows}
        return sorted(((why, n) for why, n in row.left_out.items() if why not in asked), key=lambda one: -one[1])[:6]

    def notes(self) -> list[str]:
        """What should not be passed over: text that is lost or shared, labels in several spellings."""
        found = [note for row in self.rows for note in _notes_on(row)]
        if self.overlap is not None:
            for language, count in self.overlap.left_out.items():
                found.append(
                    f"{language}: {count:,} training documents are left out, as another language holds their text out"
                )
            if (largest := self.overlap.largest()) is not None and largest[0] > SHARED_FROM:
                share, one, other = largest
                found.append(
                    f"{share:.1%} of the texts of {one} stand in {other} word for word; what one learns of them will "
                    "be read as transfer between the two"
                )
        return [*found, *self.remarks]


def _notes_on(row: CensusRow) -> list[str]:
    found = []
    if (row.unknown_tokens or 0) > LOST_FROM:
        found.append(
            f"{row.language}: {row.unknown_tokens:.1%} of the tokens are unknown ones; fertility, epochs and bits per "
            "byte mean little there"
        )
    if (row.lost_text or 0) > LOST_FROM:
        found.append(f"{row.language}: the tokenizer loses {row.lost_text:.1%} of the letters and signs")
    if len(row.labels) > 1:
        usual = sorted(row.labels.items(), key=lambda one: -one[1])[:6]
        labels = ", ".join(f"{label} ({count:,})" for label, count in usual)
        found.append(f"{row.language} is read from rows labelled {labels}")
    return found


def overlap_table(overlap: TextOverlap) -> Table:
    """Rows are languages, columns those that share texts with any; the share of the row's texts that the column has."""
    names = [name for name in overlap.texts if overlap.shared.get(name)]
    table = _table("Texts that stand in two languages", names, "share of the row's texts that the column has too")
    for name in names:
        cells = (f"{overlap.share(name, other):.1%}" if overlap.shared[name].get(other) else "" for other in names)
        table.add_row(name, *cells)
    return table


def _table(title: str, columns: Sequence[str], caption: str | None = None) -> Table:
    from rich.table import Table

    table = Table(title=title, caption=caption)
    table.add_column("language", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="left" if name == "left out" else "right")
    return table


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
