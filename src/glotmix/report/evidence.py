"""Evidence: everything a report may show, as plain data. A study without some stage leaves that field None."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from glotmix.estimate import Estimate
from glotmix.measurements import Measurements
from glotmix.optimize.last_phase import CONTINUED
from glotmix.optimize.turning import Turning
from glotmix.report.process import ProcessFit
from glotmix.scored import Scored
from glotmix.transfer.matrix import TransferMatrix

Objective = Literal["mean", "weighted", "normalised", "worst", "regret", "quantile"]

INSIDE = "Owen values inside groups"
"""The lens that unfolds a matrix of groups."""


@dataclass(frozen=True)
class About:
    """What a reader calls a language, and what it is grouped by."""

    name: str
    """Name in English ("Spanish"), or the source's own name."""
    family: str = ""
    """Language family, "" when unknown."""
    script: str = ""
    """Script, "" when unknown."""
    language: str = ""
    """Name of its language in English, where it is a source of another name; "" where it has none."""
    group: str = ""
    """Group that the study puts it in, "" for none."""
    kind: Literal["language", "source"] = "language"
    """What it is."""


@dataclass(frozen=True)
class CorpusRow:
    """One language of the corpus; None where it is not known."""

    language: str
    """Tag or group name."""
    documents: int | None = None
    """Documents after exact duplicates are gone."""
    bytes: int | None = None
    """UTF-8 bytes of text."""
    unique_tokens: float | None = None
    """Unique training tokens U."""
    fertility: float | None = None
    """Tokens per word."""
    bytes_per_token: float | None = None
    """UTF-8 bytes per token."""
    byte_premium: float | None = None
    """Bytes needed for the same content, relative to the reference language."""
    tokens_per_byte: float | None = None
    """Tokens per UTF-8 byte of training text."""
    parity: float | None = None
    """Tokens needed for the same content, relative to the reference language."""
    unknown_tokens: float | None = None
    """Share of its tokens that are the one for what is not in the vocabulary; None where there are none."""
    lost_text: float | None = None
    """Share of its characters that the tokenizer does not give back; None where it loses nothing."""
    epochs: float | None = None
    """Passes over U that the recommended (else the natural) mixture makes at the target budget."""


@dataclass(frozen=True)
class Candidate:
    """A mixture and what the law expects of it."""

    name: str
    """"optimum", "natural", "uniform", "current", ..."""
    mixture: Mapping[str, float]
    """Language to share of the training tokens."""
    objective: Estimate
    """Predicted value of the objective."""
    losses: Mapping[str, Estimate] = field(default_factory=dict)
    """Target to predicted loss."""
    epochs: Mapping[str, float] = field(default_factory=dict)
    """Passes over each language's unique tokens in the target run."""
    broken: tuple[str, ...] = ()
    """Limits of the optimum that it does not keep, in words."""


@dataclass(frozen=True)
class Flip:
    """The optimum under another choice of what counts."""

    name: str
    """Whose weights, or which objective."""
    mixture: Mapping[str, float]
    """Language to its share."""


