"""A mixture study as a file: every section, its default and one sentence on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from glotmix.config import FieldErrors, Place, Section, checked, read_study
from glotmix.corpus.config import CorpusConfig, CorpusSource
from glotmix.errors import BadInput
from glotmix.exporters import EXPORTERS
from glotmix.fit.config import FitConfig
from glotmix.handoff.results import SCORES
from glotmix.language import Language
from glotmix.mixture.config import DesignConfig
from glotmix.optimize.baselines import NEW_ONLY
from glotmix.optimize.config import OptimizeConfig
from glotmix.proxy.config import ProxyConfig
from glotmix.scored import Scored
from glotmix.source import named_as, named_twice, source_name
from glotmix.study.config import TargetConfig
from glotmix.sweep.config import SweepConfig
from glotmix.tokens.config import TokensConfig
from glotmix.wording import listed


class ScoredTarget(Section):
    """A target that is a score and no text: accuracy on a benchmark, which a trainer of your own measures."""

    language: str | None = None
    """Language of its questions, in any spelling."""
    group: str | None = None
    """Group that it belongs to, on the page."""
    higher_is_better: bool = True
    """False for an error rate."""
    chance: float | None = Field(None, ge=0, le=1)
    """Score of guessing: 0.25 of four choices. Laws predict scores between it and 1."""
    questions: float | None = Field(None, ge=1)
    """How many questions it is the mean of: they tell its noise."""
    metric: str | None = None
    """Which of the scores of a task (``acc``, ``acc_norm``, ``exact_match``, …); default the first that there is."""
    task: str | None = None
    """What lm-evaluation-harness calls it; default the target's own name."""

    @field_validator("language")
    @classmethod
    def _tag(cls, text: str | None) -> str | None:
        try:
            return None if text is None else Language.resolve(text).tag
        except BadInput as error:
            raise ValueError(str(error)) from None

    @field_validator("metric")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in SCORES:
            raise ValueError(f"{name!r}; expected one of {', '.join(SCORES)}")
        return name

    @model_validator(mode="after")
    def _possible(self) -> ScoredTarget:
        try:
            Scored(self.higher_is_better, self.chance, self.questions)
        except BadInput as error:
            raise ValueError(str(error)) from None
        return self


class ValidateConfig(Section):
    """The closed loop: optimum and baselines trained and measured."""

    seeds: int = Field(3, ge=0)
    """Proxies per mixture; 0 leaves the loop open, and the report says so."""
    baselines: list[str] = Field(default_factory=lambda: ["natural", "uniform", "temperature", "unimax"])
    """Baselines that are trained beside the optimum."""
    least_gain: float = Field(0.005, ge=0, lt=1)
    """The least gain over the mixture in use that is worth a change, relative to its objective: half a per cent."""
    temperature: float = Field(3.33, gt=0)
    """τ of the temperature baseline (XLM-R and mT5 use α = 0.3, τ = 3.33)."""


SCHEDULES_DRAWN = 24
"""Runs whose mixture changes in a study that asks for several phases: twice the swarm of a study that does not."""

REPLAY = "replay"
"""Source of the text that a base was trained on."""


class BaseConfig(Section):
    """What the model was trained on that proxies go on from: ``proxy.base``, or without it one that the study first
    trains itself, of the proxies' shape."""

    languages: list[str] = Field(min_length=1)
    """Its languages. Those whose share is not sought are measured, to see what is forgotten, and their text is a
    source, ``replay``."""
    mixture: dict[str, float] = Field(default_factory=dict)
    """Shares of its languages, in its training and in ``replay``; default: in proportion to their text."""
    tokens: float | None = Field(None, gt=0)
    """Tokens that it was trained on, or will be where the study trains it."""
    learning_rate: float | None = Field(None, gt=0)
    """Peak of the learning rate with which the study trains it; default that of the proxies."""
    replay: bool = True
    """Whether ``replay`` is among the sources whose shares are sought."""

    @field_validator("languages", mode="before")
    @classmethod
    def _resolve(cls, tags: Any) -> Any:
        try:
            return [Language.resolve(tag).tag for tag in tags] if isinstance(tags, list | tuple) else tags
        except BadInput as error:  # pydantic adds the field, the caller the file
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _shares_of_its_languages(self) -> BaseConfig:
        if self.mixture and set(self.mixture) != set(self.languages):
            raise ValueError(f"mixture: expected a share of each of {', '.join(self.languages)}")
        if any(not 0 < share < float("inf") for share in self.mixture.values()):
            raise ValueError("mixture: expected shares above 0")
        return self


