"""The runs of a mixture study."""

from __future__ import annotations

from collections.abc import Mapping

from glotmix.mixture.design import SMALLEST_SHARE_SEQUENCES, PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.planning import design_of
from glotmix.mixture.schedule import Schedule
from glotmix.studies.mixture.config import StudyConfig
from glotmix.studies.mixture.first_phase import FirstPhase, begin_of
from glotmix.study.config import told_unique


def plan(
    config: StudyConfig,
    natural: Mixture,
    sizes: Mapping[str, float] | None = None,
    unique: Mapping[str, float] | None = None,
    first: FirstPhase | None = None,
) -> list[PlannedRun]:
    """All runs of a study's design, in the order in which they are worth training, without duplicates.

    Args:
        config: the study; ``config.design`` says what, ``config.proxy.tokens`` how long.
        natural: proportional mixture of the corpus, the base where ``design.base`` is ``natural``.
        sizes: sizes of ``design.ladder`` to the tokens of their proxies.
        unique: unique tokens of each language in the target's corpus, for ``design.passes``; None before they are
            known, and then nothing is limited.
        first: what is behind the runs, where the study asks for a last phase; None before it is known, and then one on
            the natural mixture stands for it.

    Raises:
        BadInput: fewer than two mixtures to fit laws to, said before anything is trained.
    """
    D, least = config.proxy.tokens, SMALLEST_SHARE_SEQUENCES * config.proxy.context / config.proxy.tokens
    most, tokens = config.design.passes, config.target.tokens or D
    caps = None if most is None or unique is None else {name: most * unique[name] / tokens for name in config.languages}
    if config.first_phase is not None and first is None:
        first = FirstPhase(Schedule.constant(natural.over(config.languages)), begin_of(config), {})
    if first is not None:  # what is drawn is the last phase: its limits are what the first one leaves
        left, read = 1 - first.begin, first.before.tokens_at(first.begin)
        least /= left
        caps = None if caps is None else {name: max(cap - read[name], 0.0) / left for name, cap in caps.items()}
    found = design_of(
        config.design,
        config.languages,
        natural,
        D,
        seed=config.seed,
        least=least,
        sizes=sizes,
        caps=caps,
        groups=config.groups,
        decay=config.proxy.decay,
    )
    return list(found.runs) if first is None else [first.last(run, config.seed) for run in found.runs]


def unique_as_told(config: StudyConfig) -> dict[str, float] | None:
    """Unique tokens of each language where the study file tells them all, so that caps are known before the corpus is
    read; else None."""
    told = told_unique(config)
    return {name: told[name] for name in config.languages} if all(name in told for name in config.languages) else None