@dataclass(frozen=True)
class Advice:
    """The optimum beside every baseline on the same law."""

    law: str
    """Law that the optimum was taken on."""
    objective: Objective
    """What was minimised."""
    optimum: Candidate
    """The recommended mixture."""
    baselines: tuple[Candidate, ...]
    """What it is compared with."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of each target in the objective; empty: equal weights over the targets in the mixture."""
    reference: Mapping[str, float] = field(default_factory=dict)
    """Each target's own best loss, which the relative objectives compare with."""
    gains: Mapping[str, Estimate] = field(default_factory=dict)
    """Baseline to its objective minus the optimum's (positive: the optimum is better)."""
    active: tuple[str, ...] = ()
    """Limits that the optimum touches, in words."""
    floors: Mapping[str, float] = field(default_factory=dict)
    """Least share of a language."""
    ceilings: Mapping[str, float] = field(default_factory=dict)
    """Greatest share of a language, ``max_epochs`` included."""
    groups: Mapping[str, tuple[tuple[str, ...], float, float]] = field(default_factory=dict)
    """Name to members, least and greatest sum of their shares."""
    kept: tuple[str, ...] = ()
    """Groups inside which the relative shares were kept."""
    quantile: float = 0.75
    """Share of the languages that the objective "quantile" looks at."""
    penalty: tuple[str, float, Mapping[str, float]] | None = None
    """Kind ("kl" or "l1"), weight and reference mixture of what holds the optimum back; not part of the objective."""
    flips: tuple[Flip, ...] = ()
    """The optimum if other languages counted, or if the worst-off one decided."""
    least_gain: float = 0.005
    """The least gain worth a change of mixture, relative to the objective of the mixture in use."""
    status: str = "converged"
    """How the solver ended."""
    honest: float | None = None
    """Objective to expect of a new measurement: the predicted one plus the optimism of having chosen its minimum."""
    spread: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Range of each share over mixtures that the law cannot tell from the optimum."""
    extrapolates: bool | None = None
    """Whether the optimum lies outside the convex hull of the mixtures that the law was fitted to."""


@dataclass(frozen=True)
class Order:
    """When each language is read in the recommended run, and what the law says of early and late text."""

    lengths: tuple[float, ...]
    """Shares of the run's tokens that its phases have."""
    rates: tuple[float, ...]
    """Their mean learning rates, in any unit."""
    schedules: Mapping[str, tuple[Mapping[str, float], ...]]
    """"optimum", "static", ... to language to share, phase after phase."""
    gain: Estimate
    """Its objective minus that of the schedule: positive, the schedule is better."""
    late: Mapping[str, tuple[Estimate | None, Estimate | None]]
    """Target to λ of its own text and of that of others; above zero late text counts more."""
    beside: str = "static"
    """Which of the schedules ``gain`` compares with; "continued" where only the last phase was sought."""

    @property
    def behind(self) -> int:
        """Phases that are behind the run, and the same in every schedule."""
        return len(self.lengths) - 1 if self.beside == CONTINUED else 0


@dataclass(frozen=True)
class Repeats:
    """What a law of text that is read again needs to know in the page."""

    unique: tuple[float, ...] | None
    """Unique tokens in the order of the languages; None where passes are not known."""
    added: bool
    """Whether what is learned by heart is added to the loss."""


@dataclass(frozen=True)
class FormDraws:
    """Errors of a law's form in its resamples: ``exp(√(2/F) Σ_f A_bft cos(ω_f · √p + φ_f))`` times the losses."""

    turn_LF: np.ndarray
    """ω."""
    phase_F: np.ndarray
    """φ."""
    amplitude_BFT: np.ndarray
    """A; of a corrected law in units of the deviation of its process."""


@dataclass(frozen=True)
class LawFit:
    """A fitted law, as the page evaluates it: parameters by name, one row per target (see ``report.fitted``)."""

    name: str
    """As on the command line."""
    form: str
    """Formula in assets/law.js."""
    formula: str
    """In the paper's letters."""
    source: str
    """Paper and equation."""
    languages: tuple[str, ...]
    """Languages trained on, [L]."""
    targets: tuple[str, ...]
    """Targets that the law was fitted for, [T]."""
    parameters: tuple[str, ...]
    """Parameter names, [P]; weights ``w/<language>`` or ``a/<language>`` stand last, in the order of ``languages``."""
    theta_TP: np.ndarray
    """Fitted parameters."""
    theta_BTP: np.ndarray | None = None
    """Bootstrap resamples of them."""
    varies: frozenset[str] = frozenset()
    """Which of "N" and "D" the law has terms for."""
    N: float = float("nan")
    """Model size that predictions are for."""
    D: float = float("nan")
    """Training tokens that predictions are for."""
    repeats: Repeats | None = None
    """For laws of text that is read again."""
    draws: FormDraws | None = None
    """Errors of its form; None where the resamples have none."""
    processes: tuple[ProcessFit, ...] = ()
    """Gaussian processes that correct it, one per target; empty where there are none."""
    most: tuple[float | None, ...] = ()
    """Error of guessing of each target that is a score; None for a loss; empty: no scores."""
    stands_on: tuple[str, ...] = ()
    """Target whose parameters each target has: itself, or the loss that a score goes through; empty: itself."""
    further: tuple[float, ...] = ()
    """What a relative change of that loss does to what stands for the score, relatively; empty: 1."""


