"""The model that a study's proxies go on from: made by the study itself, or somebody's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from glotmix.artifact import write_json
from glotmix.errors import BadInput, GlotmixError
from glotmix.mixture.balancing import proportional
from glotmix.mixture.design import SEEDS_PER_STUDY, PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.config import ProxyConfig
from glotmix.studies.mixture.config import BaseConfig, StudyConfig
from glotmix.study.config import TargetConfig, TrainingConfig
from glotmix.study.starting import digest_of, is_local, place_of_base
from glotmix.study.training import Training
from glotmix.sweep.sweep import StartingModel
from glotmix.tokens.store import TokenStore
from glotmix.tokens.tokenizer import Tokenizer, load_tokenizer

FOLDER = "base"
"""Where, in a study's directory, the model lies that it makes itself: tokens, one run, its checkpoint."""
NOTE = "base.json"
"""What is known of the model: shape, digest, tokens, and its losses before any further training."""
SEED = SEEDS_PER_STUDY - 1
"""Seed of its training, in each study's range: none of its proxies has it."""


def base_proxy(config: StudyConfig) -> ProxyConfig:
    """How a study trains the model that it makes itself."""
    assert config.base is not None
    own = {"tokens": config.base.tokens, "learning_rate": config.base.learning_rate}
    update = {name: value for name, value in own.items() if value is not None}
    return config.proxy.model_copy(update=update | {"evaluations": 1, "simulate_epochs": False})


def base_training(config: StudyConfig) -> TrainingConfig:
    """The part of a study that makes its base."""
    assert config.base is not None
    return TrainingConfig(
        name=f"{config.name}: base",
        languages=config.base.languages,
        seed=config.seed,
        corpus=config.corpus,
        tokens=config.tokens,
        proxy=base_proxy(config),
        target=TargetConfig(),
        sweep=config.sweep,
    )


def tokenizer_of_base(study: Training, config: StudyConfig) -> Tokenizer | None:
    """The tokenizer of the model that proxies go on from; None where they start from random weights.

    Raises:
        BadInput: there is no such model, or it has no tokenizer.
    """
    if config.proxy.base is not None:
        place = place_of_base(config.proxy.base, study.base, weights=False)
        return load_tokenizer(str(place.resolve()), place)
    return None if config.base is None else _training(study, config).tokens().tokenizer()


def open_base(study: Training, config: StudyConfig) -> StartingModel | None:
    """The model that proxies go on from, trained now where the study makes it itself; None for random weights.

    Raises:
        BadInput: there is no such model.
        GlotmixError: its training failed.
    """
    if config.proxy.base is not None:
        place = place_of_base(config.proxy.base, study.base)
        return StartingModel(place, digest_of(place))
    return None if config.base is None else _made(_training(study, config), config.base)


def _training(study: Training, config: StudyConfig) -> Training:
    place, whole = study.directory / FOLDER, study.whole or study.directory
    return Training(base_training(config), study.base, place, study.narrator, study.mirror, whole=whole)


def _made(training: Training, told: BaseConfig) -> StartingModel:
    """The model that a study trains itself, on its languages alone."""
    from glotmix.proxy.run import steps_of

    store, place, config = training.tokens(), training.directory, training.config
    mixture = Mixture.normalised(told.mixture) if told.mixture else proportional(training.unique(store))
    tokens, seed = round(config.proxy.tokens), SEEDS_PER_STUDY * config.seed + SEED
    run = PlannedRun("base", "base", Schedule.constant(mixture), tokens, seed, keep=True)
    write_json(place / "plan.json", [run.to_json()])
    spec = training.sweep_spec(store, 1)
    if failed := training.run([run], spec, "Training the base"):
        raise GlotmixError(f"the base could not be trained: {failed['base']}; the log is in {place / 'jobs'}")
    training.measure([run], spec, {})
    kept = place / "runs" / run.run / "checkpoints" / f"step-{steps_of(tokens, config.proxy)}"
    return StartingModel(kept, digest_of(kept))


def note_base(
    study: Training, config: StudyConfig, start: StartingModel, store: TokenStore, losses: Mapping[str, float]
) -> None:
    """Write ``base.json``."""
    from glotmix.proxy.model import Shape

    shape = Shape.of(config.proxy, store.vocab_size)
    told = config.base
    write_json(
        study.directory / NOTE,
        {
            "model": config.proxy.base or f"{FOLDER}/",
            "digest": start.digest,
            "N": shape.N,
            "parameters": shape.parameters,
            "tokens": None if told is None else told.tokens,
            "languages": [] if told is None else told.languages,
            "losses": dict(losses),
        },
    )


def problems_of_base(config: StudyConfig, base: Path) -> list[BadInput]:
    """What can be known to be wrong before anything is read."""
    found: list[BadInput] = []
    if config.proxy.base is not None:
        place = place_of_base(config.proxy.base, base, weights=False)
        if is_local(config.proxy.base, base):
            digest_of(place)
        load_tokenizer(str(place.resolve()), place)
    elif config.makes_its_base and config.sweep.executor == "external":
        message = "the base is made here, and proxies are trained by your trainer"
        found.append(BadInput(message, where="base", expected="proxy.base, the checkpoint that your trainer loads"))
    return found
