"""A post-training study as a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from glotmix.config import Section
from glotmix.corpus.config import CorpusConfig
from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.mixture.schedule import Schedule
from glotmix.mixture.weighting import Weighting
from glotmix.posttraining.data import TaskConfig
from glotmix.posttraining.finetune import Finetuning
from glotmix.posttraining.grid import Cell, GridConfig, cells
from glotmix.posttraining.judge import JudgeConfig
from glotmix.posttraining.tasks import TASKS
from glotmix.proxy.config import ProxyConfig
from glotmix.study.config import TrainingConfig
from glotmix.study.training import sized
from glotmix.sweep.config import SweepConfig
from glotmix.tokens.config import TokensConfig


class ChatBaseConfig(Section):
    """A model to fine-tune: a proxy that is trained here first, or a model on disk or on the hub."""

    proxy: ProxyConfig | None = None
    """Train a glotmix proxy on the study's corpus, all languages alike."""
    model: str | None = None
    """Directory (relative to the study file) or name on the hub (uses the network)."""
    tokenizer: str | None = None
    """With ``model``: the tokenizer.json of a glotmix proxy's checkpoint, which is then given a chat template."""
    architecture: dict[str, Any] = Field(default_factory=dict)
    """With ``model``: what decides its size, as in its ``config.json`` (``model_type``, ``hidden_size``, …), for what
    is told before it is fetched."""
    chat_template: str | None = None
    """File with a Jinja chat template, for a model that has none."""
    parameters: float | None = Field(None, gt=0)
    """Parameters of ``model``, for --dry-run."""

    @property
    def is_proxy(self) -> bool:
        """Whether the proxies' own engine can train it."""
        return self.proxy is not None or self.tokenizer is not None

    @model_validator(mode="after")
    def _one_of_them(self) -> ChatBaseConfig:
        if (self.proxy is None) == (self.model is None):
            raise ValueError("either proxy or model")
        if self.architecture and self.model is None:
            raise ValueError("architecture goes with model")
        if self.tokenizer is not None and self.model is None:
            raise ValueError("tokenizer goes with model, a proxy's checkpoint")
        return self


class AnalysisConfig(Section):
    """What the numbers are asked."""

    share: float = Field(0.95, gt=0, le=1)
    """Share of the best that the smallest data plan must reach."""
    margin: float = Field(0.1, gt=0, lt=1)
    """Gain that counts as none in the plateau test, as a share of the curve's whole gain."""
    resamples: int = Field(200, ge=20)
    """Resamples of the runs in the ablation."""


class SampleInfluenceConfig(Section):
    """Influence (TracIn) of the fine-tuning samples of the largest cell of each task, seed 0, on the first base."""

    test_samples: int = Field(8, ge=1)
    """Test samples of each language."""
    train_samples: int = Field(400, ge=10)
    """Training samples that are scored at most, evenly from every language."""
    top: int = Field(20, ge=1)
    """How many count as the most influential."""
    checkpoints: int = Field(5, ge=1)
    """Moments of a proxy's training that are summed over, evenly spaced; of other models the last alone."""


