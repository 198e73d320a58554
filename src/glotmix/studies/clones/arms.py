"""What the laboratory of cloned languages trains: arms, each one store of clones, one proxy and its runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from glotmix.mixture.design import PlannedRun, without_duplicates
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage
from glotmix.proxy.config import ProxyConfig
from glotmix.studies.clones.config import CloneStudyConfig, proxy_at
from glotmix.tokens.clone import ClonesConfig, clone_names
from glotmix.tokens.config import TokensConfig


@dataclass(frozen=True)
class Arm:
    """Runs that share a store and a proxy."""

    name: str
    """Safe as a directory name."""
    about: str
    """What it varies, for people."""
    texts: tuple[str, ...]
    """Texts: one that is cloned, or two real languages."""
    clones: ClonesConfig
    """How ids are made of it."""
    tokens: TokensConfig
    """Tokenizer."""
    proxy: ProxyConfig
    """Shape and training."""
    runs: tuple[PlannedRun, ...]
    """What is trained."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Names of what is trained on."""
        return self.texts if len(self.texts) > 1 else clone_names(self.texts[0], self.clones.n)

    def ids(self, vocab: int) -> int:
        """Ids that it has of a text's so many, as far as they can be told without the text."""
        n = max(self.clones.n, len(self.texts))
        return vocab + round((n - 1) * vocab * (1 - self.clones.anchors))


def arms(config: CloneStudyConfig) -> list[Arm]:
    """Everything that a study file asks for, the main arm first."""
    return [
        _main(config),
        *_updates(config),
        *_sizes(config),
        *_vocabularies(config),
        *_anchors(config),
        *_relatives(config),
        *_many(config),
        *_pair(config),
    ]


def label(share: float) -> str:
    """A share as it stands in names: 0.1 is ``10``, 0.025 is ``2.5``."""
    return f"{100 * share:g}"


def split_name(share: float) -> str:
    """Runs in which the second language has this share, without their seed."""
    return f"split-{label(1 - share)}-{label(share)}"


def split_run(arm: Sequence[str], share: float, tokens: float, seed: int, name: str = "") -> PlannedRun:
    """The second language has ``share`` of the tokens, the first the rest."""
    schedule = Schedule.constant(_mixture(arm, share))
    return PlannedRun(f"{name or split_name(share)}-s{seed}", "method", schedule, round(tokens), seed)


def _mixture(languages: Sequence[str], share: float) -> Mixture:
    rest = len(languages) - 1
    return Mixture.normalised(dict(zip(languages, [1 - share, *[share / rest] * rest], strict=True)))


def _staged(languages: Sequence[str], shares: Sequence[float], tokens: float, seed: int) -> PlannedRun:
    stages = [Stage(i / len(shares), _mixture(languages, share)) for i, share in enumerate(shares)]
    name = "schedule-" + "_".join(map(label, shares))
    return PlannedRun(f"{name}-s{seed}", "method", Schedule(tuple(stages)), round(tokens), seed)


def _alone(config: CloneStudyConfig, languages: Sequence[str], seeds: int) -> list[PlannedRun]:
    D = config.proxy.tokens
    return [
        split_run(languages, 0.0, part * D, config.seed + seed, name=f"alone-{label(part)}")
        for seed in range(seeds)
        for part in config.alone
    ]


def _splits(config: CloneStudyConfig, languages: Sequence[str], seeds: int) -> list[PlannedRun]:
    D = config.proxy.tokens
    return [split_run(languages, p, D, config.seed + seed) for seed in range(seeds) for p in config.splits]


def _main(config: CloneStudyConfig) -> Arm:
    names = clone_names(config.language, 2)
    runs = [*_splits(config, names, config.seeds), *_alone(config, names, config.alone_seeds or config.seeds)]
    D = config.proxy.tokens
    for seed in range(config.seed, config.seed + config.seeds):
        runs += [_staged(names, shares, D, seed) for shares in config.schedules]
        runs += [
            split_run(names, p, times * D, seed, split_name(p).replace("split", f"budget-{times:g}"))
            for times in config.budgets
            for p in config.splits
        ]
    return _arm(config, "main", "two clones", config.clones, runs)


def _updates(config: CloneStudyConfig) -> list[Arm]:
    names = clone_names(config.language, 2)
    found = []
    for share in config.updates:
        batch = round(share * config.proxy.batch)
        runs = [
            split_run(names, 0.0, share * config.proxy.tokens, config.seed + seed, name=f"updates-{label(share)}")
            for seed in range(config.seeds)
        ]
        smaller = config.model_copy(update={"proxy": config.proxy.model_copy(update={"batch": batch})})
        name = f"updates-{label(share)}"
        found.append(_arm(smaller, name, "alone in as many updates as the mixture", config.clones, runs))
    return found


