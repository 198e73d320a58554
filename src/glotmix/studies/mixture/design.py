"""The design of a study alone, for `glotmix design`: nothing is trained."""

from __future__ import annotations

from glotmix.errors import refuse
from glotmix.mixture.balancing import proportional, uniform
from glotmix.mixture.planning import Design
from glotmix.studies.mixture.config import StudyConfig
from glotmix.studies.mixture.plan import plan
from glotmix.studies.mixture.problems import problems
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.studies.start import StudyToRun


def designed(asked: StudyToRun) -> Design:
    """The runs of a study's first design.

    Raises:
        BadInput: the design cannot be made.
    """
    config = asked.config
    assert isinstance(config, StudyConfig)
    study = MixtureStudy.of(config, asked.directory)
    told = study.config.target.unique_tokens
    refuse(problems(study.config, study.base))
    if config.design.base == "uniform":
        natural = uniform(config.languages)
    elif all(name in told for name in config.languages):
        natural = proportional({name: told[name] for name in config.languages})
    else:
        natural = study.natural(study.tokens())
    return Design(tuple(plan(study.config, natural, {size: proxy.tokens for size, proxy in study.sizes.items()})))