class FirstPhaseConfig(Section):
    """What is behind the run already, so that the mixture of its last phase alone is sought. Every proxy reads the
    first phase once for each seed, and all last phases go on from there: weights, optimiser, learning rate and text as
    in a run that was never interrupted."""

    at: float = Field(0.8, gt=0, lt=1)
    """Share of the run that is behind it."""
    mixture: Literal["natural", "uniform"] | dict[str, float] = "natural"
    """What it was trained on until then, and would be from there on: shares by language, in proportion to the text
    there is, or all alike."""
    study: str | None = None
    """Directory of a finished study, relative to the study file, whose run goes on, in place of ``mixture``. Where it
    kept its checkpoints with their optimiser (``proxy.keep_checkpoints: with_optimiser``) they are gone on from; else
    the first phase is trained again, to the same bits."""
    run: str = "optimum"
    """Which of its runs: a mixture of its closed loop (``optimum``, ``natural``), or a run by its name."""

    @model_validator(mode="after")
    def _shares(self) -> FirstPhaseConfig:
        if self.study is not None and "mixture" in self.model_fields_set and self.mixture != "natural":
            raise ValueError("study and mixture at once; the run of the study has its own")
        if isinstance(self.mixture, dict):
            shares = list(self.mixture.values())
            if not shares or any(not 0 <= share < float("inf") for share in shares) or not sum(shares) > 0:
                raise ValueError("mixture: expected shares from 0 on, some of them above")
        return self


LAST_PHASES = {"coalitions": "none", "swarm": 16, "swarm_roles": "fit", "anchors": 0}
"""The design of a study of the last phase, unless it says otherwise."""

LANGUAGE_KEYS = {
    "corpus": ("sources", "bytes_per_language"),
    "target": ("unique_tokens",),
    "optimize": ("weights", "floors", "ceilings", "current"),
    "base": ("mixture",),
    "first_phase": ("mixture",),
}
"""Fields of a study whose keys are languages."""


class _Described(str):
    """A name that the file describes under ``sources``: it is no language to be resolved."""


def _resolved(value: Any, place: Place, known: Sequence[str], wrong: dict[Place, str]) -> Any:
    """The same mapping keyed by tags and by names of sources; what is wrong with its keys is noted by place."""
    if not isinstance(value, dict):
        return value
    tags: dict[str, Any] = {}
    for name, one in value.items():
        try:
            tag = named_as(str(name), known) or Language.resolve(str(name)).tag
        except BadInput as error:
            wrong[*place, name] = str(error)
            continue
        if tag in tags:
            wrong[*place, name] = f"{tag} is listed twice"
        tags[tag] = one
    return tags


def _members(group: Any, place: Place, known: Sequence[str], wrong: dict[Place, str]) -> Any:
    """The same group with its languages as tags."""
    if not isinstance(group, dict) or not isinstance(group.get("languages"), list):
        return group
    found: dict[Place, str] = {}
    tags = _resolved(dict.fromkeys(map(str, group["languages"])), (), known, found)
    if found:
        wrong[*place, "languages"] = "; ".join(found.values())
    return {**group, "languages": list(tags)}


def _groups_told(data: Mapping[str, Any]) -> dict[str, list[str]]:
    """Groups that the sources of a file name, and their members that are in the mixture."""
    found: dict[str, list[str]] = {}
    corpus, outside = data.get("corpus"), list(map(str, data.get("outside") or []))
    for name, one in ((corpus.get("sources") or {}) if isinstance(corpus, dict) else {}).items():
        group = one.get("group") if isinstance(one, dict) else one.group if isinstance(one, CorpusSource) else None
        if group and name not in outside:
            found.setdefault(str(group).strip(), []).append(name)
    return found


def _told(field: str, described: Any) -> dict[str, dict[str, Any]]:
    """Sources or targets by their names; a path alone describes one too."""
    if not isinstance(described, dict) or not described:
        raise ValueError(f"{field}: expected a mapping of names to what they are: {{code: {{path: data/code}}}}")
    if twins := named_twice(map(str, described)):
        raise ValueError(f"{field}: {' and '.join(twins)} are one name")
    told = {}
    for name, one in described.items():
        try:
            told[source_name(name)] = {"path": one} if isinstance(one, str) else {} if one is None else one
        except BadInput as error:
            raise ValueError(f"{field}: {error}") from None
    return told


