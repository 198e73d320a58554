"""``glotmix influence RUN…``: which languages' training samples the predictions of finished runs rest on.

A run is a proxy of a study that kept its checkpoints, a run of the experiment of kind ``influence``, a directory of a
transformers model (a classifier or a causal language model, with its trainer's checkpoints or without) or of a LoRA
adapter. Several runs are repeats that differ in their seed: intervals are then over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from glotmix.artifact import read_json, write_json
from glotmix.errors import BadInput
from glotmix.mixture.design import PlannedRun
from glotmix.studies.influence.chats import encoded, read_chats, turns_of
from glotmix.studies.influence.config import ScoresConfig
from glotmix.studies.influence.lenses import game_values, in_run_values, law_weights, side_by_side
from glotmix.studies.influence.scoring import error_of, products_of, query_bytes
from glotmix.study.narrator import Narrator
from glotmix.study.training import reopened
from glotmix.tokens.opening import open_store
from glotmix.transfer.matrix import transfer_table

if TYPE_CHECKING:
    from glotmix.attribution.by_language import InfluenceByLanguage
    from glotmix.attribution.finished import FinishedRun
    from glotmix.attribution.index import ProjectionError
    from glotmix.attribution.influence import InfluenceScores
    from glotmix.attribution.samples import Samples
    from glotmix.attribution.texts import Texts
    from glotmix.studies.influence.findings import Lenses


@dataclass(frozen=True)
class InfluenceRequest:
    """What is asked of the runs."""

    train: Path | None = None
    """Table of training texts, or of chats (``messages``); default what lies beside the run, or the sequences that a
    proxy was trained on."""
    test: Path | None = None
    """Table of test texts; default as above, held-out text of a proxy."""
    train_samples: int = 100
    """Most training samples of each language."""
    test_samples: int = 10
    """Most test samples of each language."""
    similarity: str = "cosine"
    """``cosine`` or ``dot``."""
    weighting: str = "uniform"
    """``uniform``, ``learning_rate`` or ``last``."""
    parameters: str | list[str] = "all"
    """``all``, ``linear``, ``embeddings``, or patterns of parameter names."""
    checkpoints: Sequence[str] | None = None
    """Names of the checkpoints to use; default all."""
    top: int | None = None
    """How many samples count as the top; default a tenth of the training samples, at most 100."""
    length: int = 128
    """Most tokens of a text."""
    batch: int = 16
    """Samples of one pass."""
    processes: int = 1
    """Processes side by side over the training samples."""
    device: str = "auto"
    """Where gradients are computed: ``auto``, ``cpu`` or ``cuda``."""
    query_gb: float | None = None
    """Memory for test gradients in 10⁹ bytes; default half of what is free. Where they do not fit together, training
    gradients are computed once for each part of them."""
    index: Path | None = None
    """Directory of a projected index to score with; made if it is not there."""
    dimensions: int = 16
    """Sides of a projected matrix."""
    lenses: bool = False
    """Lay the shares of a study's proxies beside its game, its law's weights and in-run Shapley of the same runs, which
    are trained again for that."""
    seed: int = 0
    """Seed of the choice of samples, of nulls, intervals and projections."""

    @property
    def how(self) -> ScoresConfig:
        """How gradients are computed, as a study says it."""
        return ScoresConfig(
            parameters=self.parameters,
            batch=self.batch,
            processes=self.processes,
            query_gb=self.query_gb,
            dimensions=self.dimensions,
        )


@dataclass(frozen=True)
class InfluenceResult:
    """What was found."""

    runs: tuple[Path, ...]
    """The runs."""
    by_language: InfluenceByLanguage
    """Shares, translation shares and their course."""
    scores: tuple[InfluenceScores, ...]
    """The scores, one per run."""
    report: Path
    """The page."""
    errors: tuple[ProjectionError, ...] = field(default=())
    """Error of the projection of each run, where an index was asked."""
    lenses: Lenses | None = None
    """The shares beside other lenses, where asked."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        found = self.by_language.to_json()
        found["runs"] = [str(run) for run in self.runs]
        found["method"] = dict(self.scores[0].method)
        found["projection"] = [vars(error) for error in self.errors]
        found["report"] = str(self.report)
        if self.lenses is not None:
            found["lenses"] = {
                "agreements": [vars(agreement) for agreement in self.lenses.agreements],
                "matrices": {name: matrix.to_json()["values"] for name, matrix in self.lenses.matrices.items()},
            }
        return found

    def tables(self) -> list[Table | str]:
        """For a terminal: shares beside their null, then translation shares."""
        positive = self.by_language.positive
        null = positive.chance if positive.same_label is None else positive.same_label
        tables: list[Table | str] = [transfer_table(positive.shares), transfer_table(null)]
        if (translations := self.by_language.translations) is not None:
            table = Table(title="Translations among the foreign top samples", title_justify="left")
            for column in ("test language", "share", "95 % interval", "identities shuffled", "independent"):
                table.add_column(column)
            for name, value in translations.overall.items():
                table.add_row(
                    name,
                    f"{value.value:.3f}",
                    f"{value.low:.3f} to {value.high:.3f}",
                    f"{translations.shuffled[name].value:.3f}",
                    f"{translations.chance[name]:.3f}",
                )
            tables.append(table)
        for run, error in zip(self.runs, self.errors, strict=False):
            tables.append(f"{run.name}: {error_of(error)}")
        if self.lenses is not None:
            table = Table(title="Rank correlations between lenses", title_justify="left")
            for column in ("lenses", "pairs of languages", "Spearman", "95 % interval", "shuffled"):
                table.add_column(column)
            for a in self.lenses.agreements:
                ends = f"{a.low:+.2f} to {a.high:+.2f}", f"{a.null_low:+.2f} to {a.null_high:+.2f}"
                table.add_row(f"{a.one}, {a.other}", f"{a.pairs} ({a.count})", f"{a.value:+.2f}", *ends)
            tables.append(table)
        return [*tables, str(self.report)]


