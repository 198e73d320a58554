"""A study as YAML 1.2: every field, its default and one sentence on it. Unknown keys are errors.

YAML 1.2 because in 1.1 the tag ``no`` (Norwegian) is the boolean False and ``1e9`` is a string.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent

from glotmix.errors import BadInput

MAX_YAML_BYTES = 200_000
"""A study file is written by hand; a larger one is a mistake or an attack."""
MAX_YAML_DEPTH = 30
"""Brackets in brackets; the time that the parser takes grows with the third power of them."""


class Section(BaseModel):
    """Base of all sections: frozen, and a key that is not a field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class CorpusConfig(Section):
    """Where the text comes from."""

    reader: Literal["embedded", "plain", "jsonl", "parquet", "manpages", "hub"] = "embedded"
    """Format of the corpus; ``embedded`` needs no files."""
    path: str | None = None
    """Directory or file of the corpus; for ``hub`` the name of the data set. Relative to the study file."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Language tag to its own directory, file pattern, or hub configuration, where the layout does not tell."""
    text_field: str = "text"
    """Field or column with the text (JSON Lines, Parquet, hub)."""
    language_field: str | None = None
    """Field or column with the language tag, when one file holds several languages."""
    id_field: str | None = None
    """Field or column with a document id; parallel documents share ids. Default: the document's place in the file."""
    split: str = "train"
    """Split of a hub data set."""
    bytes_per_language: int | dict[str, int] | None = None
    """Stop reading a language after so many bytes of text; for ``embedded`` the amount to generate."""
    errors: Literal["strict", "replace"] = "strict"
    """What to do with bytes that are not UTF-8: stop with file and offset, or put U+FFFD in their place."""
    held_out: float = Field(0.05, gt=0, lt=0.5)
    """Share of documents, chosen by a hash of their id, that is measured on and never trained on."""
    drop_untranslated: bool = True
    """Man pages: leave out paragraphs that were left in English."""
    seed: int = 0
    """Seed of the embedded corpus."""


class TokensConfig(Section):
    """How text becomes tokens."""

    tokenizer: str = "train"
    """``train`` for a byte-level BPE trained on a balanced sample; else a tokenizer.json, a SentencePiece model, or a
    Hugging Face name (the latter needs the network)."""
    vocab_size: int = Field(2048, ge=257, le=1_000_000)
    """Vocabulary of a trained tokenizer; 257 is bytes and the end of a document, nothing merged."""
    sample_bytes: int = Field(2_000_000, ge=1000)
    """Bytes of each language that the tokenizer is trained on."""
    held_out_tokens: int = Field(50_000, ge=1000)
    """Most held-out tokens per language that losses are measured on."""


class ActiveConfig(Section):
    """Runs added batch by batch, each chosen by what the runs so far leave open, until that is settled or the budget is
    spent. At least one of ``runs``, ``flops`` and ``hours`` is given; the first that is reached ends it."""

    aim: Literal["optimum", "shapley"] = "optimum"
    """What is to become certain: the optimum against its rivals, or the Shapley values of the law."""
    batch: int = Field(4, ge=1)
    """Runs between two decisions; as many as run side by side cost no time."""
    runs: int | None = Field(None, ge=1)
    """Most runs of the design in all, the first ones included."""
    flops: float | None = Field(None, gt=0)
    """Most training FLOPs of the design in all."""
    hours: float | None = Field(None, gt=0)
    """Most hours that the study may have worked when the last batch ends."""
    tolerance: float | None = Field(None, gt=0)
    """Settled below this. Optimum: what another choice could win, relative to the objective (default 0.001). Shapley
    values: half-width of their intervals relative to the values, root mean square (default 0.1)."""

    @model_validator(mode="after")
    def _some_budget(self) -> ActiveConfig:
        if self.runs is None and self.flops is None and self.hours is None:
            raise ValueError("no budget: give runs, flops or hours")
        return self


