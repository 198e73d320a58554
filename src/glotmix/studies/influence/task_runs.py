"""The runs of one task: tuned, scored and retrained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glotmix.artifact import creating, fingerprint, open_artifact, read_json, write_json
from glotmix.errors import BadInput, MissingExtra
from glotmix.studies.influence.config import ClassificationTaskConfig, InfluenceConfig, ScoresConfig
from glotmix.studies.influence.scoring import error_of, is_projected, products_of
from glotmix.studies.influence.tasks import texts_of

if TYPE_CHECKING:
    from glotmix.attribution.finished import FinishedRun
    from glotmix.attribution.influence import InfluenceScores
    from glotmix.attribution.lds import LinearDatamodelingScore
    from glotmix.attribution.removal import Removal, Retrain
    from glotmix.attribution.texts import Texts


RUN = "tuned run"


@dataclass(frozen=True)
class Variant:
    """A training that has another number of one language's samples."""

    language: str
    """The language."""
    factor: float = 0.0
    """Its samples, in multiples of what it has otherwise; 0 leaves it out."""

    @property
    def suffix(self) -> str:
        """Of directory names."""
        return f"-{self.language}-x{self.factor:g}" if self.factor else f"-without-{self.language}"

    def made_from(self) -> dict[str, Any]:
        """What a run of it is made from, beside the rest."""
        told: dict[str, Any] = {"without": None if self.factor else self.language}
        return told | ({"imbalance": [self.language, self.factor]} if self.factor else {})


