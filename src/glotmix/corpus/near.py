"""Near-duplicates: training text that is almost a held-out one, found by MinHash (extra ``near``).

Texts are sets of overlapping runs of words; two are near where the sets have at least ``corpus.near_duplicates`` of
their union in common (Broder 1997, "On the resemblance and containment of documents"). 128 minima of random hashes
estimate that share to some 4 percentage points, and locality-sensitive hashing finds the pairs without comparing all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glotmix.corpus.words import fertility_unit
from glotmix.errors import MissingExtra

PERMUTATIONS = 128
"""Minima of a signature."""
WORDS, CHARACTERS = 5, 12
"""Length of a run: words, or characters in scripts without spaces between words."""

Signature = np.ndarray
"""Minima, uint32 [PERMUTATIONS]."""


def signature(text: str, language: str) -> Signature:
    """The minima of a text.

    Args:
        text: the text; case and white space do not matter.
        language: tag of its language, "" for none.

    Raises:
        MissingExtra: datasketch is not installed.
    """
    by_word = fertility_unit(language) == "word"
    units: Sequence[str] = text.casefold().split() if by_word else "".join(text.casefold().split())
    length, between = (WORDS, " ") if by_word else (CHARACTERS, "")
    runs = {between.join(units[k : k + length]) for k in range(max(1, len(units) - length + 1))}
    found = _library().MinHash(num_perm=PERMUTATIONS)
    found.update_batch([run.encode("utf-8", "surrogatepass") for run in runs])
    return np.asarray(found.hashvalues, dtype=np.uint32)


@dataclass(frozen=True)
class NearHeldOut:
    """Training documents that are near a held-out one."""

    rows: Mapping[str, Sequence[np.ndarray]]
    """Language → for every part of its documents, which of them, booleans."""
    leaks: Mapping[str, Mapping[str, int]]
    """Language → other language (or itself) → held-out documents of the first with a near one in the second's training
    text; pairs without any are left out."""


def near_held_out(
    measured: Mapping[str, Iterable[Signature]],
    parts: Mapping[str, Sequence[tuple[np.ndarray, Iterable[Signature]]]],
    threshold: float,
) -> NearHeldOut:
    """Compare all training documents of all languages with all held-out ones.

    Memory holds the signatures of the held-out documents, half a kilobyte each, and one of training text.

    Args:
        measured: language to the signatures of what it holds out.
        parts: language to its parts: which documents are trained on, booleans, and the signatures of all of them.
        threshold: least share in common that is near.

    Raises:
        MissingExtra: datasketch is not installed.
    """
    library = _library()
    index = library.MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    held: dict[str, tuple[str, Signature]] = {}
    for language, signatures in measured.items():
        for one in signatures:
            key = str(len(held))
            held[key] = (language, one)
            index.insert(key, _minhash(library, one))
    rows, touched = {}, dict[str, dict[str, set[str]]]()
    for language, several in parts.items():
        found = []
        for train_N, signatures in several:
            near_N = np.zeros(len(train_N), dtype=bool)
            for n, one in enumerate(signatures):
                if not train_N[n]:
                    continue
                alike = index.query(_minhash(library, one))
                close = [key for key in alike if np.mean(held[key][1] == one) >= threshold]
                near_N[n] = bool(close)
                for key in close:
                    touched.setdefault(held[key][0], {}).setdefault(language, set()).add(key)
            found.append(near_N)
        rows[language] = found
    leaks = {one: {other: len(keys) for other, keys in row.items()} for one, row in touched.items()}
    return NearHeldOut(rows, leaks)


def _minhash(library: Any, values: Signature) -> Any:
    return library.MinHash(num_perm=PERMUTATIONS, hashvalues=values.astype(np.uint64))


def _library() -> Any:
    try:
        import datasketch
    except ImportError:
        raise MissingExtra("datasketch", "near") from None
    return datasketch