class DesignConfig(Section):
    """Which mixtures to train."""

    coalitions: Literal["all", "sampled", "none"] = "all"
    """``all`` 2^n - 1 subsets of the languages (at most 6 of them), ``sampled`` ones, or none."""
    sampled_coalitions: int = Field(32, ge=1)
    """How many subsets when ``coalitions: sampled``."""
    budget: Literal["fixed", "own"] = "fixed"
    """``fixed``: every coalition trains on the same D, shares renormalised. ``own``: absent languages take their
    tokens away and the run is shorter."""
    base: Literal["uniform", "natural"] = "uniform"
    """Mixture of the full coalition, from which the others are cut."""
    empty: Literal["uniform_tokens", "unigram"] = "unigram"
    """Loss of the empty coalition: ln V per token (what an untrained proxy scores), or a unigram over all languages."""
    swarm: int = Field(12, ge=0)
    """Mixtures drawn from a Dirichlet distribution."""
    swarm_concentration: float = Field(1.0, gt=0)
    """Dirichlet concentration per language: 1 is uniform on the simplex, below 1 prefers its corners and edges."""
    swarm_roles: Literal["fit", "held_out"] = "held_out"
    """Whether the swarm is fitted to or held out to judge the laws."""
    anchors: int = Field(2, ge=0)
    """Mixtures that are repeated to measure the noise (the full coalition first, then single languages)."""
    anchor_seeds: int = Field(2, ge=1)
    """Extra seeds of each anchor."""
    seeds: int = Field(1, ge=1)
    """Seeds of every other mixture."""
    ladder: list[str] = Field(default_factory=list)
    """Other sizes ("0.1M", "1M") at which mixtures are trained too, so that laws see N and D vary; shapes, batches,
    learning rates and tokens follow the ladder's rules."""
    ladder_tokens: float = Field(20.0, gt=0)
    """Training tokens per parameter on the ladder; 20 is near compute-optimal (Hoffmann et al. 2022)."""
    ladder_mixtures: int = Field(6, ge=1)
    """How many mixtures at each of these sizes: the full coalition first, then those of the swarm."""
    active: ActiveConfig | None = None
    """Further runs, chosen by what the runs above leave open."""


class ProxyConfig(Section):
    """The small models that stand in for the target."""

    size: str | None = None
    """Non-embedding parameters ("1M"): width, layers, heads, batch, learning rate and tokens follow from it by the
    ladder's published rules, except those that the file sets itself."""
    width: int = Field(64, ge=16)
    """Model width d."""
    layers: int = Field(3, ge=1)
    """Transformer blocks."""
    heads: int = Field(4, ge=1)
    """Attention heads; divides the width."""
    feed_forward: int | None = None
    """Width of the SwiGLU layer; default 8/3 of the width, rounded up to a multiple of 16."""
    tied: bool = True
    """Whether the output matrix is the input embedding."""
    tokens: float = Field(1e6, gt=0)
    """Training tokens D of a proxy."""
    context: int = Field(128, ge=8)
    """Tokens per sequence T."""
    batch: int = Field(16, ge=1)
    """Sequences per step."""
    learning_rate: float = Field(4e-3, gt=0)
    """Peak of AdamW's learning rate."""
    final_learning_rate: float = Field(0.1, ge=0, le=1)
    """Learning rate at the end of the cosine, as a share of the peak."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of steps in linear warm-up."""
    weight_decay: float = Field(0.1, ge=0)
    """AdamW's decoupled weight decay, on matrices only."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    evaluations: int = Field(1, ge=1)
    """How many times in a run held-out losses are measured (the last one at the end)."""
    simulate_epochs: bool = True
    """Give a proxy so little of each language that it repeats it as often as the target run would."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Matrix products in bf16 where the hardware is faster at it, or always in one of the two."""
    recompute_activations: bool = False
    """Keep only each block's input for the backward pass and compute the rest again: a third more compute, a fraction
    of the memory, for proxies whose activations do not fit."""
    keep_checkpoints: bool = False
    """Whether the weights are kept (safetensors, loadable as a transformers Llama)."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> ProxyConfig:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is no multiple of twice the heads ({self.heads})")
        return self


class TargetConfig(Section):
    """The expensive run that the study is for."""

    tokens: float | None = Field(None, gt=0)
    """Training tokens D of the target run; default: so many that proxies repeat data as they are (no scaling)."""
    parameters: float | None = Field(None, gt=0)
    """Parameters N (without embeddings) of the target model; used by laws that know N."""
    unique_tokens: dict[str, float] = Field(default_factory=dict)
    """Unique tokens U of a language in the target's corpus, where the study's own corpus is only a sample of it."""


class SweepConfig(Section):
    """Where and how the proxies run."""

    executor: Literal["local", "ray", "slurm"] = "local"
    """What runs them."""
    workers: int | None = Field(None, ge=1)
    """Processes side by side; default one per core."""
    stack: int | None = Field(None, ge=1)
    """Proxies trained as one program; default measured on this machine."""
    retries: int = Field(1, ge=0)
    """How many times a run that died is tried again."""
    address: str | None = None
    """Ray: the cluster's address, or ``auto``; none starts Ray on this machine."""
    cpus: float = Field(1.0, gt=0)
    """Ray: CPUs of a job."""
    gpus: float = Field(0.0, ge=0)
    """Ray: GPUs of a job; a fraction lets several share one."""
    slurm: dict[str, str] = Field(default_factory=dict)
    """SLURM: options of ``sbatch`` without their dashes (partition, time, account, gres)."""
    array: int = Field(1000, ge=1)
    """SLURM: most tasks in one array."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where proxies train; ``auto`` takes the GPUs where there are any."""
    devices_per_run: int = Field(1, ge=1)
    """Devices that train one stack together, each on its part of every batch (data parallel, through ``torchrun``)."""
    logger: Literal["trackio", "wandb", "mlflow"] | None = None
    """Experiment tracker that runs are shown in as they are done; its own settings say where that is."""
    mirror: str | None = None
    """URL (``s3://bucket/study`` and whatever else fsspec knows) that finished results are sent to and fetched from."""