@dataclass(frozen=True)
class HeldOutPredictions:
    """One law on mixtures that it was not fitted to, for one target."""

    law: str
    """Law."""
    target: str
    """Language predicted."""
    runs: tuple[str, ...]
    """Run names, [R]."""
    predicted_R: np.ndarray
    """Predicted losses."""
    measured_R: np.ndarray
    """Measured losses."""


@dataclass(frozen=True)
class Trained:
    """The closed loop: a mixture that was trained after it was predicted."""

    name: str
    """As in :class:`Candidate`."""
    measured: Mapping[str, tuple[float, ...]]
    """Target to measured losses, one per seed."""
    predicted: Mapping[str, Estimate] = field(default_factory=dict)
    """Target to predicted loss."""
    objective: Estimate | None = None
    """Predicted value of the objective."""
    objectives: tuple[float, ...] = ()
    """Measured objective of each seed; empty: the page computes it from ``measured``."""
    differences: Mapping[str, Estimate] = field(default_factory=dict)
    """Target to its measured loss minus the optimum's, as the study tested it (positive: the optimum is better)."""
    difference: Estimate | None = None
    """Measured objective minus the optimum's with its 95 % interval (positive: the optimum is better), as the study
    tested it; None: the page tests it without pairing the seeds."""


@dataclass(frozen=True)
class BaseModel:
    """The model that proxies went on from."""

    losses: Mapping[str, float]
    """Target to its loss before any further training."""
    languages: tuple[str, ...] = ()
    """What it was trained on; empty where that is not known."""
    tokens: float | None = None
    """Tokens that it was trained on."""
    N: float | None = None
    """Parameters without embeddings."""
    name: str = ""
    """Where it comes from, in words."""


@dataclass(frozen=True)
class Spending:
    """What the study took."""

    runs: Mapping[str, int]
    """Status ("complete", "diverged", ...) to number of runs."""
    tokens: float | None = None
    """Training tokens over all runs."""
    flops: float | None = None
    """Training FLOPs over all runs."""
    seconds: float | None = None
    """Wall-clock seconds of the study."""
    target_flops: float | None = None
    """FLOPs of the run that the study is for."""
    by_stage: Mapping[str, float] = field(default_factory=dict)
    """Stage to wall-clock seconds."""


@dataclass(frozen=True)
class RunRow:
    """One planned run, for the table of runs."""

    run: str
    """Name."""
    role: str = ""
    """What it was planned for."""
    status: str = "complete"
    """"complete", "diverged", ..."""
    seed: int = 0
    """Seed."""
    N: float | None = None
    """Parameters without embeddings."""
    D: float | None = None
    """Training tokens."""
    seconds: float | None = None
    """Wall-clock seconds."""
    began: float | None = None
    """When the job that trained it began, in seconds of the clock; runs of one stack share a job."""
    ended: float | None = None
    """When that job ended."""


@dataclass(frozen=True)
class Interactions:
    """How pairs of languages work together; symmetric, positive where they help more together than apart."""

    languages: tuple[str, ...]
    """Languages trained on, [L]."""
    value_LL: np.ndarray
    """Pairwise Shapley interaction index, mean over the targets in the mixture; zero on the diagonal."""
    unit: str = "bpb"
    """Unit of the values."""
    half_LL: np.ndarray | None = None
    """Half-widths of intervals that hold for all pairs at once with 95 %; None where nothing was repeated."""


@dataclass(frozen=True)
class Front:
    """Mixtures that no allowed mixture beats in both the stated objective and a second one, by the law."""

    first: str
    """What the stated objective is, in words."""
    second: str
    """What the second one is."""
    points: tuple[tuple[float, float, Mapping[str, float]], ...]
    """(first, second, mixture), from the best for the first to the best for the second; these two alone where the
    stated objective is a maximum, whose front is not known."""
    known: Mapping[str, tuple[Estimate, Estimate]] = field(default_factory=dict)
    """"optimum", "natural", ... to what the law says of both objectives."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of each target in the second objective, which is a mean of losses."""
    errors: tuple[bool, bool] = (False, False)
    """Whether each of the two is of errors of scores, one minus the score."""


