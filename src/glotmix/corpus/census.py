"""Census: how much text each language has, what the tokenizer costs it, and how often a target run would repeat it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from glotmix.corpus.overlap import TextOverlap
from glotmix.errors import BadInput
from glotmix.notebook import Shown
from glotmix.tables import by_group
from glotmix.wording import listed

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType
    from rich.table import Table

LOST_FROM = 0.01
"""Share of unknown tokens, or of text that is lost, from which a note says so."""
SIGN = {"character": "*"}
"""What marks fertilities that are not per word."""
MOST_PAIRS, MOST_REASONS = 30, 6
"""Pairs of languages that share texts, and reasons why rows are left out, that a terminal is shown."""
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
                    "epochs": p * budget / row.unique_tokens if row.unique_tokens else None,
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

    def table(self) -> RenderableType:
        """Sizes, for a terminal of 80 characters or a notebook."""
        from rich.console import Group

        columns = (
            ("documents", [f"{row.documents:,}" for row in self.rows]),
            ("MB", [megabytes(row.bytes) for row in self.rows]),
            ("tokens U", [f"{row.unique_tokens:,}" for row in self.rows]),
            ("held out", [f"{row.held_out_tokens:,}" for row in self.rows]),
            ("share", [_shown(row.share, ".1%") for row in self.rows]),
            ("epochs", [_shown(row.epochs, ".2f") for row in self.rows]),
        )
        tables = by_group("Census: unique tokens U to train on, tokens held out", self._names(), columns)
        run = [] if self.budget is None else [f"epochs of a run of {self.budget:,.0f} tokens"]
        return Group(*tables, *run)

    def tables(self) -> list[RenderableType]:
        """For the terminal: the census, what the tokenizer costs, what was read, what languages share, and the
        notes."""
        found: list[RenderableType] = [self.table(), *self._tokenizer_tables(), *self._reading_tables()]
        if (overlap := self.overlap) is not None:
            found += overlap_tables(overlap) if overlap.shared else []
            for how, leaks in _leaks_of(overlap):
                found += leaks_tables(overlap, how, leaks)
        return [*found, *self.notes()]

    def _names(self) -> list[str]:
        return [row.language for row in self.rows]

    def _tokenizer_tables(self) -> list[RenderableType]:
        columns = (
            ("per word", [f"{row.fertility:.2f}{SIGN.get(row.fertility_unit, '')}" for row in self.rows]),
            ("premium", [_shown(row.byte_premium, ".2f") for row in self.rows]),
            ("per byte", [_shown(row.tokens_per_byte, ".3f") for row in self.rows]),
            ("parity", [_shown(row.parity, ".2f") for row in self.rows]),
            ("vocab", [_shown(row.vocabulary_share, ".1%") for row in self.rows]),
            ("unknown", [_shown(row.unknown_tokens, ".1%") for row in self.rows]),
            ("lost", [_shown(row.lost_text, ".1%") for row in self.rows]),
        )
        per_character = any(row.fertility_unit in SIGN for row in self.rows)
        told = (
            f"premium and parity: bytes and tokens that say what one does in {self.reference}; vocab: share of the "
            "vocabulary that is used; unknown: share of the tokens; lost: share of the letters"
        )
        title = f"Tokenizer: tokens per word{' (* per character)' * per_character} and per byte"
        return [*by_group(title, self._names(), columns), told]

    def _reading_tables(self) -> list[Table]:
        counts = [(row.files, row.rows, row.documents, row.held_out_documents) for row in self.rows]
        titles = ("files", "rows", "to train on", "to measure on")
        columns = [
            (title, ["–" if (n := row[k]) is None else f"{n:,}" for row in counts]) for k, title in enumerate(titles)
        ]
        return by_group(
            "What was read", self._names(), [*columns, *reasons([self._left_out(row) for row in self.rows])]
        )

    def _left_out(self, row: CensusRow) -> list[tuple[str, int]]:
        """Why rows of a file were left out, those in another language that is asked for not counted."""
        asked = {f"in {other.language}" for other in self.rows}
        return _largest_first({why: n for why, n in row.left_out.items() if why not in asked})[:6]

    def notes(self) -> list[str]:
        """What should not be passed over: text that is lost or shared, labels in several spellings."""
        found = [note for row in self.rows for note in _notes_on(row)]
        if self.overlap is not None:
            for language, count in self.overlap.left_out.items():
                found.append(
                    f"{language}: {count:,} training documents are left out, as another language holds their text out"
                )
            for name, leaks in _leaks_of(self.overlap):
                for language, row in leaks.items():
                    held = self.overlap.held_out[language]
                    others = [f"{n:,} stood {name}in the training text of {other}" for other, n in _largest_first(row)]
                    found.append(f"of the {held:,} held-out documents of {language} {listed(others)}")
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
        usual = _largest_first(row.labels)[:6]
        labels = ", ".join(f"{label} ({count:,})" for label, count in usual)
        found.append(f"{row.language} is read from rows labelled {labels}")
    return found


def overlap_tables(overlap: TextOverlap) -> list[Table]:
    """Pairs of languages that share texts, the largest shares first."""
    shares = sorted(
        ((overlap.share(one, other), one, other) for one, row in overlap.shared.items() for other in row), reverse=True
    )
    most = shares[:MOST_PAIRS]
    columns = (
        ("stands in", [other for _, _, other in most]),
        ("texts", [f"{overlap.shared[one][other]:,}" for _, one, other in most]),
        ("share of its own", [f"{share:.1%}" for share, _, _ in most]),
    )
    more = f", the first {len(most)} of {len(shares)} pairs" if len(shares) > len(most) else ""
    return by_group(f"Texts that stand in two languages{more}", [one for _, one, _ in most], columns)


def _largest_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: -one[1])


def _leaks_of(overlap: TextOverlap) -> list[tuple[str, Mapping[str, Mapping[str, int]]]]:
    """How alike the texts are, in words, and the matrix."""
    return [(name, leaks) for name, leaks in (("", overlap.leaks), ("nearly ", overlap.near)) if leaks]


def leaks_tables(overlap: TextOverlap, how: str, leaks: Mapping[str, Mapping[str, int]]) -> list[Table]:
    """Held-out documents that stood in a training text, which they were left out of; the most first."""
    pairs = sorted(((count, one, other) for one, row in leaks.items() for other, count in row.items()), reverse=True)
    columns = (
        ("held out", [f"{overlap.held_out[one]:,}" for _, one, _ in pairs]),
        ("stood in", [other for _, _, other in pairs]),
        ("and were left out there", [f"{count:,}" for count, _, _ in pairs]),
    )
    return by_group(f"Held-out text found {how}in training text", [one for _, one, _ in pairs], columns)


def reasons(left_out: Sequence[Sequence[tuple[str, int]]]) -> list[tuple[str, list[str]]]:
    """Why rows were left out, as columns, the most frequent first.

    Args:
        left_out: for each language, reasons with how many rows.
    """
    totals = Counter[str]()
    for one in left_out:
        totals.update(dict(one))
    return [
        (reason, [f"{dict(one).get(reason, 0):,}" for one in left_out])
        for reason, _ in totals.most_common(MOST_REASONS)
    ] or [("left out", ["0"] * len(left_out))]


def megabytes(size: float) -> str:
    """Bytes as megabytes, with decimals where there are few."""
    return f"{size / 1e6:,.2f}" if size < 1e9 else f"{size / 1e6:,.0f}"


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
