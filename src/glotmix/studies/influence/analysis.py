"""What the page of influence shows, from what the experiment has found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glotmix.artifact import read_json
from glotmix.estimate import Estimate, over_repeats
from glotmix.report.from_law import about
from glotmix.studies.influence.findings import (
    CheckpointShares,
    ImbalanceRow,
    InfluenceEvidence,
    OverlapRow,
    Reinforcing,
    RemovalRow,
    ScoreRow,
    ShownSample,
    ShownTest,
    TaskInfluence,
)
from glotmix.transfer.matrix import TransferMatrix

if TYPE_CHECKING:
    from glotmix.attribution.by_language import InfluenceByLanguage
    from glotmix.attribution.influence import InfluenceScores
    from glotmix.attribution.shares import LanguageShares
    from glotmix.attribution.texts import Texts
    from glotmix.attribution.translations import TranslationShare
    from glotmix.studies.influence.config import InfluenceConfig
    from glotmix.studies.influence.task_runs import TaskStudy

SHOWN = 8
"""Helpful and harmful samples of each test sample in the browser."""


def evidence_of(
    config: InfluenceConfig, studies: Sequence[TaskStudy], tested: Mapping[str, Mapping[str, Any]]
) -> InfluenceEvidence:
    """The page of an experiment."""
    return InfluenceEvidence(
        config.name,
        config.description,
        names_of(config.languages),
        tuple(_task(study, tested.get(study.task.name, {})) for study in studies),
        method=method_of(
            config.scores.model_dump(mode="json", exclude={"method", "query_gb", "dimensions"}),
            {f"products of {study.task.name}": study.scores(0).method.get("products", "exact") for study in studies},
            config.tuning.model_dump(mode="json"),
        ),
    )


def names_of(languages: Sequence[str]) -> dict[str, str]:
    """What a page calls languages; a tag that is none is a group's own name."""
    from glotmix.errors import BadInput

    found = {}
    for tag in languages:
        try:
            found[tag] = about(tag).name
        except BadInput:
            found[tag] = tag
    return found


def method_of(*sections: Mapping[str, Any]) -> dict[str, str]:
    """Fields and values for the record."""
    return {name.replace("_", " "): str(value) for section in sections for name, value in section.items()}


def _task(study: TaskStudy, tested: Mapping[str, Any]) -> TaskInfluence:
    from glotmix.attribution.by_language import by_language
    from glotmix.studies.influence.task_runs import chosen_tests

    config, task = study.config, study.task
    runs = [study.scores(seed) for seed in range(config.seeds)]
    found = by_language(runs, config.scores.top, config.seed)
    accuracies = [read_json(study.run(seed) / "accuracy.json") for seed in range(config.seeds)]
    removal, lds = tested.get("removal"), tested.get("lds") or {}
    return TaskInfluence(
        task.name,
        task.about,
        task.parallel,
        found.m,
        config.seeds,
        {name: over_repeats([found[name] for found in accuracies], within=(0, 1)) for name in config.languages},
        **shown(found),
        asked=browser(runs[0], *study.texts, chosen_tests(study)),
        overlap=tuple(_overlap(study, runs, language) for language in config.zero_shot),
        imbalance=tuple(row for name in config.imbalance for row in _imbalance(study, runs, name)),
        removal=()
        if removal is None
        else tuple(
            RemovalRow(kind, Estimate(value, _or_none(removal.low[kind]), _or_none(removal.high[kind])))
            for kind, value in removal.change.items()
        ),
        removed=config.removal.samples,
        scores=tuple(
            ScoreRow(name, Estimate(score.value, _or_none(score.low), _or_none(score.high)))
            for name, score in lds.items()
        ),
        subsets=config.subsets,
    )


def shown(found: InfluenceByLanguage) -> dict[str, Any]:
    """Fields of a :class:`TaskInfluence` that shares and translation shares make up."""
    course: dict[str, tuple[CheckpointShares, ...]] = {}
    for language in found.positive.shares.targets:
        if language not in found.positive.shares.sources:
            continue
        course[language] = tuple(
            CheckpointShares(
                moment.checkpoint,
                cell(moment.shares.shares, language, language),
                cell(moment.shares.shuffled, language, language),
                None if moment.translations is None else figure(moment.translations.overall[language]),
                None if moment.translations is None else figure(moment.translations.shuffled[language]),
            )
            for moment in found.moments
        )
    translations = found.translations
    return {
        "shares": found.positive.shares,
        "null": null_of(found.positive),
        "negative": found.negative.shares,
        "reinforcing": ()
        if translations is None
        else tuple(
            Reinforcing(name, figure(value), translations.chance[name], figure(translations.shuffled[name]))
            for name, value in translations.overall.items()
        ),
        "course": course,
    }


def null_of(found: LanguageShares) -> TransferMatrix:
    """Random samples of the same label; of all samples where there are no labels."""
    return found.chance if found.same_label is None else found.same_label


