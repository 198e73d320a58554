"""Names of groups in two places: what they share is taken away, and spellings of one language are one name."""

from __future__ import annotations

from collections.abc import Sequence

from glotmix.language import same_language

MAX_CUTS = 12
"""Separators of which column names may share more than is looked at: every pair of cuts of two tables is compared."""


def named_alike(
    p_columns: Sequence[str], l_columns: Sequence[str], *, loose_p: bool, loose_l: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Group names of shares and of losses, with what loose columns share in front and behind taken away.

    ``train_the_pile_arxiv`` and ``metric/the_pile_arxiv_val_loss`` both become ``arxiv``. So much of the shared part is
    taken away as makes most names equal, and then leaves the shortest names: two targets ``pubmed_central`` and
    ``pubmed_abstracts`` keep what they share if the mixtures have it. A target that is another spelling of a group's
    language (``est_Latn`` of ``et``) gets the group's name.
    """
    several_p = _stripped(p_columns) if loose_p else [tuple(p_columns)]
    several_l = _stripped(l_columns) if loose_l else [tuple(l_columns)]
    pairs = [(p, l) for p in several_p for l in several_l]  # noqa: E741 - the tables' letters
    languages, targets = min(
        pairs, key=lambda pair: (-len(set(pair[0]) & set(pair[1])), sum(map(len, pair[0] + pair[1])))
    )
    taken = set(languages) | set(targets)
    found = []
    for target in targets:
        alike = [] if target in languages else [name for name in languages if same_language(name, target)]
        found.append(alike[0] if len(alike) == 1 and alike[0] not in targets else target)
    return languages, tuple(found) if len(set(found)) == len(found) and taken else targets


def _stripped(columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The names under every cut, at a separator, of the common beginning and the common end."""
    fronts, backs = _cuts(columns), _cuts([column[::-1] for column in columns])
    named = [tuple(column[i : len(column) - j] for column in columns) for i in fronts for j in backs]
    return [names for names in named if all(names) and len(set(names)) == len(columns)]


def _cuts(columns: Sequence[str]) -> list[int]:
    """Lengths of the beginnings that all columns share and that end in a separator; 0 is one of them."""
    common = 0
    while all(len(column) > common and column[common] == columns[0][common] for column in columns):
        common += 1
    ends = [n for n in range(1, common + 1) if columns[0][n - 1] in "_/. -"]
    return [0, *ends[-MAX_CUTS:]]