class FitConfig(Section):
    """Which laws, how judged."""

    laws: list[str] = Field(default_factory=lambda: ["null", "own_ratio", "log_linear", "shapley_law"])
    """Laws to fit (see ``glotmix laws``)."""
    choose: str = "auto"
    """Law that the optimum is taken on: a name, or ``auto`` for the least held-out error."""
    folds: int = Field(5, ge=2)
    """Folds of cross-validation, by mixture."""
    bootstrap: int = Field(100, ge=0)
    """Resamples for intervals."""
    weights: Literal["repeats"] | None = None
    """``repeats``: runs count by how much repeats of their mixtures differ; None: all count alike."""
    seed: int = 0
    """Seed of starts, folds and resamples."""

    @field_validator("laws", mode="before")
    @classmethod
    def _null_is_a_law(cls, value: object) -> object:
        """A bare ``null`` in YAML is nothing; among laws it can only mean the law of that name."""
        return ["null" if item is None else item for item in value] if isinstance(value, list) else value


class OptimizeConfig(Section):
    """What a good mixture is, and its limits."""

    objective: Literal["mean", "weighted", "normalised", "worst", "regret", "quantile"] = "mean"
    """Mean loss, weighted mean, mean of losses relative to each language's own best, the worst of these, the greatest
    difference to the own best, or a quantile of the relative ones."""
    quantile: float = Field(0.75, gt=0, le=1)
    """Which quantile, under ``objective: quantile``: the share of languages that must do well."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Weight of each target language; default 1 for the languages in the mixture and 0 for those outside."""
    floors: dict[str, float] = Field(default_factory=dict)
    """Least share of a language."""
    ceilings: dict[str, float] = Field(default_factory=dict)
    """Greatest share of a language."""
    max_epochs: float | None = Field(4.0, gt=0)
    """Most passes over a language's unique tokens in the target run; None for no limit."""
    groups: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name to ``{languages: [...], floor: x, ceiling: y}`` for the sum of their shares."""
    current: dict[str, float] = Field(default_factory=dict)
    """The mixture in use today, shown beside the optimum."""
    kl: float = Field(0.0, ge=0)
    """Weight of the KL divergence to the mixture ``near``, which holds the optimum near where there is data."""
    l1: float = Field(0.0, ge=0)
    """Weight of the sum of absolute differences to it, which leaves as many shares as they are as it can."""
    near: Literal["natural", "current"] = "natural"
    """The mixture that ``kl`` and ``l1`` hold on to."""

    @model_validator(mode="after")
    def _one_distance(self) -> OptimizeConfig:
        if self.kl and self.l1:
            raise ValueError("kl and l1 at once; give one of them")
        if self.near == "current" and not self.current:
            raise ValueError("near: current, but no current mixture is given")
        return self


class ValidateConfig(Section):
    """The closed loop: optimum and baselines trained and measured."""

    seeds: int = Field(3, ge=0)
    """Proxies per mixture; 0 leaves the loop open, and the report says so."""
    baselines: list[str] = Field(default_factory=lambda: ["natural", "uniform", "temperature", "unimax"])
    """Baselines that are trained beside the optimum."""
    temperature: float = Field(3.33, gt=0)
    """τ of the temperature baseline (XLM-R and mT5 use α = 0.3, τ = 3.33)."""


LANGUAGE_KEYS = {
    "corpus": ("sources", "bytes_per_language"),
    "target": ("unique_tokens",),
    "optimize": ("weights", "floors", "ceilings", "current"),
}
"""Fields of a study whose keys are languages."""


def _resolved(value: Any, field: str) -> Any:
    """The same mapping keyed by tags."""
    from glotmix.language import Language

    if not isinstance(value, dict):
        return value
    tags: dict[str, Any] = {}
    for name, one in value.items():
        try:
            tag = Language.resolve(str(name)).tag
        except BadInput as error:
            raise ValueError(f"{field}: {error}") from None
        if tag in tags:
            raise ValueError(f"{field}: {tag} stands there twice")
        tags[tag] = one
    return tags


class StudyConfig(Section):
    """A whole study: corpus → … → report."""

    name: str = Field(min_length=1, max_length=100)
    """Title of the report."""
    description: str = ""
    """What the study asks, in a sentence."""
    languages: list[str] = Field(min_length=1)
    """Languages whose share is sought, as tags ("swh_Latn"; "sw" and "swh" resolve)."""
    outside: list[str] = Field(default_factory=list)
    """Languages that are measured but never trained on."""
    seed: int = 0
    """Seed of everything that is drawn."""
    corpus: CorpusConfig = CorpusConfig()
    tokens: TokensConfig = TokensConfig()
    design: DesignConfig = DesignConfig()
    proxy: ProxyConfig = ProxyConfig()
    target: TargetConfig = TargetConfig()
    sweep: SweepConfig = SweepConfig()
    fit: FitConfig = FitConfig()
    optimize: OptimizeConfig = OptimizeConfig()
    validation: ValidateConfig = ValidateConfig()
    export: list[str] = Field(default_factory=list)
    """Exporters to run (see ``glotmix exporters``)."""

    @field_validator("languages", "outside")
    @classmethod
    def _resolve(cls, tags: list[str]) -> list[str]:
        from glotmix.language import Language

        try:
            return [Language.resolve(tag).tag for tag in tags]
        except BadInput as error:  # pydantic adds the field, the caller the file
            raise ValueError(str(error)) from None

    @model_validator(mode="before")
    @classmethod
    def _resolve_keys(cls, data: Any) -> Any:
        """Languages as keys ("sw", "swh") are the same as in the list of languages."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for section, fields in LANGUAGE_KEYS.items():
            if isinstance(data.get(section), dict):
                data[section] = {
                    name: _resolved(value, f"{section}.{name}") if name in fields else value
                    for name, value in data[section].items()
                }
        return data

    @model_validator(mode="after")
    def _languages_once(self) -> StudyConfig:
        names = [*self.languages, *self.outside]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"language {name} stands there twice (languages and outside together)")
        for field in ("floors", "ceilings", "current"):
            for name in getattr(self.optimize, field):
                if name not in self.languages:
                    raise ValueError(f"optimize.{field}: {name} is none of the languages whose share is sought")
        return self


