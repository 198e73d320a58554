"""``kind: compare``: balancing methods trained at equal tokens, with seeds, on the user's own corpora."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, field_validator
from rich.table import Table

from glotmix.artifact import first_difference, read_json, write_json
from glotmix.config import CorpusConfig, ProxyConfig, Section, StudyConfig, SweepConfig, TokensConfig, check, checked
from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.mixture.methods import Situation, parse
from glotmix.report.frames.compare import MEAN, WORST, Comparison
from glotmix.report.sections.compare import write_page
from glotmix.study.comparison import compare
from glotmix.study.experiments.experiment import Experiment, Price
from glotmix.study.narrator import Narrator
from glotmix.study.study import Study, sized
from glotmix.study.trial import Trial
from glotmix.sweep.lock import held
from glotmix.tokens.shards import TokenStore

V = TypeVar("V")

PAPER = (
    "proportional temperature:5 temperature:100 scalarization:5 unimax order_matters increasing cooldown doremi odm"
).split()
"""The methods that "Upsample or Upweight?" compares, and two more."""
MAY_CHANGE = {"name", "description", "methods", "seeds", "sweep", "max_epochs", "probe", "kind"}
"""Fields that may differ between calls on one directory; the others decide what a run is."""


class ProbeConfig(Section):
    """The gradient variance on these corpora, measured at the end of the proportional run."""

    sequences: int = Field(64, ge=0)
    """Training sequences of each language; 0 leaves it out."""
    tau: float = Field(5.0, gt=0)
    """Temperature that sampling and weighting are compared at."""


def _resolved(values: Mapping[str, V]) -> dict[str, V]:
    """The same keyed by tags: "sw" and "swh" are "swh_Latn"."""
    try:
        return {Language.resolve(name).tag: value for name, value in values.items()}
    except BadInput as error:  # pydantic adds the field, the caller the file
        raise ValueError(str(error)) from None


class CompareConfig(Section):
    """Which methods, on what, with how many seeds."""

    kind: Literal["compare"] = "compare"
    """Kind of the study file."""
    name: str = Field(min_length=1, max_length=100)
    """Title of the report."""
    description: str = ""
    """What it asks, in a sentence."""
    languages: list[str] = Field(min_length=2)
    """Languages, as tags."""
    seed: int = 0
    """Seed of everything that is drawn."""
    corpus: CorpusConfig = CorpusConfig()
    tokens: TokensConfig = TokensConfig()
    proxy: ProxyConfig = ProxyConfig(evaluations=12)
    sweep: SweepConfig = SweepConfig()
    methods: list[str] = Field(default_factory=lambda: list(PAPER), min_length=1)
    """Methods with their numbers (see ``glotmix methods``); the first is what the others are held against."""
    seeds: int = Field(3, ge=1)
    """Proxies of each method, the same seeds for all."""
    unique_tokens: dict[str, float] = Field(default_factory=dict)
    """Read no more than so many training tokens of a language, a fair sample of its text: how a long tail is made of
    corpora that have none."""
    high_resource: list[str] = Field(default_factory=list)
    """Languages of Order Matters' first stage; default those of at least the median size."""
    max_epochs: float | None = Field(None, gt=0)
    """Most passes over any language over a whole schedule; a method that needs more is an error. None: no limit."""
    probe: ProbeConfig = ProbeConfig()

    @field_validator("languages", "high_resource")
    @classmethod
    def _tags(cls, names: list[str]) -> list[str]:
        return list(_resolved(dict.fromkeys(names)))

    @field_validator("unique_tokens")
    @classmethod
    def _keys(cls, tokens: dict[str, float]) -> dict[str, float]:
        return _resolved(tokens)

    @field_validator("methods")
    @classmethod
    def _known(cls, methods: list[str]) -> list[str]:
        for method in methods:
            try:
                parse(method)
            except BadInput as error:
                raise ValueError(str(error)) from None
        if len(set(methods)) < len(methods):
            raise ValueError("a method stands there twice")
        return methods

    def as_study(self) -> StudyConfig:
        """The part that a study of mixtures has too."""
        shared = {"languages", "seed", "name", "description", "corpus", "tokens", "proxy", "sweep"}
        return check(self.model_dump(include=shared), where="compare")


