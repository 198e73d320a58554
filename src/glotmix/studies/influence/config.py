"""Fields of a study file of kind ``influence``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from glotmix.attribution.tuning import Tuning
from glotmix.config import Section
from glotmix.corpus.config import CorpusConfig
from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.proxy.config import ProxyConfig
from glotmix.sweep.config import SweepConfig
from glotmix.tokens.config import TokensConfig


def _tag(name: str) -> str:
    """A language's tag; pydantic adds the field to the message, the caller the file."""
    try:
        return Language.resolve(name).tag
    except BadInput as error:
        raise ValueError(str(error)) from None


class ClassificationTaskConfig(Section):
    """A classification task in several languages."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[\w-]+$")
    """What it is called; part of directory names."""
    about: str = ""
    """What is classified, in a sentence."""
    source: Literal["embedded", "hub", "file"] = "embedded"
    """``embedded``: documents that glotmix makes, by their scene; a data set of the hub; or your tables."""
    parallel: bool = True
    """Whether training samples of different languages are translations of each other; ``embedded`` makes them so."""
    path: str | None = None
    """Hub: name of the data set. File: training table with columns text, language, label, and maybe id and pair."""
    test_path: str | None = None
    """File: table of the test samples."""
    layout: Literal["own", "xnli", "paws_x", "marc"] = "own"
    """File: ``own`` tables, or a data set's files as they are handed out, with its own fields of text, class and
    identity; ``{language}``, ``{code}`` or ``{short}`` in a path makes it one for each language."""
    labels: dict[str, str] = Field(default_factory=dict)
    """File of a data set: class to the name that it counts as (``{"1": bad, "2": bad, "4": good, "5": good}``); those
    that are not named are left out. Default: every class by itself."""
    configurations: dict[str, str] = Field(default_factory=dict)
    """Hub: configuration of each language."""
    text_field: str = "sentence1"
    """Hub: field of the text."""
    pair_field: str | None = None
    """Hub: field of the second text."""
    label_field: str = "label"
    """Hub: field of the class; rows with -1 have none and are left out."""
    id_field: str | None = None
    """Hub: field of the identity that translations share; default the row's place, which is right where the languages
    of a data set are row by row the same."""
    train_split: str = "train"
    """Hub: split of the training samples, which are drawn from all of it."""
    test_split: str = "test"
    """Hub: split of the test samples."""
    classes: list[str] = Field(default_factory=list)
    """Classes that are kept, texts of others are left out; default all of them."""
    train: int = Field(2000, ge=2)
    """Training samples of each language."""
    test: int = Field(500, ge=1)
    """Test samples of each language."""

    def determining(self) -> dict[str, Any]:
        """What of it determines texts, as a plain dict; newer fields only where they are set."""
        told = self.model_dump(mode="json")
        newer = {"layout": "own", "labels": {}}
        return {name: value for name, value in told.items() if name not in newer or value != newer[name]}

    @field_validator("configurations")
    @classmethod
    def _resolve(cls, configurations: dict[str, str]) -> dict[str, str]:
        return {_tag(name): value for name, value in configurations.items()}


class EncoderConfig(Section):
    """The model that is tuned."""

    model: str | None = None
    """A transformers model: a directory, or a name on the hub (``FacebookAI/xlm-roberta-base``), which is fetched.
    Default: a proxy, trained here first."""
    architecture: dict[str, Any] = Field(default_factory=dict)
    """With ``model``: what decides its size, as in its ``config.json`` (``model_type``, ``hidden_size``, …), for what
    is told before it is fetched."""
    corpus: CorpusConfig = CorpusConfig(bytes_per_language=400_000)
    """What a proxy is trained on."""
    tokens: TokensConfig = TokensConfig(vocab_size=1024)
    """A proxy's tokenizer."""
    proxy: ProxyConfig = ProxyConfig(width=64, layers=2, heads=2, context=64, batch=16, tokens=600_000)
    """The proxy and its training, on equal shares of the languages."""


class ScoresConfig(Section):
    """How influence is scored."""

    similarity: Literal["cosine", "dot"] = "cosine"
    """Cosine, as in influence across languages; the product lets samples with large gradients win everywhere."""
    weighting: Literal["uniform", "learning_rate", "last"] = "uniform"
    """What each checkpoint counts."""
    parameters: str | list[str] = "all"
    """``all``, ``linear``, ``embeddings``, or patterns of parameter names."""
    top: int = Field(100, ge=1)
    """How many samples count as the top."""
    batch: int = Field(32, ge=1)
    """Samples of one pass."""
    processes: int = Field(1, ge=1)
    """Processes side by side over the training samples; each has a GPU of its own where there are GPUs."""
    method: Literal["auto", "exact", "projected"] = "auto"
    """Exact products, which pass over the training samples once for as many test gradients as fit into memory; or an
    index of projected training gradients, computed once, whose error is measured and told. ``auto``: exact where all
    test gradients fit together."""
    query_gb: float | None = Field(None, gt=0)
    """Memory for test gradients in 10⁹ bytes; default half of what is free when the study is first scored."""
    dimensions: int = Field(16, ge=1)
    """Projected: sides that a matrix keeps."""