def load_study(path: Path, *, scale: str | None = None, overrides: Sequence[str] = ()) -> StudyConfig:
    """Read a study file, apply a scale and ``a.b=value`` overrides, and check every field.

    A file may hold ``scales: {tiny: {...}, small: {...}}``; the chosen one is merged over the rest before the check.
    ``scale`` in the file names the default.

    Raises:
        BadInput: file, line or field, the value and what was expected.
    """
    data = read_study(path, scale=scale, overrides=overrides)
    if data.pop("kind", "mixture") != "mixture":
        raise BadInput("asks for another experiment than a mixture", where=path, expected="kind: mixture, or no kind")
    return check(data, where=path)


def read_study(path: Path, *, scale: str | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A study file with its scale and overrides merged, not yet checked."""
    data = read_yaml(path)
    scales, default = data.pop("scales", None) or {}, data.pop("scale", None)
    if not isinstance(scales, dict) or not all(isinstance(one, dict) for one in scales.values()):
        raise BadInput("scales is no mapping of names to sections", where=path, expected="scales: {tiny: {...}}")
    chosen = scale or default
    if chosen is not None:
        if not isinstance(chosen, str) or chosen not in scales:
            there = " | ".join(map(str, scales)) or "a file with scales"
            raise BadInput(f"no scale {chosen!r}", where=path, expected=there)
        data = merged(data, scales[chosen])
    for override in overrides:
        data = merged(data, parse_override(override))
    return data


def check(data: Mapping[str, Any], *, where: object = None) -> StudyConfig:
    """Validate a study given as a plain dict."""
    return checked(StudyConfig, data, where=where)


S = TypeVar("S", bound=Section)


def checked(section: type[S], data: Mapping[str, Any], *, where: object = None) -> S:
    """Validate one section.

    Raises:
        BadInput: the first field that is wrong, its value, and what was expected.
    """
    try:
        return section.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        given = first.get("input")
        shown = f" = {given!r}" if isinstance(given, str | int | float | bool) or given is None else ""
        raise BadInput(f"{field}{shown}: {message}{more}", where=where) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML 1.2 mapping from a file, loaded safely; aliases and size are bounded."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise BadInput("no such file", where=path, expected="a study file (see `glotmix recipes`)") from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=path, expected="a YAML file") from None
    if len(raw) > MAX_YAML_BYTES:
        raise BadInput(f"{len(raw)} bytes", where=path, expected=f"a study file of at most {MAX_YAML_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"byte {error.start} is not UTF-8", where=path) from None
    data = _load(text, path)
    if not isinstance(data, dict):
        raise BadInput(f"holds a {type(data).__name__}", where=path, expected="a mapping of sections")
    return data


class _Bounded(Composer):
    """Makes the tree of a YAML file, and refuses aliases and depth where they begin: what follows is not read."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent) or event.anchor is not None:
            message = "uses a YAML alias (*name) or an anchor for one (&name)"
            raise BadInput(message, expected="no aliases; write the value out")
        if self._depth == MAX_YAML_DEPTH:
            raise BadInput("nested too deeply", expected=f"at most {MAX_YAML_DEPTH} levels")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _load(text: str, where: object) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Bounded
    yaml.version = (1, 2)
    yaml.allow_duplicate_keys = False
    try:
        return yaml.load(text)
    except BadInput as error:
        raise BadInput(error.message, where=where, expected=error.expected) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark is not None else where
        raise BadInput(f"not valid YAML: {error.problem or error.context}", where=place) from None
    except (YAMLError, ValueError, RecursionError, TypeError) as error:
        raise BadInput(f"not valid YAML: {type(error).__name__}: {error}", where=where) from None


def parse_override(text: str) -> dict[str, Any]:
    """``a.b=value`` as the nested mapping ``{a: {b: value}}``; the value is YAML."""
    name, equals, value = text.partition("=")
    if not equals or not all(part.strip() for part in name.split(".")):
        raise BadInput(f"{text!r}", where="--set", expected="section.field=value")
    nested: Any = _load(value, f"--set {name}")
    for part in reversed(name.split(".")):
        nested = {part.strip(): nested}
    return nested


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``base``, section by section."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result
