"""``kind: posttraining``: how many fine-tuning samples of which languages a task needs, and what comes along."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from glotmix.artifact import checksum, creating, fingerprint, open_artifact, write_json
from glotmix.config import CorpusConfig, ProxyConfig, Section, StudyConfig, SweepConfig, TokensConfig, check
from glotmix.errors import BadInput, GlotmixError
from glotmix.language import Language
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.mixture.weighting import Weighting
from glotmix.posttraining.cell import Base, Setting
from glotmix.posttraining.chat import chat_proxy, load_chat_tokenizer
from glotmix.posttraining.data import TaskConfig, prepare
from glotmix.posttraining.finetune import Finetuning
from glotmix.posttraining.grid import Cell, GridConfig, cells
from glotmix.posttraining.judge import JudgeConfig
from glotmix.posttraining.tasks import all_tasks
from glotmix.study.experiments.experiment import Experiment, Price
from glotmix.study.experiments.posttraining_cells import Plan, run_cells
from glotmix.study.experiments.posttraining_influence import InfluenceConfig
from glotmix.study.narrator import Narrator
from glotmix.study.study import Study, gpus, sized
from glotmix.sweep.executors import open_executor
from glotmix.sweep.lock import held


class BaseConfig(Section):
    """A model to fine-tune: a proxy that is trained here first, or a model on disk or on the hub."""

    proxy: ProxyConfig | None = None
    """Train a glotmix proxy on the study's corpus, all languages alike."""
    model: str | None = None
    """Directory (relative to the study file) or name on the hub (uses the network)."""
    tokenizer: str | None = None
    """With ``model``: the tokenizer.json of a glotmix proxy's checkpoint, which is then given a chat template."""
    chat_template: str | None = None
    """File with a Jinja chat template, for a model that has none."""
    parameters: float | None = Field(None, gt=0)
    """Parameters of ``model``, for --dry-run."""

    @model_validator(mode="after")
    def _one_of_them(self) -> BaseConfig:
        if (self.proxy is None) == (self.model is None):
            raise ValueError("either proxy or model")
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


class PosttrainingConfig(Section):
    """The study file."""

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
    bases: dict[str, BaseConfig] = Field(min_length=1)
    """Name to base model."""
    tasks: dict[str, TaskConfig] = Field(min_length=1)
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
    influence: InfluenceConfig | None = None
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
                raise ValueError(f"language {name} stands there twice (pivot, languages and outside together)")
        for task in self.tasks:
            if task not in all_tasks():
                raise ValueError(f"tasks: no task {task!r} (expected {' | '.join(all_tasks())})")
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

    def as_study(self, proxy: ProxyConfig) -> StudyConfig:
        """The study that a proxy base is trained by."""
        shared = {"seed", "name", "corpus", "tokens"}
        given = self.model_dump(include=shared) | {"languages": list(self.measured)}
        sweep = self.sweep.model_dump() | {"stack": 1}
        return check({**given, "sweep": sweep, "proxy": proxy.model_dump()}, where="posttraining")


def _tag(name: str) -> str:
    try:
        return Language.resolve(name).tag
    except BadInput as error:  # pydantic adds the field, the caller the file
        raise ValueError(str(error)) from None


class Posttraining(Experiment[PosttrainingConfig]):
    """Trains the grid, scores it, and reports the least data that does."""

    kind = "posttraining"
    config = PosttrainingConfig

    def price(self, config: PosttrainingConfig, base: Path) -> Price:
        """Models, samples, tokens, FLOPs and hours; nothing is read, downloaded or trained."""
        from glotmix.study.experiments.posttraining_price import price

        return price(config)

    def run(self, config: PosttrainingConfig, base: Path, directory: Path, narrator: Narrator) -> Path:
        """Do what is missing: proxies, data, cells, judgements, influence; then the analysis and the report."""
        from glotmix.study.experiments.posttraining_findings import report

        with held(directory):
            write_json(directory / "experiment.json", config.model_dump(mode="json"))
            plan, failed = train(config, base, directory, narrator)
            return report(config, plan, failed, directory, open_executor(config.sweep), narrator)