def influence_of(runs: Sequence[Path], asking: InfluenceRequest, out: Path, narrator: Narrator) -> InfluenceResult:
    """Score runs by language, save the scores and write the page.

    Raises:
        BadInput: no run or model there, no samples, samples that do not fit the model, an index of other checkpoints.
    """
    from glotmix.attribution.by_language import by_language
    from glotmix.studies.influence.analysis import browser, method_of, names_of, shown
    from glotmix.studies.influence.findings import InfluenceEvidence, TaskInfluence
    from glotmix.studies.influence.page import write_influence_report

    if not runs:
        raise BadInput("no runs", expected="directories of finished runs")
    scores, errors = [], []
    for run in runs:
        found, error, texts = _scores(run, asking, narrator)
        found.save(out / "scores" / run.resolve().name)
        scores.append(found)
        errors += [] if error is None else [error]
    train = scores[0].train
    m = asking.top or max(1, min(100, len(train) // 10))
    answer = by_language(scores, m, asking.seed)
    sample = _first(scores[0].test.languages, 4)
    task = TaskInfluence(
        ", ".join(run.resolve().name for run in runs),
        f"{len(train)} training samples and {len(scores[0].test)} test samples.",
        train.ids is not None,
        m,
        len(runs),
        {},
        **shown(answer),
        asked=() if texts is None else browser(scores[0], *texts, sample),
    )
    names = names_of([*dict.fromkeys((*train.names, *scores[0].test.names))])
    method = method_of(scores[0].method, {"runs": ", ".join(map(str, runs))})
    title = "Influence across languages"
    question = "Which training samples do predictions rest on?"
    lenses = _lenses(runs, scores, m, asking, narrator) if asking.lenses else None
    evidence = InfluenceEvidence(title, question, names, (task,), lenses, method)
    report = write_influence_report(evidence, out / "report.html")
    result = InfluenceResult(tuple(runs), answer, tuple(scores), report, tuple(errors), lenses)
    write_json(out / "influence.json", _finite(result.to_json()))
    return result


def _lenses(
    runs: Sequence[Path], scores: Sequence[InfluenceScores], m: int, asking: InfluenceRequest, narrator: Narrator
) -> Lenses:
    """TracIn shares beside what else the runs' study says of transfer."""
    from glotmix.attribution.shares import language_shares

    study = runs[0].resolve().parent.parent
    if not (study / "plan.json").is_file() or any(run.resolve().parent.parent != study for run in runs):
        raise BadInput("no runs of one study", where=runs[0], expected="proxies of one study, for the lenses")
    found = {
        "TracIn shares": [language_shares([one], m, np.random.default_rng(asking.seed)).shares for one in scores],
        "in-run Shapley": in_run_values(study, [run.resolve().name for run in runs], narrator),
    }
    for name, matrix in (("game Shapley", game_values(study)), ("law weights", law_weights(study))):
        if matrix is not None:
            found[name] = [matrix]
    return side_by_side(found, asking.seed)


def _scores(
    run: Path, asking: InfluenceRequest, narrator: Narrator
) -> tuple[InfluenceScores, ProjectionError | None, tuple[Texts, Texts] | None]:
    from glotmix.attribution.finished import open_run
    from glotmix.attribution.influence import Described, InfluenceScores
    from glotmix.attribution.parts import placed
    from glotmix.attribution.tracin import queries_at_once

    finished = open_run(run, asking.checkpoints)
    placed(finished.model, asking.device)
    train, test, texts = _samples(finished, asking)
    how = asking.how
    at_once = queries_at_once(finished.model, how.parameters, len(test), query_bytes(how), how.processes)
    if asking.index is None and at_once < len(test):
        narrator.say(
            f"Gradients of {at_once} of {len(test)} test samples fit into memory, so those of training samples are "
            f"computed {-(-len(test) // at_once)} times; --index DIR computes them once"
        )
    index = None if asking.index is None else asking.index / run.resolve().name
    with narrator.bar(f"Influence in {run.name}") as advance:

        def progress(done: int, total: int) -> None:
            advance(f"Influence in {run.name}", done, total)

        products, error = products_of(finished, test, train, how, index, asking.seed, progress)
    method = {"similarity": asking.similarity, "weighting": asking.weighting, "seed": asking.seed}
    if error is not None:
        method |= {"projection": f"{asking.dimensions} × {asking.dimensions} entries of a matrix"}
    value_EQN = products.scores(asking.similarity, asking.weighting)
    method |= {"parameters": ", ".join(products.parameters) if len(products.parameters) < 9 else str(asking.parameters)}
    described = Described.of(test), Described.of(train)
    return InfluenceScores(value_EQN, *described, products.checkpoints, method), error, texts


def _samples(finished: FinishedRun, asking: InfluenceRequest) -> tuple[Samples, Samples, tuple[Texts, Texts] | None]:
    """Training and test samples, with their texts where there are any."""
    from glotmix.attribution.finished import TokenizerEncoder
    from glotmix.attribution.texts import in_one_spelling, read_texts

    run = finished.directory
    paths = [
        given or beside
        for given, beside in ((asking.train, run / "train.parquet"), (asking.test, run / "test.parquet"))
    ]
    if not asking.train and not asking.test and not paths[0].is_file():
        study = run.resolve().parent.parent
        if (study / "plan.json").is_file():
            return *_windows(run.resolve(), study, asking), None
        raise BadInput(
            "nothing says what it was trained on",
            where=run,
            expected="--train and --test: tables with text (or turns of chats), language, and maybe id, label, pair",
        )
    turns = [turns_of(path) for path in paths]
    chats = [None if field is None else read_chats(path, field) for path, field in zip(paths, turns, strict=True)]
    if any(chats) and finished.classes is not None:
        raise BadInput("chats for a classifier", where=paths[0], expected="texts with labels")
    read = [read_texts(path) if side is None else side[1] for path, side in zip(paths, chats, strict=True)]
    last = finished.checkpoints[-1].weights
    beside = last if isinstance(last, Path) else run
    length = min(asking.length, finished.context or asking.length)
    sides, few = [], []
    for texts, side, most in zip(
        in_one_spelling(*read), chats, (asking.train_samples, asking.test_samples), strict=True
    ):
        chosen = _few(texts, most, asking.seed)
        some = texts.take(chosen)
        few.append(some)
        if side is None:
            sides.append(some.encoded(TokenizerEncoder(beside), length, finished.classes))
        else:
            sides.append(encoded([side[0][i] for i in chosen], some, beside, length))
    return sides[0], sides[1], (few[0], few[1])


def _few(texts: Texts, most: int, seed: int) -> list[int]:
    """Places of at most so many of each language, the same ids of all where there are ids."""
    from glotmix.attribution.texts import drawn

    keys = texts.ids or tuple(str(i) for i in range(len(texts)))
    mine = [[i for i, name in enumerate(texts.languages) if name == tag] for tag in dict.fromkeys(texts.languages)]
    return [rows[k] for rows in mine for k in drawn([keys[i] for i in rows], most, seed)]


def _windows(run: Path, directory: Path, asking: InfluenceRequest) -> tuple[Samples, Samples]:
    """Sequences that a proxy was trained on, as it read them, and windows of every target's held-out text."""
    import torch

    from glotmix.attribution.samples import Samples
    from glotmix.proxy.loader import MixtureBatches
    from glotmix.proxy.run import StackRun, steps_of

    planned = {row["run"]: PlannedRun.from_json(row) for row in read_json(directory / "plan.json")}
    if run.name not in planned:
        raise BadInput(f"no run {run.name}", where=directory / "plan.json", expected="a run of this study")
    plan, study = planned[run.name], reopened(directory)
    config = study.config
    store = open_store(directory / "tokens")
    proxy = study.sizes[plan.size] if plan.size else config.proxy
    stack_run = StackRun.of(plan)
    batches = MixtureBatches(store, [stack_run], proxy, study.available(store, proxy))
    rng, T = np.random.default_rng(asking.seed), proxy.context
    trained_on = plan.schedule.average().support
    steps = rng.permutation(steps_of(plan.tokens, proxy))[
        : 3 * asking.train_samples * len(trained_on) // proxy.batch + 1
    ]
    read: dict[str, list[np.ndarray]] = {language: [] for language in trained_on}
    for step in np.sort(steps).tolist():
        for ids, language in zip(batches(0, step), batches.languages_of(0, step), strict=True):
            read[language].append(ids[:T])
    chosen = {
        name: [rows[i] for i in rng.permutation(len(rows))[: asking.train_samples]] for name, rows in read.items()
    }
    train = Samples(
        {"input_ids": torch.from_numpy(np.stack([ids for rows in chosen.values() for ids in rows]).astype(np.int64))},
        tuple(name for name, rows in chosen.items() for _ in rows),
    )
    windows, of = [], []
    for target in (*config.languages, *config.outside):
        tokens = np.asarray(store.held_out(target).tokens)
        places = len(tokens) // T
        if places < 1:
            raise BadInput(f"{target} has {len(tokens)} held-out tokens", where=directory, expected=f"at least {T}")
        for start in T * np.sort(rng.permutation(places)[: asking.test_samples]):
            windows.append(tokens[start : start + T])
            of.append(target)
    test = Samples({"input_ids": torch.from_numpy(np.stack(windows).astype(np.int64))}, tuple(of))
    return train, test


def _first(languages: Sequence[str], most: int) -> list[int]:
    """Places of the first samples of each language."""
    return [
        i for name in dict.fromkeys(languages) for i in [i for i, lang in enumerate(languages) if lang == name][:most]
    ]


def _finite(value: Any) -> Any:
    """NaN as null, which JSON has."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
