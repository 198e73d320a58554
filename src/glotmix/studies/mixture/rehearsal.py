"""Stages of a mixture study at their true shapes."""

from __future__ import annotations

from glotmix.errors import refuse
from glotmix.footprint import Footprint
from glotmix.mixture.mixture import Mixture
from glotmix.studies.mixture.base import base_proxy
from glotmix.studies.mixture.plan import plan, unique_as_told
from glotmix.studies.mixture.price import closing_runs, first_phases
from glotmix.studies.mixture.problems import problems
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study import rehearsal
from glotmix.study.rehearsal import Stages


def stages(study: MixtureStudy) -> Stages:
    """Training of the design at every size, and of what closes the loop; nothing of another's trainer is known."""
    config = study.config

    def design() -> list[Footprint]:
        refuse(problems(config, study.base))
        if study.is_elsewhere:
            return []
        uniform = Mixture.normalised(dict.fromkeys(config.languages, 1.0))
        sizes = {size: proxy.tokens for size, proxy in study.sizes.items()}
        runs = plan(config, uniform, sizes, unique_as_told(config))
        vocab = rehearsal.vocabulary(config.tokens, study.base)
        evaluated = (len(config.languages) + len(config.outside)) * config.tokens.held_out_tokens
        found = []
        if config.makes_its_base:
            proxy = base_proxy(config)
            own = rehearsal.training("training the base", proxy, config.sweep, vocab, tokens=proxy.tokens)
            found.append(own)
        firsts, begin = first_phases(config, study.base, runs)
        for size, proxy in {"": config.proxy, **study.sizes}.items():
            tokens = 0.0 if size else (closing_runs(config) * (1 - begin) + firsts * begin) * proxy.tokens
            tokens += sum(run.trained for run in runs if run.size == size)
            stage = f"training proxies{f' at {size}' if size else ''}"
            if tokens:
                found.append(rehearsal.training(stage, proxy, config.sweep, vocab, tokens=tokens, evaluated=evaluated))
        return found

    return {"design": design}
