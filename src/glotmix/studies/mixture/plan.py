"""The runs of a mixture study."""

from __future__ import annotations

from collections.abc import Mapping

from glotmix.errors import Infeasible
from glotmix.mixture.design import SMALLEST_SHARE_SEQUENCES, PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.planning import design_of
from glotmix.mixture.schedule import Schedule
from glotmix.studies.mixture.config import StudyConfig
from glotmix.studies.mixture.first_phase import FirstPhase, begin_of
from glotmix.study.config import told_unique
from glotmix.wording import large, listed, rounded_up, share

STEP, MOST_TRIES = 1.25, 30
"""How much more is tried, and how often, until enough passes are found."""


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
        BadInput: fewer than two mixtures to fit laws to, or hardly one that ``design.passes`` allows, said before
            anything is trained.
    """
    try:
        return _plan(config, natural, sizes, unique, first)
    except Infeasible as error:
        if unique is None or config.design.passes is None:
            raise
        raise _too_few_passes(error, config, natural, unique, first) from None


def _plan(
    config: StudyConfig,
    natural: Mixture,
    sizes: Mapping[str, float] | None,
    unique: Mapping[str, float] | None,
    first: FirstPhase | None,
) -> list[PlannedRun]:
    D, least = config.proxy.tokens, SMALLEST_SHARE_SEQUENCES * config.proxy.context / config.proxy.tokens
    most, tokens = config.design.passes, config.target.tokens or D
    caps = None if most is None or unique is None else {name: most * unique[name] / tokens for name in config.languages}
    if config.first_phase is not None and first is None:
        first = _behind(config, natural)
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


def _too_few_passes(
    error: Infeasible, config: StudyConfig, natural: Mixture, unique: Mapping[str, float], first: FirstPhase | None
) -> Infeasible:
    """The same error with what ``design.passes`` leaves of the text, and how many passes leave enough."""
    design, tokens, most = config.design, config.target.tokens or config.proxy.tokens, config.design.passes
    assert most is not None
    whole = sum(unique[one] for one in config.languages)
    words = f"at {most:g} there is hardly a mixture to draw: {large(tokens)} tokens of {large(whole)} unique ones"
    if config.first_phase is not None:
        first = first or _behind(config, natural)
        read = first.before.tokens_at(first.begin)
        had = [f"{one} {read[one] * tokens / unique[one]:.3g} times" for one in config.languages]
        words = f"at {most:g} there is hardly a last phase to draw: the first {share(first.begin)} of the run have read"
        words += f" {listed(had)}"
    for k in range(MOST_TRIES):
        passes = rounded_up(most * STEP ** (k + 1))
        try:
            _plan(config.model_copy(update={"design": design.model_copy(update={"passes": passes})}),
                  natural, None, unique, first)  # fmt: skip
        except Infeasible:
            continue
        return Infeasible(words, where="design.passes", expected=f"{passes:g} or more")
    return Infeasible(words, where="design.passes", expected=error.expected)


def _behind(config: StudyConfig, natural: Mixture) -> FirstPhase:
    """What stands for a first phase that is not known yet: one on the natural mixture."""
    return FirstPhase(Schedule.constant(natural.over(config.languages)), begin_of(config), {})


def unique_as_told(config: StudyConfig) -> dict[str, float] | None:
    """Unique tokens of each language where the study file tells them all, so that caps are known before the corpus is
    read; else None."""
    told = told_unique(config)
    return {name: told[name] for name in config.languages} if all(name in told for name in config.languages) else None