def browser(scores: InfluenceScores, train: Texts, test: Texts, places: Sequence[int]) -> tuple[ShownTest, ...]:
    """Test samples with what their predictions rest on."""
    by_id: dict[tuple[str, str], str] = {}
    if train.ids is not None:
        by_id = {(lang, i): text for lang, i, text in zip(train.languages, train.ids, train.texts, strict=True)}
    m = min(SHOWN, len(train))
    top_QM, bottom_QM = scores.top(m), scores.top(m, negative=True)
    listed_Q = scores.top(min(len(train), 100))
    value_QN = scores.value_QN

    def sample(q: int, n: int) -> ShownSample:
        language, identity = train.languages[n], None if train.ids is None else train.ids[n]
        own = test.languages[q]
        foreign = language != own
        there = {train.ids[i] for i in listed_Q[q] if train.languages[i] == own} if train.ids is not None else set()
        return ShownSample(
            language,
            "" if train.labels is None else train.labels[n],
            _both(train, n),
            float(value_QN[q, n]),
            by_id.get((own, identity), "") if foreign and identity is not None else "",
            foreign and identity in there,
        )

    return tuple(
        ShownTest(
            test.languages[q],
            "" if test.labels is None else test.labels[q],
            _both(test, q),
            tuple(sample(q, int(n)) for n in top_QM[q]),
            tuple(sample(q, int(n)) for n in bottom_QM[q]),
        )
        for q in places
    )


def _both(texts: Texts, i: int) -> str:
    return texts.texts[i] if texts.pairs is None else f"{texts.texts[i]} ‖ {texts.pairs[i]}"


def _overlap(study: TaskStudy, regular: Sequence[InfluenceScores], language: str) -> OverlapRow:
    """The language's own test samples: what a run without it rests on, against what the regular run rests on."""
    from glotmix.attribution.influence import Described, InfluenceScores
    from glotmix.attribution.overlap import top_overlap
    from glotmix.studies.influence.task_runs import Variant

    m = study.config.scores.top
    zero = [study.scores(seed, Variant(language)) for seed in range(study.config.seeds)]
    there = [top_overlap(a, b, m) for a, b in zip(regular, zero, strict=True)]
    # The ceiling is taken among the same candidates: the regular runs without the language's own samples.
    foreign = [n for n, name in enumerate(regular[0].train.languages) if name != language]
    train = regular[0].train
    few = Described(
        tuple(train.languages[n] for n in foreign),
        None if train.ids is None else tuple(train.ids[n] for n in foreign),
        None if train.labels is None else tuple(train.labels[n] for n in foreign),
    )
    cut = [InfluenceScores(r.value_EQN[:, :, foreign], r.test, few, r.checkpoints) for r in regular]
    pairs = [(a, b) for i, a in enumerate(cut) for b in cut[i + 1 :]]
    ceiling = [top_overlap(a, b, m).by_language[language] for a, b in pairs]
    return OverlapRow(
        language,
        over_repeats([overlap.by_language[language] for overlap in there], within=(0, 1)),
        over_repeats(ceiling, within=(0, 1)) if ceiling else Estimate(float("nan")),
        there[0].chance,
    )


def _imbalance(study: TaskStudy, regular: Sequence[InfluenceScores], language: str) -> list[ImbalanceRow]:
    """What predictions in a language, and in the others, rest on where there is more or less of its data."""
    m = study.config.scores.top

    def found(runs: Sequence[InfluenceScores]) -> np.ndarray:
        """Share of the language among the top samples, of its own tests and of the others', run by run."""
        values = []
        for run in runs:
            is_own_N = np.array([name == language for name in run.train.languages])
            share_Q = is_own_N[run.top(m)].mean(1)
            is_own_Q = np.array([name == language for name in run.test.languages])
            values.append([share_Q[is_own_Q].mean(), share_Q[~is_own_Q].mean()])
        return np.array(values)

    usual = found(regular)
    variants = [one for one in study.imbalances() if one.language == language]
    rows = []
    for factor, variant in sorted([(1.0, None), *((one.factor, one) for one in variants)], key=lambda one: one[0]):
        runs = regular if variant is None else [study.scores(seed, variant) for seed in range(study.config.seeds)]
        there = found(runs)
        part = sum(name == language for name in runs[0].train.languages) / len(runs[0].train)
        own, others = (over_repeats(there[:, i].tolist(), within=(0, 1)) for i in (0, 1))
        changes = [over_repeats((there - usual)[:, i].tolist()) for i in (0, 1)]
        rows.append(ImbalanceRow(language, factor, part, own, changes[0], others, changes[1]))
    return rows


def cell(matrix: TransferMatrix, target: str, source: str) -> Estimate:
    """One value of a matrix with its interval."""
    low, high = matrix.interval(target, source) or (None, None)
    return Estimate(matrix[target, source], low, high)


def figure(of: TranslationShare) -> Estimate:
    """A translation share."""
    return Estimate(of.value, _or_none(of.low), _or_none(of.high))


def _or_none(x: float) -> float | None:
    return None if np.isnan(x) else float(x)