@dataclass(frozen=True)
class TaskStudy:
    """One task of the experiment, and its part of the directory."""

    config: InfluenceConfig
    """The study file."""
    task: ClassificationTaskConfig
    """The task."""
    base: Path
    """Directory of the model that is tuned."""
    root: Path
    """Directory that relative paths of the file start from."""
    directory: Path
    """The experiment's directory."""

    @cached_property
    def texts(self) -> tuple[Texts, Texts]:
        """Training and test texts, kept as tables beside the runs."""
        from glotmix.attribution.texts import read_texts

        place = self.directory / "tasks" / self.task.name
        made_from = {
            "task": self.task.determining(),
            "languages": self.config.languages,
            "seed": self.config.seed,
        }
        if open_artifact(place, "texts", made_from) is None:
            train, test = texts_of(self.task, self.config, self.root)
            with creating(place, "texts", made_from) as part:
                train.save(part / "train.parquet")
                test.save(part / "test.parquet")
        return read_texts(place / "train.parquet"), read_texts(place / "test.parquet")

    def fresh(self, seed: int) -> Any:
        """The base model with a new head."""
        import torch
        from transformers import AutoModelForSequenceClassification

        from glotmix.attribution.finished import quiet
        from glotmix.attribution.parts import placed

        torch.manual_seed(seed)
        names = dict(enumerate(self.classes))
        try:
            with quiet():
                model = AutoModelForSequenceClassification.from_pretrained(
                    self.base,
                    num_labels=len(names),
                    id2label=names,
                    label2id={name: i for i, name in names.items()},
                    pad_token_id=self.encoder.padding,
                    local_files_only=True,
                    dtype=torch.float32,  # whatever it was saved in
                )
        except (OSError, ValueError) as error:
            raise BadInput(f"cannot be opened: {str(error).splitlines()[0]}", where=self.base) from None
        return placed(model, self.config.device)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Labels of the task."""
        return self.texts[0].classes

    @cached_property
    def encoder(self) -> Any:
        """Tokenizer of the base model."""
        from glotmix.attribution.finished import TokenizerEncoder

        return TokenizerEncoder(self.base)

    def samples(self, texts: Texts) -> Any:
        """Texts as the model reads them."""
        return texts.encoded(self.encoder, self.config.tuning.length, self.classes)

    @cached_property
    def train(self) -> Any:
        """Training samples."""
        return self.samples(self.texts[0])

    @cached_property
    def test(self) -> Any:
        """Test samples."""
        return self.samples(self.texts[1])

    def tunings(self) -> list[tuple[int, Variant | None]]:
        """Seed of every tuning that is scored, and how its training samples differ from all, if they do."""
        every = [None, *map(Variant, self.config.zero_shot), *self.imbalances()]
        return [(seed, variant) for variant in every for seed in range(self.config.seeds)]

    def imbalances(self) -> list[Variant]:
        """Trainings with more or less of a language."""
        return [Variant(name, factor) for name, factors in self.config.imbalance.items() for factor in factors]

    def trained_on(self, variant: Variant | None) -> Texts:
        """Training texts of a tuning: where there are more of a language, all that it has otherwise are among them."""
        from glotmix.attribution.texts import Texts, drawn

        texts = self.texts[0]
        if variant is None:
            return texts
        others = texts.without(variant.language)
        if not variant.factor:
            return others
        wanted = round(self.task.train * variant.factor)
        if variant.factor > 1:
            texts = texts_of(self.task.model_copy(update={"train": wanted}), self.config, self.root)[0]
        own = texts.take([i for i, name in enumerate(texts.languages) if name == variant.language])
        keys = own.ids or tuple(map(str, range(len(own))))
        return Texts.joined(others, own.take(drawn(keys, wanted, self.config.seed)))

    def planned(self) -> list[Path]:
        """Directories of all tunings that are scored."""
        return [self.place(seed, variant) for seed, variant in self.tunings()]

    def place(self, seed: int, variant: Variant | None = None) -> Path:
        """Directory of a tuning."""
        suffix = "" if variant is None else variant.suffix
        return self.directory / "runs" / f"{self.task.name}{suffix}-s{seed}"

    def run(self, seed: int, variant: Variant | None = None) -> Path:
        """Directory of a tuning, done if it is not; ``glotmix influence`` opens it too."""
        from glotmix.attribution.classifier import accuracies, tune
        from glotmix.attribution.finished import quiet

        place = self.place(seed, variant)
        differs = {"without": None} if variant is None else variant.made_from()
        made_from = self._made_from() | {"run": seed, **differs}
        if open_artifact(place, RUN, made_from) is None:
            texts = self.trained_on(variant)
            model = self.fresh(seed)
            with creating(place, RUN, made_from) as part, quiet():
                tune(model, self.samples(texts), self.config.tuning, seed, keep=part / "checkpoints")
                write_json(part / "accuracy.json", accuracies(model, self.test))
                texts.save(part / "train.parquet")
                self.texts[1].save(part / "test.parquet")
                for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
                    if (self.base / name).is_file():
                        (part / name).write_bytes((self.base / name).read_bytes())
        return place

    def _made_from(self) -> dict[str, Any]:
        config = self.config.model_dump(mode="json", exclude={"base": {"architecture"}})
        keys = ("languages", "seed", "base", "tuning")
        return {"task": self.task.determining(), **{key: config[key] for key in keys}}

    def opened(self, run: Path) -> FinishedRun:
        """A tuned run, on the device of the study."""
        from glotmix.attribution.finished import open_run
        from glotmix.attribution.parts import placed

        finished = open_run(run)
        placed(finished.model, self.config.device)
        return finished

    def scores(self, seed: int, variant: Variant | None = None, **changes: str) -> InfluenceScores:
        """Influence in a run, computed if it is not; ``changes`` to how (similarity, weighting)."""
        from glotmix.attribution.influence import InfluenceScores

        how = self.config.scores.model_copy(update=changes)
        place, made_from = self._scored(seed, variant, how)
        if open_artifact(place, "scores", made_from) is None:
            finished = self.opened(self.run(seed, variant))
            train = self.samples(self.trained_on(variant))
            projected = is_projected(self.directory, self.task.name, how, finished.model, len(self.test))
            index = self.directory / "indices" / finished.directory.name if projected else None
            products, error = products_of(finished, self.test, train, how, index, self.config.seed)
            k = how.dimensions
            method = "exact" if error is None else f"projected, {k} × {k} of a matrix; {error_of(error)}"
            # The linear datamodeling score wants both similarities of the first run; gradients are the dear part.
            both = ("cosine", "dot") if (seed, variant) == (0, None) and self.config.subsets else (how.similarity,)
            for similarity in both:
                found = InfluenceScores.of(products, self.test, train, similarity=similarity, weighting=how.weighting)
                found = replace(found, method={**found.method, "products": method})
                at, of = self._scored(seed, variant, how.model_copy(update={"similarity": similarity}))
                if open_artifact(at, "scores", of) is None:
                    with creating(at, "scores", of) as part:
                        found.save(part)
        return InfluenceScores.load(place)

    def _scored(self, seed: int, variant: Variant | None, how: ScoresConfig) -> tuple[Path, dict[str, Any]]:
        """Where a run's scores are kept, and what they are made from."""
        name = self.place(seed, variant).name
        apart = {"top", "processes", "batch", "query_gb", "method", "dimensions"}
        made_from = {"run": name, **self._made_from(), "scores": how.model_dump(mode="json", exclude=apart)}
        if how.method == "projected":
            made_from["projected"] = how.dimensions
        return self.directory / "scores" / f"{name}-{how.similarity}-{how.weighting}", made_from

    def kept_in(self, kept: np.ndarray, seed: int) -> Path:
        """Where the outcome of a training on the training samples at these places is kept."""
        made_from = self._made_from() | {"kept": [int(i) for i in kept], "run": seed}
        return self.directory / "retrained" / f"{self.task.name}-{fingerprint(made_from)}.json"

    def retrained(self, kept: np.ndarray, seed: int) -> np.ndarray:
        """Confidence in every test sample's class after tuning on the training samples at these places."""
        from glotmix.attribution.classifier import confidences, tune

        path = self.kept_in(kept, seed)
        if not path.is_file():
            model = self.fresh(seed)
            tune(model, self.train.take(kept.tolist()), self.config.tuning, seed)
            write_json(path, confidences(model, self.test).tolist())
        return np.array(read_json(path))

    def wanted(self) -> list[tuple[np.ndarray, int]]:
        """Places kept and seed of every training that removals and subsets ask for; none is done."""
        asked: list[tuple[np.ndarray, int]] = []

        def note(kept: np.ndarray, seed: int) -> np.ndarray:
            asked.append((kept, seed))
            return np.zeros(len(self.test))

        self.removal(note)
        if self.config.subsets:
            asked += [(np.flatnonzero(mask), r) for r, mask in enumerate(self._subsets())]
        return asked

    def removal(self, retrain: Retrain | None = None) -> Removal | None:
        """Retraining without the top samples of a few test samples, of languages in turn.

        Args:
            retrain: does it; default looks up what is done, and does what is not.
        """
        from glotmix.attribution.removal import removal

        how = self.config.removal
        if not how.tests:
            return None
        languages = self.texts[1].languages
        places = {name: [i for i, lang in enumerate(languages) if lang == name] for name in self.config.languages}
        rounds = max(map(len, places.values()))
        turns = [places[name][i] for i in range(rounds) for name in places if i < len(places[name])]
        # The first seeds are those of the runs, whose full training is then known.
        seeds, tests = range(how.seeds), turns[: how.tests]
        return removal(self.scores(0), retrain or self.retrained, how.samples, seeds, test=tests, kinds=how.kinds)

    def _subsets(self) -> np.ndarray:
        """Halves of the training samples, [R, N]."""
        from glotmix.attribution.lds import draw_subsets

        return draw_subsets(len(self.train), self.config.subsets, np.random.default_rng(self.config.seed))

    def datamodeling(self) -> dict[str, LinearDatamodelingScore]:
        """Linear datamodeling score of each score: TracIn in both similarities, EK-FAC where kronfluence is installed,
        the label alone, and chance."""
        from glotmix.attribution.lds import draw_subsets, linear_datamodeling_score

        if not self.config.subsets:
            return {}
        rng = np.random.default_rng(self.config.seed)
        subset_RN = draw_subsets(len(self.train), self.config.subsets, rng)
        output_RQ = []
        for r, mask in enumerate(subset_RN):
            p_Q = np.clip(self.retrained(np.flatnonzero(mask), r), 1e-9, 1 - 1e-9)
            output_RQ.append(np.log(p_Q) - np.log1p(-p_Q))
        values = {f"TracIn, {kind}": self.scores(0, similarity=kind).value_QN for kind in ("cosine", "dot")}
        same_QN = np.equal.outer(np.array(self.test.labels), np.array(self.train.labels))
        values["same label"] = same_QN + 1e-6 * rng.standard_normal(same_QN.shape)
        values["random"] = rng.standard_normal(same_QN.shape)
        if (curved := self._ekfac()) is not None:
            values = {"EK-FAC": curved} | values
        return {
            name: linear_datamodeling_score(value_QN, subset_RN, np.array(output_RQ))
            for name, value_QN in values.items()
        }

    def _ekfac(self) -> np.ndarray | None:
        from glotmix.attribution.ekfac import ekfac_scores
        from glotmix.attribution.influence import InfluenceScores

        run = self.run(0)
        place, made_from = self.directory / "scores" / f"{run.name}-ekfac", {"run": run.name, **self._made_from()}
        if open_artifact(place, "scores", made_from) is None:
            finished = self.opened(run)
            try:
                found = ekfac_scores(finished.model, finished.loss, self.test, self.train)
            except MissingExtra:
                return None
            with creating(place, "scores", made_from) as part:
                found.save(part)
        return InfluenceScores.load(place).value_QN


def chosen_tests(study: TaskStudy) -> Sequence[int]:
    """Test samples for the browser: the first of each language."""
    languages = study.texts[1].languages
    return [
        i
        for name in study.config.languages
        for i in [i for i, lang in enumerate(languages) if lang == name][: study.config.browse]
    ]