@dataclass(frozen=True)
class Evidence:
    """All that one report shows."""

    title: str
    """Name of the study."""
    description: str = ""
    """What it asked, in a sentence."""
    about: Mapping[str, About] = field(default_factory=dict)
    """Language to its name, family and script."""
    measurements: Measurements | None = None
    """Runs and losses."""
    runs: tuple[RunRow, ...] = ()
    """Every planned run, diverged ones included; empty: those in ``measurements``."""
    census: tuple[CorpusRow, ...] = ()
    """The corpus."""
    transfer: Mapping[str, TransferMatrix] = field(default_factory=dict)
    """Lens ("Shapley values", "influence", ...) to matrix; the first is the one shown in full."""
    interactions: Interactions | None = None
    """How pairs of languages work together."""
    front: Front | None = None
    """What one objective costs in terms of another."""
    held_out: tuple[HeldOutPredictions, ...] = ()
    """Held-out predictions of every law."""
    law: LawFit | None = None
    """The law chosen."""
    advice: Advice | None = None
    """The optimum."""
    turning: tuple[Turning, ...] = ()
    """Loss of each language against passes over its text; empty where the law knows no repetition."""
    order: Order | None = None
    """When each language is read; None for a single mixture."""
    trained: tuple[Trained, ...] = ()
    """The closed loop."""
    base: BaseModel | None = None
    """What proxies went on from; None for random weights, or where its losses are not known."""
    noise: Mapping[str, float] = field(default_factory=dict)
    """Target to the standard deviation between seeds of one mixture."""
    cost: Spending | None = None
    """What it took."""
    simulated_epochs: bool | None = None
    """Whether proxies repeated data as often as the target run would; None where no target run is named."""
    held_out_by: str = ""
    """How the held-out predictions came about, in words."""
    text: str = ""
    """What kind of text the proxies read."""
    target: tuple[float | None, float | None] = (None, None)
    """Parameters and tokens of the run that the study is for."""
    warnings: tuple[str, ...] = ()
    """What stages had to say: fits not converged, shares rescaled, ..."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The resolved configuration."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Versions, hashes, machine, command."""
    exports: Mapping[str, str] = field(default_factory=dict)
    """Exporter to the directory or snippet it wrote."""
    unit: str = "bpb"
    """Unit of the losses."""
    scored: Mapping[str, Scored] = field(default_factory=dict)
    """Targets that are scores. Everything here holds their errors, one minus the score, in the place of losses; the
    page turns them round (:mod:`glotmix.report.frames.units`)."""

    def name_of(self, language: str) -> str:
        """What the page calls a language."""
        about = self.about.get(language)
        return about.name if about is not None and about.name else language

    def called(self, names: Iterable[str], several: str | None = None) -> str:
        """What these are, in a word: "language", "source", or "group" for names of a table of which nothing is known.

        Languages among sources (or groups) are sources (groups) too, or else all are what ``several`` says.
        """
        kinds = {about.kind if (about := self.about.get(name)) else "group" for name in names}
        if several and len(kinds) > 1:
            return several
        return next((kind for kind in ("group", "source") if kind in kinds), "language")

    @property
    def mixes(self) -> str:
        """What the study mixes, in a word."""
        return self.called(self._mixed())

    @property
    def measures(self) -> str:
        """What it measures losses or scores of, in a word: "target" where these are of several kinds."""
        targets = self._measured() or self._mixed()
        return "target" if self.scored else self.called(targets, "target")

    def in_own_words(self, text: str) -> str:
        """A sentence about languages, without the name of any, said of what this study mixes, or has outside of it."""
        inside = set(self._mixed())

        def word(found: re.Match[str]) -> str:
            out = found["outside"] or ""
            kind = self.called([t for t in self._measured() if t not in inside]) if out else self.mixes
            return f"{kind}{found['plural']}{out}"

        return re.sub(r"\blanguage(?P<plural>s?)\b(?P<outside> outside)?", word, text)

    def _mixed(self) -> Collection[str]:
        if self.advice is not None:
            return self.advice.optimum.mixture
        return self.law.languages if self.law else self.measurements.languages if self.measurements else ()

    def _measured(self) -> Collection[str]:
        told = (self.advice.optimum.losses if self.advice else ()) or (self.law.targets if self.law else ())
        return told or (self.measurements.targets if self.measurements else ())