class Compare(Experiment[CompareConfig]):
    """Trains the methods and reports them side by side."""

    kind = "compare"
    config = CompareConfig

    def price(self, config: CompareConfig, base: Path) -> Price:
        """Runs, tokens, FLOPs; nothing is read or trained."""
        from glotmix.proxy import flops
        from glotmix.proxy.model import Shape

        study = sized(config.as_study())
        shape = Shape.of(study.proxy, study.tokens.vocab_size)
        doremi = any(parse(text)[0].name == "doremi" for text in config.methods)
        reference = "proportional" not in config.methods and (doremi or config.probe.sequences > 0)
        runs = config.seeds * (len(config.methods) + doremi + reference)
        tokens = runs * study.proxy.tokens
        compute = tokens * flops.per_token(shape, study.proxy.context)
        return Price(
            {
                "proxies": f"{len(config.methods)} methods, {config.seeds} seeds: {runs} runs",
                "size of one": f"{shape.N:,} parameters without embedding, {shape.parameters:,} with it",
                "training tokens": f"{tokens:,.0f}",
                "training compute": f"{compute:.3g} FLOP",
            },
            {"runs": runs, "tokens": tokens, "flops": compute, "N": shape.N},
        )

    def run(self, config: CompareConfig, base: Path, directory: Path, narrator: Narrator) -> Path:
        """Train what is missing, compare, and write the report."""
        return self.compare(config, base, directory, narrator)[1]

    def compare(
        self, config: CompareConfig, base: Path, directory: Path, narrator: Narrator
    ) -> tuple[Comparison, Path]:
        """The same, with what was found: ``comparison.json`` and the path of the report."""
        study = Study(sized(config.as_study()), base, directory, narrator)
        with held(directory):
            claim(config, directory)
            store = study.tokens()
            situation, probed = situation_of(config, study, store), config.probe.sequences > 0
            trial = Trial(study, store, situation, tuple(config.methods), config.seeds, probed)
            trial.check(config.max_epochs)
            results = trial.train()
            found = compare(results, trial.side(config.probe.sequences, config.probe.tau))
            write_json(directory / "comparison.json", found.to_json())
            names = {tag: Language.resolve(tag).name for tag in config.languages}
            return found, write_page(found, config.name, config.description, directory / "report.html", names)


def claim(config: CompareConfig, directory: Path) -> None:
    """Write the configuration into the directory, or check that the one in it makes the same runs.

    Raises:
        BadInput: the directory belongs to a comparison with other runs.
    """
    path = directory / "compare.json"
    mine = config.model_dump(mode="json")
    if path.exists():
        theirs = checked(CompareConfig, read_json(path), where=path).model_dump(mode="json")
        old, new = ({key: c[key] for key in c if key not in MAY_CHANGE} for c in (theirs, mine))
        if old != new:
            raise BadInput(
                f"holds a comparison made by another configuration: {first_difference(old, new)}",
                where=directory,
                expected="the same configuration, or another --out directory",
            )
    write_json(path, mine)


def situation_of(config: CompareConfig, study: Study, store: TokenStore) -> Situation:
    """Sizes after the cut to ``unique_tokens``, budget and steps.

    Raises:
        BadInput: a language that is none of the study's, or less than one sequence of it.
    """
    from glotmix.proxy.train import steps_of

    proxy = study.config.proxy
    there = study.available(store)
    for language, tokens in config.unique_tokens.items():
        if language not in there or not proxy.context <= tokens <= there[language] * proxy.context:
            most = there.get(language, 0) * proxy.context
            raise BadInput(
                f"{language} = {tokens:g}",
                where="unique_tokens",
                expected=f"{proxy.context} to {most:,}" if most else f"one of {', '.join(there)}",
            )
        there[language] = int(tokens // proxy.context)
    steps = steps_of(proxy.tokens, proxy)
    return Situation(
        {language: float(count * proxy.context) for language, count in there.items()},
        float(steps * proxy.batch * proxy.context),
        steps,
        proxy.batch,
        tuple(config.high_resource),
    )


def tables(found: Comparison) -> tuple[Table, Table]:
    """For a terminal: losses with a star where the baseline is beaten or wins beyond the noise, and what they cost."""
    columns = [*found.languages, MEAN, WORST]
    told = f"{found.seeds} seeds of {found.tokens:,.0f} tokens; * differs from {found.baseline}"
    losses = Table(title=f"Held-out bits per byte, {told}", title_justify="left")
    losses.add_column("method", no_wrap=True)
    for name in columns:
        losses.add_column(name.partition("_")[0], justify="right", no_wrap=True)
    for row in found.rows:
        cells = [f"{row.loss[name].value:.3f}{_star(found, row.method, name)}" for name in columns]
        losses.add_row(row.method, *cells)
    halves = [found.rows[0].loss[name] for name in columns]
    losses.add_row("± (95 %)", *["-" if e.high is None else f"{e.high - e.value:.3f}" for e in halves])
    cost = Table(title="What they cost", title_justify="left")
    words = ("method", "overfits", "forgets")
    numeric = ("FLOPs", f"tokens to the mean loss of {found.baseline}", "epochs of the smallest")
    for title in (words[0], *numeric, *words[1:]):
        cost.add_column(title, justify="left" if title in words else "right")
    for row in found.rows:
        reached = row.tokens_to[MEAN]
        mine = [w for w in found.watches if w.method == row.method]
        overfitted, forgotten = ([w.language for w in mine if getattr(w, what)] for what in ("overfits", "forgets"))
        cost.add_row(
            row.method,
            f"{row.flops:.3g}",
            "never" if reached is None else f"{reached:,.0f}",
            f"{row.epochs[found.smallest]:.2f}",
            ", ".join(overfitted) or "-",
            ", ".join(forgotten) or "-",
        )
    return losses, cost


def _star(found: Comparison, method: str, name: str) -> str:
    pair = found.pair(method, found.baseline, name)
    return "*" if pair is not None and pair.verdict in ("better", "worse") else ""


EXPERIMENT = Compare()