def _sizes(config: CloneStudyConfig) -> list[Arm]:
    """Splits and runs alone at other sizes, each with the batch, rate and clip of its own."""
    found = []
    for name in config.sizes:
        same = {"proxy": proxy_at(config, name), "schedules": [], "budgets": [], "sizes": {}}
        arm = _main(config.model_copy(update=same))
        found.append(dataclasses.replace(arm, name=f"size-{name}", about=f"size {name}"))
    return found


def _vocabularies(config: CloneStudyConfig) -> list[Arm]:
    found = []
    for size, D in config.vocabularies.items():
        tokens = config.tokens.model_copy(update={"vocab_size": size})
        proxy = config.proxy.model_copy(update={"tokens": D})
        seeds = config.vocabulary_seeds
        same = {"tokens": tokens, "proxy": proxy, "seeds": seeds, "alone_seeds": seeds, "schedules": []}
        arm = _main(config.model_copy(update=same | {"budgets": [], "sizes": {}, "splits": config.vocabulary_splits}))
        found.append(dataclasses.replace(arm, name=f"vocabulary-{size}", about=f"vocabulary of {size:,}"))
    return found


def _anchors(config: CloneStudyConfig) -> list[Arm]:
    names = clone_names(config.language, 2)
    return [
        _arm(
            config,
            f"anchors-{label(share)}",
            f"{label(share)} % of the vocabulary shared ({config.anchors.by})",
            config.clones.model_copy(update={"anchors": share, "anchors_by": config.anchors.by}),
            [split_run(names, 0.5, config.proxy.tokens, config.seed + s) for s in range(config.anchors.seeds)],
        )
        for share in config.anchors.shares
    ]


def _relatives(config: CloneStudyConfig) -> list[Arm]:
    names = clone_names(config.language, 2)
    return [
        _arm(
            config,
            f"relatives-{label(share)}",
            f"common ids, {label(share)} % of them permuted",
            config.clones.model_copy(update={"anchors": 1.0, "permuted": share}),
            [split_run(names, 0.5, config.proxy.tokens, config.seed + s) for s in range(config.relatives.seeds)],
        )
        for share in config.relatives.permuted
    ]


def _many(config: CloneStudyConfig) -> list[Arm]:
    if (many := config.many) is None:
        return []
    names = clone_names(config.language, many.n)
    runs = [
        split_run(names, 1 - main, config.proxy.tokens, config.seed + seed, name=f"main-{label(main)}")
        for seed in range(many.seeds)
        for main in many.main
    ]
    clones = config.clones.model_copy(update={"n": many.n})
    return [_arm(config, f"clones-{many.n}", f"{many.n} clones", clones, runs)]


def _pair(config: CloneStudyConfig) -> list[Arm]:
    if (pair := config.pair) is None:
        return []
    from glotmix.language import Language

    texts = tuple(Language.resolve(tag).tag for tag in pair.languages)
    found = []
    for kind in pair.vocabulary:
        runs = [
            split_run(texts, p, config.proxy.tokens, config.seed + seed)
            for seed in range(pair.seeds)
            for p in pair.splits
        ]
        runs += [
            _staged(texts, shares, config.proxy.tokens, config.seed + seed)
            for seed in range(pair.seeds)
            for shares in pair.schedules
        ]
        for own in (0, 1):  # each of the two alone, as the yardstick of the other's transfer
            order = texts[own:] + texts[:own]
            for run in _alone(config, order, pair.seeds):
                name = run.run.replace("alone", f"alone-{texts[own]}")
                mixture = Mixture.normalised({text: run.schedule.average()[text] for text in texts})
                runs.append(dataclasses.replace(run, run=name, schedule=Schedule.constant(mixture)))
        clones = ClonesConfig(anchors=1.0 if kind == "merged" else 0.0)
        arm = _arm(config, f"pair-{kind}", f"{' and '.join(texts)}, {kind} vocabulary", clones, runs)
        found.append(dataclasses.replace(arm, texts=texts))
    return found


def _arm(config: CloneStudyConfig, name: str, about: str, clones: ClonesConfig, runs: Sequence[PlannedRun]) -> Arm:
    proxy = config.proxy.model_copy(update={"keep_checkpoints": True, "simulate_epochs": False})
    return Arm(name, about, (config.language,), clones, config.tokens, proxy, tuple(without_duplicates(runs)))
