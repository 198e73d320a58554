"""Stages of a comparison of balancing methods at their true shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from glotmix.footprint import Footprint
from glotmix.mixture.methods import parse
from glotmix.studies.compare.config import CompareConfig
from glotmix.study import rehearsal
from glotmix.study.rehearsal import Stages


def stages(config: CompareConfig, base: Path, runs: int) -> Stages:
    """Training of all methods, the gradients that are probed at its end, and translations.

    Args:
        config: the comparison.
        base: directory that relative paths start from.
        runs: how many are trained.
    """
    study = config.as_training()

    def training() -> list[Footprint]:
        from glotmix.proxy.model import Shape

        vocab = rehearsal.vocabulary(study.tokens, base)
        evaluated = 2 * len(study.languages) * study.tokens.held_out_tokens  # held out, and trained on
        tokens = runs * study.proxy.tokens
        found = rehearsal.training(
            "training the methods", study.proxy, study.sweep, vocab, tokens=tokens, evaluated=evaluated
        )
        reference = any(parse(text)[0].name == "doremi" for text in config.methods)
        beside = 2 * 4 * Shape.of(study.proxy, vocab).parameters if reference else 0  # in fp32, and as products read it
        return [replace(found, kept=found.kept + beside)]

    def probe() -> list[Footprint]:
        from glotmix.probe.gradient_variance import footprint
        from glotmix.proxy.model import Shape

        if not config.probe.sequences:
            return []
        shape = Shape.of(study.proxy, rehearsal.vocabulary(study.tokens, base))
        return [footprint("variance of gradients", shape, len(study.languages), config.probe.sequences)]

    def translation() -> list[Footprint]:
        from glotmix.proxy.greedy import footprint
        from glotmix.proxy.model import Shape

        if not config.learns_pairs or not config.translation.sentences:
            return []
        shape = Shape.of(study.proxy, rehearsal.vocabulary(study.tokens, base))
        sentences = config.translation.sentences * len(study.languages)
        return [footprint("translations", shape, sentences=sentences, models=config.seeds * len(config.methods))]

    return {"methods": training, "probe": probe, "translation": translation}
