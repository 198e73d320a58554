"""Counting what a small corpus would become, without writing it: for what is checked before a study begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import Reader
from glotmix.corpus.split import Side, hash64, hashed_documents
from glotmix.errors import BadInput
from glotmix.tokens.build import trained_on
from glotmix.tokens.config import TokensConfig
from glotmix.tokens.fidelity import check_fidelity, fidelity
from glotmix.tokens.pieces import encode
from glotmix.tokens.tokenizer import load_tokenizer


@dataclass(frozen=True)
class Counted:
    """What one language would become."""

    train: int
    """Training tokens, ends of documents included."""
    held_out: int
    """Held-out tokens; no more than are measured on are ever used."""
    documents: int
    """Documents of both sides."""
    hashes: tuple[int, ...]
    """Hashes of the documents' ids, ascending: those below a share of 2^64 are held out."""
    lengths: tuple[int, ...]
    """Tokens of these documents."""

    def train_at(self, share: float) -> int:
        """Training tokens if so large a share were held out."""
        return sum(n for hash, n in zip(self.hashes, self.lengths, strict=True) if hash >= share * 2**64)

    def share_for(self, tokens: int) -> float | None:
        """Share to hold out at which both sides have at least so many tokens; None where no share does."""
        sums = np.cumsum(self.lengths)
        enough = int(np.searchsorted(sums, tokens))
        if enough >= len(sums) or sums[-1] - sums[enough] < tokens:
            return None
        share = float(np.ceil(100 * (self.hashes[enough] + 1) / 2**64)) / 100
        return share if share < 0.5 else None


def count_tokens(
    reader: Reader, languages: Sequence[str], config: TokensConfig, held_out: float, base: Path
) -> tuple[dict[str, Counted], list[BadInput]]:
    """Tokens of every language that can be read, as :func:`glotmix.tokens.build.build_store` would make them, and why
    others cannot. The whole corpus is held in memory."""
    read: dict[str, list[tuple[Document, Side, int]]] = {}
    problems: list[BadInput] = []
    for language in languages:
        try:
            read[language] = list(hashed_documents(reader, language, held_out))
        except BadInput as error:
            problems.append(error)
    if not read:
        return {}, problems
    try:
        if config.tokenizer == "train":
            trained = {name: rows for name, rows in read.items() if not reader.config.is_target(name)}
            training = {name: (d for d, side, _ in rows if side == "train") for name, rows in trained.items()}
            tokenizer = trained_on(training, config)
        else:
            tokenizer = load_tokenizer(config.tokenizer, base)
            if config.lossy == "refuse":
                tried = {name: fidelity(tokenizer, (d for d, _, _ in rows)) for name, rows in read.items()}
                check_fidelity(tried, config.tokenizer)
    except BadInput as error:
        return {}, [*problems, error]
    held = {name: {hash for _, side, hash in rows if side == "held_out"} for name, rows in read.items()}
    found = {}
    for name, rows in read.items():
        others = set().union(*(hashes for other, hashes in held.items() if other != name))
        kept = [(document, side) for document, side, hash in rows if side == "held_out" or hash not in others]
        lengths = [len(ids) + 1 for ids in encode(tokenizer, [document.text for document, _ in kept])]
        if reader.config.is_pairs(name):
            prompts = encode(tokenizer, [document.prompt for document, _ in kept])
            lengths = [n + len(ids) + 1 for n, ids in zip(lengths, prompts, strict=True)]
        hashes = [hash64(document.id) for document, _ in kept]
        order = sorted(range(len(kept)), key=hashes.__getitem__)
        found[name] = Counted(
            sum(n for n, (_, side) in zip(lengths, kept, strict=True) if side == "train"),
            sum(n for n, (_, side) in zip(lengths, kept, strict=True) if side == "held_out"),
            len(kept),
            tuple(hashes[i] for i in order),
            tuple(lengths[i] for i in order),
        )
    return found, problems