class RemovalConfig(Section):
    """Retraining without the top samples of single predictions."""

    samples: int = Field(100, ge=1)
    """How many are removed."""
    tests: int = Field(0, ge=0)
    """Test samples tried, spread over the languages; 0 leaves the test out."""
    seeds: int = Field(5, ge=1)
    """Seeds of each retraining."""
    kinds: list[str] = Field(default_factory=lambda: ["top", "top_foreign", "random_same_label", "random"])
    """What is removed: top, top_foreign, bottom, random, random_same_label."""


class InfluenceConfig(Section):
    """A study file of kind ``influence``."""

    instead: ClassVar[Mapping[str, str]] = {
        "sources": "samples come from tasks (source: hub or file), and the text of a proxy from base.corpus; parts of "
        "training text are sources of a study of kind mixture",
        "targets": "what is predicted are the test samples of tasks (test_path, test_split)",
        "corpus": "the text that a proxy is trained on is base.corpus",
    }

    kind: Literal["influence"] = "influence"
    """Kind of the file."""
    name: str = Field(min_length=1, max_length=100)
    """Title of the report."""
    description: str = ""
    """What it asks, in a sentence."""
    languages: list[str] = Field(min_length=2)
    """Languages that are trained on and tested, as tags."""
    seed: int = 0
    """Seed of what is drawn once for all runs."""
    seeds: int = Field(3, ge=1)
    """Tunings of each task; intervals are over them."""
    tasks: list[ClassificationTaskConfig] = Field(min_length=1)
    """What is classified."""
    base: EncoderConfig = EncoderConfig()
    tuning: Tuning = Tuning()
    scores: ScoresConfig = ScoresConfig()
    zero_shot: list[str] = Field(default_factory=list)
    """Languages each of which is left out of a tuning of its own and then tested."""
    imbalance: dict[str, list[float]] = Field(default_factory=dict)
    """Language to multiples of its training samples (``[0.5, 2]``): for each a tuning of its own with so many of them,
    the others' as ever; what its own predictions, and the others', rest on then."""
    removal: RemovalConfig = RemovalConfig()
    subsets: int = Field(0, ge=0)
    """Retrainings on half of the samples behind the linear datamodeling score; 0 leaves it out."""
    test_first: bool = True
    """Do removal and retraining on subsets for the first task alone."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models are tuned and scored; auto is a GPU where there is one."""
    sweep: SweepConfig = SweepConfig()
    """What runs the tunings and trainings: executor, workers, retries, slurm; on which device is ``device``."""
    browse: int = Field(4, ge=0)
    """Test samples of each language that the report lets one open."""
    mirror: str | None = None
    """URL (``s3://bucket/study`` and whatever else fsspec knows) that results are sent to and fetched from."""

    @field_validator("languages", "zero_shot")
    @classmethod
    def _resolve(cls, tags: list[str]) -> list[str]:
        return [_tag(name) for name in tags]

    @field_validator("imbalance")
    @classmethod
    def _multiples(cls, imbalance: dict[str, list[float]]) -> dict[str, list[float]]:
        for name, factors in imbalance.items():
            if wrong := [factor for factor in factors if not 0 < factor <= 100 or factor == 1]:
                raise ValueError(f"{name}: {wrong[0]:g} times its samples (expected above 0, to 100, and not 1)")
            if len(set(factors)) < len(factors):
                raise ValueError(f"{name}: a multiple is listed twice")
        return {_tag(name): sorted(factors) for name, factors in imbalance.items()}

    @model_validator(mode="after")
    def _known(self) -> InfluenceConfig:
        if len(set(self.languages)) < len(self.languages):
            raise ValueError("a language is listed twice")
        if missing := [name for name in self.zero_shot if name not in self.languages]:
            raise ValueError(f"zero_shot: {missing[0]} is none of the languages")
        if missing := [name for name in self.imbalance if name not in self.languages]:
            raise ValueError(f"imbalance: {missing[0]} is none of the languages")
        for name, factor in ((name, factor) for name, factors in self.imbalance.items() for factor in factors):
            for task in self.tasks:
                if task.train * factor < 1:
                    raise ValueError(f"imbalance: {factor:g} times {task.train} samples of {name} is none")
                if factor > 1 and task.source == "embedded" and not task.parallel:
                    expected = "multiples below 1, or parallel: true"
                    raise ValueError(f"imbalance: no further texts of {name} in task {task.name} ({expected})")
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError("two tasks have the same name")
        for task in self.tasks:
            least = min([1.0, *(factor for factors in self.imbalance.values() for factor in factors)])
            samples = round(task.train * (len(self.languages) - 1 + (0 if self.zero_shot else least)))
            if self.scores.top > samples:
                raise ValueError(f"scores.top = {self.scores.top} of {samples} training samples of {task.name}")
            if task.source != "embedded" and task.path is None:
                raise ValueError(f"task {task.name}: no path")
            if task.source == "file" and task.test_path is None:
                raise ValueError(f"task {task.name}: no test_path")
            if task.source != "file" and (task.layout != "own" or task.labels):
                raise ValueError(f"task {task.name}: layout and labels go with source: file")
            if task.labels and task.layout == "own":
                raise ValueError(f"task {task.name}: labels go with a data set's layout")
        return self
