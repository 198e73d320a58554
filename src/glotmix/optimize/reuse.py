"""Reuse: a new language joins, and the old ones keep their relative shares, so few runs have to be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture


@dataclass(frozen=True)
class Reuse:
    """A smaller mixture problem, in which everything that is not affected is one frozen block.

    Source: Olmix (arXiv 2602.12237), mixture reuse: the relative ratios of unaffected domains stay as they were found
    and only the affected ones, and the block as a whole, are measured again.
    """

    block: str
    """Name of the frozen block among the languages of the small problem."""
    frozen: Mixture
    """Relative shares inside it."""
    affected: tuple[str, ...]
    """Languages with shares of their own: the new ones, and old ones whose data or neighbours changed."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the small problem: the block and the affected ones."""
        return (self.block, *self.affected)

    def expand(self, small: Mapping[str, float]) -> Mixture:
        """The full mixture of a small one: ``p_l = small_block · frozen_l`` inside the block."""
        shares = {language: small[self.block] * share for language, share in self.frozen.items()}
        return Mixture({**shares, **{language: small[language] for language in self.affected}})

    def shrink(self, full: Mapping[str, float]) -> Mixture:
        """The small mixture of a full one; the shares inside its block are taken to be the frozen ones."""
        inside = sum(full.get(language, 0.0) for language in self.frozen)
        return Mixture({self.block: inside, **{language: full.get(language, 0.0) for language in self.affected}})

    def ceiling(self, ceilings: Mapping[str, float]) -> float:
        """The greatest share of the block at which no frozen language exceeds its own ceiling."""
        return min(
            [
                1.0,
                *(
                    ceilings[language] / share
                    for language, share in self.frozen.items()
                    if share and language in ceilings
                ),
            ]
        )


def reuse(
    optimum: Mapping[str, float], new: Iterable[str], *, affected: Iterable[str] = (), block: str = "kept"
) -> Reuse:
    """Freeze the relative shares of an earlier optimum, except those of ``affected`` languages.

    Args:
        optimum: the mixture found before.
        new: languages that join.
        affected: old languages whose share is to be found again (relatives of the new one, say).
        block: what to call the frozen rest.

    Raises:
        BadInput: a new language that is old, an affected one that is not, or nothing with a share left to freeze.
    """
    new, affected = tuple(new), tuple(affected)
    if old := [language for language in new if language in optimum]:
        raise BadInput(f"{', '.join(old)} is in the earlier mixture", where="new", expected="languages that are not")
    if unknown := [language for language in affected if language not in optimum]:
        raise BadInput(
            f"{', '.join(unknown)} is not in the earlier mixture", where="affected", expected="languages of it"
        )
    if block in optimum or block in new:
        raise BadInput(f"{block} is a language", where="block", expected="another name")
    kept = {language: share for language, share in optimum.items() if language not in affected}
    if not sum(kept.values()) > 0:
        raise BadInput("nothing is left to keep", where="affected", expected="fewer affected languages")
    return Reuse(block, Mixture.normalised(kept), (*affected, *new))