class PosttrainingConfig(Section):
    """The study file."""

    instead: ClassVar[Mapping[str, str]] = {
        "sources": "what is fine-tuned on are tasks, each with its own data (tasks.<name>.train), in the shares of "
        "schedule; parts of pretraining text are sources of a study of kind mixture",
        "targets": "what is measured are the test samples of tasks (tasks.<name>.test), in languages and in outside",
    }

    kind: Literal["posttraining"] = "posttraining"
    """Kind of the study file."""
    name: str = Field(min_length=1, max_length=100)
    """Title of the report."""
    description: str = ""
    """What is asked."""
    pivot: str = "eng_Latn"
    """Language whose samples are the same in every cell."""
    languages: list[str] = Field(min_length=1)
    """Languages trained on beside the pivot."""
    outside: list[str] = Field(default_factory=list)
    """Languages that are measured and never fine-tuned on."""
    seed: int = 0
    """Seed of proxies and embedded samples."""
    corpus: CorpusConfig = CorpusConfig()
    tokens: TokensConfig = TokensConfig()
    bases: dict[str, ChatBaseConfig] = Field(min_length=1)
    """Name to base model."""
    tasks: dict[Annotated[str, TASKS.known], TaskConfig] = Field(min_length=1)
    """Name to data: mathematics, instructions, summarisation."""
    grids: list[GridConfig] = Field(min_length=1)
    """What to train."""
    finetuning: Finetuning = Finetuning()
    schedule: list[dict[str, object]] | dict[str, float] | None = None
    """Shares of the languages in what is read: one mixture, or a list of ``{start, mixture}``; default as many samples
    as there are of each."""
    weights: dict[str, float] | None = None
    """Loss weight of each language; default 1."""
    judge: JudgeConfig | None = None
    """An LLM that rates the answers which no code can verify; nobody is asked unless this is given."""
    influence: SampleInfluenceConfig | None = None
    """Influence over the fine-tuning data; default none."""
    analysis: AnalysisConfig = AnalysisConfig()
    sweep: SweepConfig = SweepConfig()
    cells_per_job: int = Field(8, ge=1)
    """Most cells that one process trains after each other."""
    gpu_flops: float = Field(2e14, gt=0)
    """FLOP/s that one GPU keeps up in training, for the GPU-hours of --dry-run."""

    @field_validator("pivot")
    @classmethod
    def _pivot(cls, tag: str) -> str:
        return _tag(tag)

    @field_validator("languages", "outside")
    @classmethod
    def _tags(cls, tags: list[str]) -> list[str]:
        return [_tag(tag) for tag in tags]

    @field_validator("grids")
    @classmethod
    def _grid_tags(cls, grids: list[GridConfig]) -> list[GridConfig]:
        return [
            grid.model_copy(update={"mixes": {name: [_tag(t) for t in tags] for name, tags in grid.mixes.items()}})
            for grid in grids
        ]

    @field_validator("weights")
    @classmethod
    def _weight_tags(cls, weights: dict[str, float] | None) -> dict[str, float] | None:
        return None if weights is None else {_tag(name): weight for name, weight in weights.items()}

    @model_validator(mode="after")
    def _consistent(self) -> PosttrainingConfig:
        every = [self.pivot, *self.languages, *self.outside]
        for name in every:
            if every.count(name) > 1:
                raise ValueError(f"language {name} is listed twice (pivot, languages and outside together)")
        for name in self.bases:
            if not name.replace("-", "").replace(".", "").isalnum():
                raise ValueError(f"bases: {name!r} (expected letters, digits, '-' and '.')")
        try:
            for grid in self.grids:
                cells(grid, list(self.tasks), list(self.bases), self.languages)
            self.reading()
            if self.weights is not None:
                Weighting(self.weights, where="weights")
        except BadInput as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def measured(self) -> tuple[str, ...]:
        """All languages, the pivot first."""
        return (self.pivot, *self.languages, *self.outside)

    def reading(self) -> Schedule | None:
        """The schedule over languages, or None."""
        if self.schedule is None:
            return None
        found = Schedule.from_json(self.schedule, where="schedule")
        stages = [
            {**stage, "mixture": {_tag(name): share for name, share in stage["mixture"].items()}}
            for stage in found.to_json()
        ]
        return Schedule.from_json(stages, where="schedule")

    def cells(self) -> list[Cell]:
        """Every model to train, and each base as it is."""
        names = list(self.bases)
        untrained = [Cell(name, (), "", (), 0, 0, 0) for name in names]
        planned = [c for grid in self.grids for c in cells(grid, list(self.tasks), names, self.languages)]
        return list({cell.name: cell for cell in [*untrained, *planned]}.values())

    def as_training(self, proxy: ProxyConfig) -> TrainingConfig:
        """What a proxy base is trained by, its size worked out."""
        return TrainingConfig(
            name=self.name,
            languages=list(self.measured),
            seed=self.seed,
            corpus=self.corpus,
            tokens=self.tokens,
            proxy=sized(proxy, self.tokens.vocab_size),
            sweep=self.sweep.model_copy(update={"stack": 1}),
        )


def _tag(name: str) -> str:
    try:
        return Language.resolve(name).tag
    except BadInput as error:  # pydantic adds the field, the caller the file
        raise ValueError(str(error)) from None