def _with_sources(data: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The file with what ``sources`` and ``targets`` describe in the section ``corpus``, where it is kept, and the
    names among the languages and those outside; and these names."""
    sources, targets = data.pop("sources", None), data.pop("targets", None)
    corpus = data.get("corpus", {})
    if not isinstance(corpus, dict):
        return data, []
    described = dict(corpus.get("sources") or {})
    for field, told in (("sources", sources), ("targets", targets)):
        if told is None or told == {}:
            continue
        found = _told(field, told)
        if twins := named_twice([*(name for name in described if name not in found or field == "targets"), *found]):
            raise ValueError(f"{field}: {' and '.join(twins)} are one name")
        outside = list(data.get("outside") or [])
        if field == "targets":
            found = {name: _as_target(data, name, one) for name, one in found.items()}
            scores = {name: found.pop(name) for name, one in list(found.items()) if _is_score(one)}
            if scores:
                told_scores = {name: {k: x for k, x in one.items() if k != "kind"} for name, one in scores.items()}
                data["scored"] = {**(data.get("scored") or {}), **told_scores}
            data["outside"] = [*outside, *found]
        else:
            listed = [name for name in (*(data.get("languages") or []), *outside) if isinstance(name, str)]
            data["languages"] = [*(data.get("languages") or []), *(one for one in found if not named_as(one, listed))]
        described |= found
    if described:
        data["corpus"] = {**corpus, "sources": described}
    scored = data.get("scored")
    names = [name for name, one in described.items() if isinstance(one, dict | CorpusSource)]
    return data, [*names, *(scored if isinstance(scored, dict) else ())]


def _is_score(told: Any) -> bool:
    """Whether a target is a score: it says so."""
    if isinstance(told, dict) and told.get("kind", "text") not in ("text", "score"):
        raise ValueError(f"targets: kind {told['kind']!r}; expected text or score")
    return isinstance(told, dict) and told.get("kind") == "score"


def _as_target(data: dict[str, Any], name: str, told: Any) -> Any:
    """A source of which all is measured; its weight goes to the objective."""
    if not isinstance(told, dict):
        return told
    told = {**told} if _is_score(told) else {**told, "measured": "all"}
    if told.get("kind") == "text":
        told.pop("kind")
    if "prompt_field" in told:
        told.setdefault("text_field", "completion")
    if (weight := told.pop("weight", None)) is not None:
        aim = data.get("optimize") or {}
        data["optimize"] = {**aim, "weights": {**(aim.get("weights") or {}), name: weight}}
    return told


def _with_base(data: dict[str, Any]) -> dict[str, Any]:
    """The file with what its base was trained on: measured, replayed, and left out by a baseline."""
    base = data.get("base")
    if not isinstance(base, dict) or not isinstance(base.get("languages"), list | tuple):
        return data
    sought = _tags([*(data.get("languages") or []), *(data.get("sources") or {})])
    old = [name for name in dict.fromkeys(_tags(base["languages"])) if name not in sought]
    outside = list(data.get("outside") or [])
    data["outside"] = [*outside, *(name for name in old if name not in _tags(outside))]
    described = {**((data.get("corpus") or {}).get("sources") or {}), **(data.get("sources") or {})}
    if old and base.get("replay", True) is True and REPLAY not in described:
        told = base.get("mixture")
        shares = told if isinstance(told, dict) else {}
        of = {name: share for name, share in shares.items() if set(_tags([name])) & set(old)}
        of = of if all(isinstance(share, int | float) and share > 0 for share in of.values()) else {}  # told of `base`
        data["sources"] = {**(data.get("sources") or {}), REPLAY: {"of": of or old}}
    validation = data.get("validation") or {}
    if isinstance(validation, dict) and "baselines" not in validation:
        data["validation"] = {**validation, "baselines": ["natural", "uniform", NEW_ONLY]}
    return data


def _tags(names: Sequence[Any]) -> list[str]:
    """Languages as tags, without what is none, which is told where the names stand."""
    found = []
    for name in names:
        with suppress(BadInput):
            found.append(Language.resolve(str(name)).tag)
    return found


class StudyConfig(Section):
    """A whole study: corpus → … → report."""

    name: str = Field(min_length=1, max_length=100)
    """Title of the report."""
    description: str = ""
    """What the study asks, in a sentence."""
    languages: list[str] = Field(min_length=1)
    """Languages whose share is sought, as tags ("swh_Latn"; "sw" and "swh" resolve): the short form of sources."""
    outside: list[str] = Field(default_factory=list)
    """Languages, or sources described under ``sources``, that are measured but never trained on."""
    sources: dict[str, Any] = Field(default_factory=dict, exclude=True)
    """Sources whose share is sought, beside the languages or instead: a free name (``eng/web-high``, ``code``) to the
    fields of ``corpus.sources``, or to a path alone. See docs/sources.md."""
    targets: dict[str, Any] = Field(default_factory=dict, exclude=True)
    """Texts that losses are measured on beside the held-out text of sources: a name to the fields of ``corpus.sources``
    and a ``weight`` in the objective (default 0). With ``prompt_field`` what is measured is each completion given its
    prompt, in bits per byte of the completion. With ``kind: score`` it is no text but a score, with the fields of
    ``scored``, that your own trainer measures."""
    scored: dict[str, ScoredTarget] = Field(default_factory=dict)
    """What ``targets`` with ``kind: score`` say is kept here: scores, such as accuracy, of which more is better."""
    seed: int = 0
    """Seed of everything that is drawn."""
    corpus: CorpusConfig = CorpusConfig()
    tokens: TokensConfig = TokensConfig()
    design: DesignConfig = DesignConfig()
    proxy: ProxyConfig = ProxyConfig()
    base: BaseConfig | None = None
    """What proxies that start from a model go on from; None for random weights, or where nothing is known of it."""
    first_phase: FirstPhaseConfig | None = None
    """What is behind the run already; then the mixture of its last phase is sought. None for the whole run."""
    target: TargetConfig = TargetConfig()
    sweep: SweepConfig = SweepConfig()
    fit: FitConfig = FitConfig()
    optimize: OptimizeConfig = OptimizeConfig()
    validation: ValidateConfig = ValidateConfig()
    export: list[Annotated[str, EXPORTERS.known]] = Field(default_factory=list)
    """Exporters to run (see ``glotmix exporters``)."""

    @field_validator("languages", "outside", mode="before")
    @classmethod
    def _resolve(cls, tags: Any) -> Any:
        if not isinstance(tags, list | tuple):
            return tags
        found, wrong = [], []
        for tag in tags:
            try:
                found.append(str(tag) if isinstance(tag, _Described) else Language.resolve(tag).tag)
            except BadInput as error:  # pydantic adds the field, the caller the file
                wrong.append(str(error))
        if wrong:
            raise ValueError(f"{'; '.join(wrong)}; a part of the data that is no language is described under sources")
        return found

    @model_validator(mode="before")
    @classmethod
    def _resolve_keys(cls, data: Any) -> Any:
        """Sources are among the languages, and languages as keys ("sw", "swh") are the same as in the list of them."""
        if not isinstance(data, dict):
            return data
        data, known = _with_sources(_with_base(dict(data)))
        wrong: dict[Place, str] = {}
        for field in ("languages", "outside"):
            if known and isinstance(data.get(field), list | tuple):
                data[field] = [_Described(named) if (named := named_as(one, known)) else one for one in data[field]]
        for section, fields in LANGUAGE_KEYS.items():
            if isinstance(data.get(section), dict):
                data[section] = {
                    name: _resolved(value, (section, name), known, wrong) if name in fields else value
                    for name, value in data[section].items()
                }
        limits = data.get("optimize")
        if isinstance(limits, dict) and isinstance(groups := limits.get("groups"), dict):
            own = _groups_told(data)
            told = {
                name: {"languages": own[name], **group} if isinstance(group, dict) and name in own else group
                for name, group in groups.items()
            }
            members = {
                name: _members(group, ("optimize", "groups", name), known, wrong) for name, group in told.items()
            }
            data["optimize"] = {**limits, "groups": members}
        if wrong:
            raise FieldErrors(wrong)
        return data

    @model_validator(mode="before")
    @classmethod
    def _runs_for_phases(cls, data: Any) -> Any:
        """A schedule is sought from runs whose mixture changes as the target's will, unless the design says other."""
        limits, design = (data.get(name, {}) if isinstance(data, dict) else None for name in ("optimize", "design"))
        if not isinstance(limits, dict) or not isinstance(design, dict) or limits.get("phases", 1) == 1:
            return data
        wanted = {"schedules": SCHEDULES_DRAWN, "phases": limits["phases"]}
        if isinstance(limits.get("boundaries"), list) and "phases" not in design:
            wanted["boundaries"] = limits["boundaries"]
        return {**data, "design": wanted | design}

    @model_validator(mode="before")
    @classmethod
    def _runs_for_a_last_phase(cls, data: Any) -> Any:
        """Last phases are drawn, and make no game of coalitions, unless the design says other."""
        design = data.get("design", {}) if isinstance(data, dict) else None
        if not isinstance(design, dict) or data.get("first_phase") is None:
            return data
        validation = data.get("validation") or {}
        if isinstance(validation, dict) and "baselines" not in validation:
            data = {**data, "validation": {**validation, "baselines": ["natural", "uniform"]}}
        return {**data, "design": LAST_PHASES | design}

    @model_validator(mode="after")
    def _languages_once(self) -> StudyConfig:
        wrong: dict[Place, str] = {}
        names = [*self.languages, *self.outside, *self.scored]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            field = "languages" if len(set(self.languages)) < len(self.languages) else "outside"
            wrong[field,] = f"language {listed(twice)} is listed twice (languages and outside together)"
        elif twins := named_twice(names):
            wrong["sources",] = f"{' and '.join(twins)} are one name"
        for name, one in self.corpus.described.items():
            if one.group in names and one.group != name:
                message = f"{one.group} is a source itself; give the group another name"
                wrong["sources", name, "group"] = message
        if self.base is not None and self.base.tokens is None and self.proxy.base is None:
            wrong["base", "tokens"] = (
                "expected the tokens that the base is to be trained on, or its place in proxy.base"
            )
        behind = self.first_phase.mixture if self.first_phase is not None else ""
        if isinstance(behind, dict) and (others := [name for name in behind if name not in self.languages]):
            wrong["first_phase", "mixture"] = f"{listed(others)} is none of the languages whose share is sought"
        for field in ("floors", "ceilings", "current"):
            if others := [name for name in getattr(self.optimize, field) if name not in self.languages]:
                wrong["optimize", field] = f"{listed(others)} is none of the languages whose share is sought"
        if wrong:
            raise FieldErrors(wrong)
        return self

    @property
    def scores(self) -> dict[str, Scored]:
        """Targets that are scores, and what these mean."""
        return {name: Scored(one.higher_is_better, one.chance, one.questions) for name, one in self.scored.items()}

    @property
    def starts_from_a_model(self) -> bool:
        """Whether proxies go on from a model's weights."""
        return self.base is not None or self.proxy.base is not None

    @property
    def makes_its_base(self) -> bool:
        """Whether that is a model which the study first trains."""
        return self.base is not None and self.proxy.base is None

    @property
    def joining(self) -> tuple[str, ...]:
        """Sources of which a base has read nothing; none where nothing is known of it."""
        old = {REPLAY, *(() if self.base is None else self.base.languages)}
        return () if self.base is None else tuple(name for name in self.languages if name not in old)

    @property
    def groups(self) -> dict[str, tuple[str, ...]] | None:
        """Groups of sources that are the game's players; None where every source is one. A source without the group,
        language or family that is asked for is a group of its own."""
        if (by := self.design.players) == "sources":
            return None
        found: dict[str, tuple[str, ...]] = {}
        for name in self.languages:
            group = self.corpus.grouped(name, by) or name
            found[group] = (*found.get(group, ()), name)
        return found


def load_study(path: Path, *, scale: str | None = None, overrides: Sequence[str] = ()) -> StudyConfig:
    """Read a study file, apply a scale and ``a.b=value`` overrides, and check every field.

    A file may hold ``scales: {tiny: {...}, small: {...}}``; the chosen one is merged over the rest before the check.
    ``scale`` in the file names the default.

    Raises:
        BadInput: file, line or field, the value and what was expected.
    """
    return check(read_mixture_study(path, scale=scale, overrides=overrides), where=path)


def read_mixture_study(path: Path, *, scale: str | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a study file without its kind, not yet checked.

    Raises:
        BadInput: it is of another kind.
    """
    data = read_study(path, scale=scale, overrides=overrides)
    if data.pop("kind", "mixture") != "mixture":
        raise BadInput("asks for another experiment than a mixture", where=path, expected="kind: mixture, or no kind")
    return data


def check(data: Mapping[str, Any], *, where: object = None) -> StudyConfig:
    """Validate a study given as a plain dict."""
    return checked(StudyConfig, data, where=where)
