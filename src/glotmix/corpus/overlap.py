"""Overlap: texts that stand in more than one language, word for word.

What is the same text in two languages would be read as transfer between them, and a text that is measured in one and
trained on in the other as a great deal of it. So texts are compared by their hashes across all languages: the training
documents whose text another language holds out are left out, and what else is shared is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

MOST_HASHES = 1 << 26
"""Texts that are compared at once; of more only those with the lowest hashes are, and the counts are estimates."""


@dataclass(frozen=True)
class TextOverlap:
    """What languages have in common."""

    texts: Mapping[str, int]
    """Language → distinct texts of it, both sides."""
    shared: Mapping[str, Mapping[str, int]]
    """Language → other language → distinct texts that stand in both; pairs without any are left out."""
    left_out: Mapping[str, int]
    """Language → training documents that are left out, as another language holds their text out."""
    held_out: Mapping[str, int] = field(default_factory=dict)
    """Language → distinct texts that it holds out, of those languages that have some in ``leaks``."""
    leaks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Language → other language → held-out texts of the first that stood in the training text of the second, and were
    left out there; pairs without any are left out."""
    near: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The same of texts that are nearly the same, where these were looked for; a language may be its own other."""

    def share(self, language: str, other: str) -> float:
        """Share of a language's texts that stand in another one too."""
        return self.shared.get(language, {}).get(other, 0) / max(self.texts.get(language, 0), 1)

    def largest(self) -> tuple[float, str, str] | None:
        """The largest share with its languages; None where nothing is shared."""
        pairs = [(self.share(one, other), one, other) for one, row in self.shared.items() for other in row]
        return max(pairs, default=None)

    def to_json(self) -> dict[str, Any]:
        """A JSON value; what there is nothing of is left out."""
        found = asdict(self)
        return {key: value for key, value in found.items() if value or key not in ("held_out", "leaks", "near")}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TextOverlap:
        """What :meth:`to_json` gave."""
        leaks = (value.get("held_out", {}), value.get("leaks", {}), value.get("near", {}))
        return cls(value["texts"], value["shared"], value["left_out"], *leaks)


def shared_texts(hashes: Mapping[str, np.ndarray]) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """Distinct texts of every language, and of every pair of languages that has any in common.

    Args:
        hashes: language to 64-bit hashes of its texts, [n].

    Returns:
        Language to count; language to other language to count.
    """
    names = list(hashes)
    total = sum(map(len, hashes.values()))
    scale = max(1, -(-total // MOST_HASHES))
    limit = np.uint64((1 << 64) // scale - 1)
    distinct = {name: np.unique(hash_N[hash_N <= limit] if scale > 1 else hash_N) for name, hash_N in hashes.items()}
    every_N = np.concatenate([distinct[name] for name in names]) if names else np.empty(0, np.uint64)
    of_N = np.repeat(np.arange(len(names)), [len(distinct[name]) for name in names])
    order = np.argsort(every_N, kind="stable")
    every_N, of_N = every_N[order], of_N[order]
    starts = np.flatnonzero(np.concatenate([[True], every_N[1:] != every_N[:-1]])) if len(every_N) else np.empty(0, int)
    lengths = np.diff(np.append(starts, len(every_N)))
    shared: dict[str, dict[str, int]] = {}
    for start, length in zip(starts[lengths > 1].tolist(), lengths[lengths > 1].tolist(), strict=True):
        group = [names[i] for i in of_N[start : start + length].tolist()]
        for one in group:
            row = shared.setdefault(one, {})
            for other in group:
                if other != one:
                    row[other] = row.get(other, 0) + scale
    return {name: len(distinct[name]) * scale for name in names}, shared


def leaks_of(
    texts: Mapping[str, np.ndarray], held_out: Mapping[str, np.ndarray]
) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """Held-out texts that stand in another language's training text.

    Args:
        texts: language to 64-bit hashes of all its texts, [n].
        held_out: the same of those that it holds out, [m].

    Returns:
        Language to texts held out; language to other language to count.
    """
    measured = {name: np.unique(hash_N) for name, hash_N in held_out.items()}
    every_N = np.unique(np.concatenate([*measured.values(), np.empty(0, np.uint64)]))
    trained = {}
    for name, hash_N in texts.items():
        candidates = np.unique(hash_N[np.isin(hash_N, every_N)])
        trained[name] = np.setdiff1d(candidates, measured[name], assume_unique=True)
    leaks: dict[str, dict[str, int]] = {}
    for name, own in measured.items():
        for other, there in trained.items():
            if name != other and (count := len(np.intersect1d(own, there, assume_unique=True))):
                leaks.setdefault(name, {})[other] = count
    return {name: len(own) for name, own in measured.items()}, leaks


def held_out_elsewhere(held_out: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """For every language the hashes of texts that another one holds out, sorted.

    Args:
        held_out: language to 64-bit hashes of the texts that it holds out, [n].
    """
    distinct = {name: np.unique(hash_N) for name, hash_N in held_out.items()}
    every_N = np.sort(np.concatenate([*distinct.values(), np.empty(0, np.uint64)]))
    twice = np.unique(every_N[1:][every_N[1:] == every_N[:-1]])
    once = np.unique(every_N)
    return {name: np.union1d(np.setdiff1d(once, own, assume_unique=True), twice) for name, own in distinct.items()}
