"""Fidelity: what of a language's text a tokenizer keeps.

A tokenizer that was made for other scripts turns words into one token for all that it does not know, drops accents or
makes letters small. Bits per byte, fertility and epochs mean nothing where much is lost, and a language looks cheap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from glotmix.corpus.document import Document
from glotmix.errors import BadInput
from glotmix.tokens.tokenizer import Tokenizer

WARN_FROM, REFUSE_FROM = 0.01, 0.1
"""Share of tokens that are unknown, or of characters that are lost, from which a tokenizer is warned of and refused."""
SAMPLE_DOCUMENTS, SAMPLE_CHARACTERS = 400, 2000
"""So many documents of a language are tried, and so many characters of each."""


@dataclass(frozen=True)
class Fidelity:
    """What a tokenizer makes of one language, by a sample of its first documents."""

    unknown: float
    """Share of tokens that are the one for what is not known."""
    lost: float
    """Share of characters, white space apart, that decoding does not give back."""

    @property
    def worst(self) -> float:
        """The larger of the two."""
        return max(self.unknown, self.lost)


def fidelity(tokenizer: Tokenizer, documents: Iterable[Document]) -> Fidelity:
    """Encode and decode the beginnings of some documents."""
    texts = [document.text[:SAMPLE_CHARACTERS] for document in islice(documents, SAMPLE_DOCUMENTS)]
    tokens = unknown = characters = lost = 0
    for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
        tokens += len(ids)
        unknown += ids.count(tokenizer.unknown) if tokenizer.unknown is not None else 0
        wanted, given = (Counter("".join(one.split())) for one in (text, tokenizer.decode(ids)))
        characters += wanted.total()
        lost += (wanted - given).total()
    return Fidelity(unknown / max(tokens, 1), lost / max(characters, 1))


def check_fidelity(found: Mapping[str, Fidelity], tokenizer: str) -> None:
    """
    Raises:
        BadInput: languages of which much is lost, all of them.
    """
    bad = [f"{language}: {told(one)}" for language, one in found.items() if one.worst > REFUSE_FROM]
    if bad:
        expected = "train, a byte-level tokenizer or one that knows these languages, or tokens.lossy: allow"
        raise BadInput(f"{tokenizer} loses text. {'; '.join(bad)}", where="tokens.tokenizer", expected=expected)


def told(one: Fidelity) -> str:
    """In words."""
    return f"{one.unknown:.1%} of the tokens are unknown, and {one.lost:.1%} of the letters and signs are lost"
