"""The design of a study alone, for `glotmix design`: nothing is trained."""

from __future__ import annotations

from glotmix.errors import refuse
from glotmix.mixture.balancing import proportional, uniform
from glotmix.mixture.planning import Design
from glotmix.studies.mixture.config import StudyConfig
from glotmix.studies.mixture.first_phase import first_phase_of
from glotmix.studies.mixture.plan import plan, unique_as_told
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
    refuse(problems(study.config, study.base))
    unique = unique_as_told(study.config)
    if unique is None and (config.design.base == "natural" or config.design.passes is not None):
        unique = study.unique(study.tokens())
    natural = uniform(config.languages) if unique is None else proportional(unique)
    sizes = {size: proxy.tokens for size, proxy in study.sizes.items()}
    first = first_phase_of(config, study.base, natural)
    return Design(tuple(plan(study.config, natural, sizes, unique, first)))