def train(config: PosttrainingConfig, base: Path, directory: Path, narrator: Narrator) -> tuple[Plan, dict[str, str]]:
    """Everything up to the answers of every cell: what is planned, and the reasons of the cells that failed.

    Raises:
        BadInput: data or models that cannot be used, a cell made by another configuration.
        GlotmixError: no cell is complete.
    """
    planned = config.cells()
    data = prepare(
        directory / "data", config.tasks, planned, config.pivot, config.measured, base, config.seed
    )  # before anything is trained: most of what can be wrong is wrong here
    for task, count in data.dropped.items():
        if count:
            narrator.say(f"  {count} test samples of {task} are left out: they are trained on")
    bases = {name: open_base(name, config, base, directory, narrator) for name in config.bases}
    weights = None if config.weights is None else dict(config.weights)
    device = config.sweep.device if config.sweep.device != "auto" else "cuda" if gpus() else "cpu"
    setting = Setting(
        data, config.tasks, config.pivot, config.measured, config.finetuning, config.reading(), weights, device
    )
    plan = Plan(directory, tuple(planned), bases, setting, config.cells_per_job)
    with narrator.bar("Fine-tuning") as advance:

        def show(done: int, failures: int, total: int) -> None:
            advance(
                f"Fine-tuning: {done} of {total} models" + (f", {failures} failed" if failures else ""), done, total
            )

        failed = run_cells(plan, open_executor(config.sweep), retries=config.sweep.retries, progress=show)
    for name, reason in failed.items():
        narrator.say(f"  {name} failed: {reason}")
    if len(failed) == len(planned):
        raise GlotmixError(f"no model of {directory} is complete; the logs are in {directory}/jobs")
    return plan, failed


def open_base(name: str, config: PosttrainingConfig, base: Path, directory: Path, narrator: Narrator) -> Base:
    """A base model that can be talked to: a proxy trained here and given a chat template, or the user's model.

    Raises:
        BadInput: no such model, or one without a chat template.
    """
    given = config.bases[name]
    if given.proxy is not None:
        checkpoint, tokenizer, made_from = _pretrained(name, given.proxy, config, base, directory, narrator)
        return _chat_base(name, checkpoint, tokenizer, made_from, directory)
    assert given.model is not None
    path = base / Path(given.model).expanduser()
    if given.tokenizer is not None:
        tokenizer = base / Path(given.tokenizer).expanduser()
        made_from = {"weights": _checksum(path / "model.safetensors"), "tokenizer": _checksum(tokenizer)}
        return _chat_base(name, path, tokenizer, made_from, directory)
    template = None if given.chat_template is None else base / given.chat_template
    model = str(path.resolve()) if path.is_dir() else given.model
    load_chat_tokenizer(model, template)
    identity = given.model
    if path.is_dir():  # weights by name and size: hashing tens of gigabytes would take longer than a cell
        sizes = {file.name: file.stat().st_size for file in sorted(path.glob("*.safetensors"))}
        identity = fingerprint([_checksum(path / "config.json"), sizes])
    return Base(name, model, template, False, identity)


def _pretrained(
    name: str, proxy: ProxyConfig, config: PosttrainingConfig, base: Path, directory: Path, narrator: Narrator
) -> tuple[Path, Path, dict[str, str]]:
    """A proxy trained on the study's corpus, all languages alike: its checkpoint, its tokenizer, what it is made of."""
    study = Study(sized(config.as_study(proxy)), base, directory, narrator)
    store = study.tokens()
    equal = Schedule.constant(Mixture.normalised(dict.fromkeys(config.measured, 1.0)))
    tokens = round(study.config.proxy.tokens)
    run = PlannedRun(f"pretraining-{name}", "method", equal, tokens, config.seed, keep=True)
    failed = study.run([run], study.sweep_spec(store, 1), f"Pretraining {name}")
    if failed:
        raise GlotmixError(f"{run.run} failed: {failed[run.run]}")
    folder = directory / "runs" / run.run
    done = open_artifact(folder, "run")
    kept = sorted((folder / "checkpoints").glob("step-*"), key=lambda p: int(p.name.removeprefix("step-")))
    if done is None or not kept:
        raise GlotmixError(f"{folder}: no weights were kept; delete it to train it again")
    return kept[-1], store.directory / "tokenizer.json", {"run": done.fingerprint}


def _chat_base(name: str, checkpoint: Path, tokenizer: Path, made_from: dict[str, str], directory: Path) -> Base:
    folder = directory / "bases" / name
    if open_artifact(folder, "chat model", made_from) is None:
        with creating(folder, "chat model", made_from) as part:
            chat_proxy(checkpoint, tokenizer, part)
    found = open_artifact(folder, "chat model", made_from)
    assert found is not None
    return Base(name, str(folder.resolve()), None, True, found.fingerprint)


def _checksum(path: Path) -> str:
    if not path.is_file():
        raise BadInput("no such file", where=path, expected="a model's directory, or a proxy's checkpoint")
    return checksum(path)


EXPERIMENT = Posttraining()
