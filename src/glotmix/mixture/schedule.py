"""Schedule: a mixture as a function of training progress."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from glotmix.artifact import read_json
from glotmix.errors import BadInput, Infeasible
from glotmix.mixture.balancing import proportional, temperature
from glotmix.mixture.mixture import Mixture, share_columns
from glotmix.notebook import Shown
from glotmix.written import made_of

if TYPE_CHECKING:
    import polars as pl

DENSE_STAGES = 20
"""Stages that stand for a continuous decay of the temperature."""


@dataclass(frozen=True)
class Stage:
    """A mixture that holds from ``start`` (share of all training tokens, 0 ≤ start < 1) until the next stage."""

    start: float
    mixture: Mixture
    restart: bool = False
    """Whether optimiser state and learning-rate schedule begin anew with this stage."""


@dataclass(frozen=True, repr=False)
class Schedule(Shown):
    """Mixtures over training, piecewise constant in the share of tokens seen.

    All stages have the same member languages, the first starts at 0 and starts increase.
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        starts = [stage.start for stage in self.stages]
        if not starts or starts[0] != 0:
            raise BadInput(f"stages start at {starts}", expected="the first stage to start at 0")
        if any(not a < b < 1 for a, b in itertools.pairwise(starts)):
            raise BadInput(f"stages start at {starts}", expected="increasing numbers below 1")
        members = set(self.stages[0].mixture)
        if any(set(stage.mixture) != members for stage in self.stages):
            raise BadInput("stages have different languages", expected="one list of languages; use share 0")

    @classmethod
    def constant(cls, mixture: Mixture) -> Schedule:
        """The same mixture from start to end."""
        return cls((Stage(0.0, mixture),))

    @property
    def languages(self) -> tuple[str, ...]:
        """Member languages, in the order of the first stage."""
        return tuple(self.stages[0].mixture)

    @property
    def is_constant(self) -> bool:
        """Whether there is one stage only."""
        return len(self.stages) == 1

    def at(self, progress: float) -> Mixture:
        """The mixture after ``progress`` (0 to 1) of all training tokens."""
        current = self.stages[0].mixture
        for stage in self.stages:
            if stage.start <= progress:
                current = stage.mixture
        return current

    def total_variation(self, other: Schedule) -> float:
        """Share of tokens in which two schedules differ; for constant ones that of their mixtures."""
        edges = sorted({stage.start for one in (self, other) for stage in one.stages} | {1.0})
        return math.fsum((b - a) * self.at(a).total_variation(other.at(a)) for a, b in itertools.pairwise(edges))

    def lengths(self) -> tuple[float, ...]:
        """Share of all tokens that each stage covers; sums to one."""
        starts = [stage.start for stage in self.stages] + [1.0]
        return tuple(b - a for a, b in itertools.pairwise(starts))

    def average(self) -> Mixture:
        """The mixture of all tokens of the run, stages weighted by their length."""
        lengths = self.lengths()
        return Mixture.normalised(
            {
                language: math.fsum(
                    length * stage.mixture[language] for length, stage in zip(lengths, self.stages, strict=True)
                )
                for language in self.languages
            }
        )

    def epochs(self, D: float, unique: Mapping[str, float]) -> dict[str, float]:
        """Passes over each language's unique tokens in the whole run of ``D`` tokens."""
        return self.average().epochs(D, unique)

    def tokens_at(self, progress: float) -> dict[str, float]:
        """Tokens of each language seen by ``progress``, as a share of all tokens of the run; sums to ``progress``."""
        starts = [stage.start for stage in self.stages] + [1.0]
        seen = [max(0.0, min(b, progress) - a) for a, b in itertools.pairwise(starts)]
        return {
            language: math.fsum(x * stage.mixture[language] for x, stage in zip(seen, self.stages, strict=True))
            for language in self.languages
        }

    def epochs_at(self, progress: float, D: float, unique: Mapping[str, float]) -> dict[str, float]:
        """Passes over each language's unique tokens ``U_l`` by ``progress`` (0 to 1) of a run of ``D`` tokens.

        Only languages that the schedule trains on, as in :meth:`epochs`.
        """
        seen = self.tokens_at(progress)
        return {language: seen[language] * D / unique[language] for language in self.average().support}

    def check_epochs(self, D: float, unique: Mapping[str, float], max_epochs: float) -> None:
        """Hold the whole schedule to a cap on epochs.

        Raises:
            Infeasible: naming the first language that passes the cap, the progress at which it does, and its epochs at
                the end.
        """
        over = [language for language, epochs in self.epochs(D, unique).items() if epochs > max_epochs * (1 + 1e-9)]
        if not over:
            return
        breaks = {language: self._reaches(language, max_epochs * unique[language] / D) for language in over}
        language = min(breaks, key=breaks.__getitem__)
        more = f" (so do {', '.join(name for name in over if name != language)} later)" if len(over) > 1 else ""
        raise Infeasible(
            f"{language} passes {max_epochs:g} epochs at progress {breaks[language]:.4f} "
            f"({breaks[language] * D:.6g} of {D:.6g} tokens) and ends at {self.epochs(D, unique)[language]:.4g}{more}",
            where="schedule",
            expected=f"at most {max_epochs:g} epochs over the whole schedule",
        )

    def _reaches(self, language: str, amount: float) -> float:
        """Progress at which a language has had ``amount`` (a share of all tokens of the run)."""
        seen = 0.0
        for stage, length in zip(self.stages, self.lengths(), strict=True):
            here = stage.mixture[language] * length
            if seen + here > amount:
                return stage.start + (amount - seen) / stage.mixture[language]
            seen += here
        return 1.0

    def to_json(self) -> list[dict[str, Any]]:
        """A list of ``{"start", "mixture"}``, with ``"restart": true`` where a stage restarts the optimiser."""
        return [
            {"start": stage.start, "mixture": stage.mixture.to_json()} | ({"restart": True} if stage.restart else {})
            for stage in self.stages
        ]

    def to_polars(self) -> pl.DataFrame:
        """One row per stage: ``start`` (share of all training tokens before it), ``restart`` (whether the optimiser
        begins anew), and ``p/<language>`` (its mixture)."""
        import polars as pl

        stages = self.stages
        told = {"start": [stage.start for stage in stages], "restart": [stage.restart for stage in stages]}
        return pl.DataFrame(told | share_columns([stage.mixture for stage in stages]))

    @classmethod
    def from_json(cls, stages: Sequence[Mapping[str, Any]] | Mapping[str, float], *, where: object = None) -> Schedule:
        """Read what :meth:`to_json` wrote, or a single mixture as a dict."""
        if isinstance(stages, Mapping):
            return cls.constant(Mixture(stages, where=where))
        try:
            return cls(
                tuple(
                    Stage(
                        float(stage["start"]), Mixture(stage["mixture"], where=where), bool(stage.get("restart", False))
                    )
                    for stage in stages
                )
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"not a schedule: {error}", where=where, expected="a list of {start, mixture}") from None


def cooldown(
    sizes: Mapping[str, float],
    tau: float = 5.0,
    end: float = 1.0,
    switch: float = 0.5,
    decay: Literal["switch", "linear", "geometric"] = "switch",
) -> Schedule:
    """Cooldown: temperature ``tau`` first, ``end`` (proportional) afterwards.

    ``switch`` is the paper's: one change, at half of the run, 5 → 1. ``linear`` and ``geometric`` are dense decays: τ
    (or ln τ) falls in ``DENSE_STAGES`` equal stages that reach ``end`` at twice ``switch``, so that the average of τ
    (or ln τ) over progress is that of one change at ``switch``; with the default, over the whole run.
    Source: Li et al., "Upsample or Upweight?" (arXiv 2410.04579), §4. Departure: the curves of its two dense variants
    are only drawn in a figure; ours are defined here.

    Raises:
        BadInput: a switch outside (0, 1), temperatures not above 0, or a dense decay with ``switch`` above 1/2.
    """
    _check_switch(switch)
    first, last = temperature(sizes, tau), temperature(sizes, end)
    if decay == "switch":
        return Schedule((Stage(0.0, first), Stage(switch, last)))
    if decay not in ("linear", "geometric"):
        raise BadInput(f"decay {decay!r}", where="cooldown", expected="switch | linear | geometric")
    if switch > 0.5:
        raise BadInput(f"a dense decay around {switch}", where="cooldown", expected="a switch of at most 0.5")
    stages = []
    for step in range(DENSE_STAGES):
        done = (step + 0.5) / DENSE_STAGES
        now = tau + (end - tau) * done if decay == "linear" else tau * (end / tau) ** done
        stages.append(Stage(2 * switch * step / DENSE_STAGES, temperature(sizes, now)))
    return Schedule((*stages, Stage(2 * switch, last)) if switch < 0.5 else tuple(stages))


def increasing(sizes: Mapping[str, float], tau: float = 5.0, start: float = 1.0, switch: float = 0.5) -> Schedule:
    """The opposite of Cooldown, its control: proportional first, temperature ``tau`` after ``switch`` (1 → 5)."""
    return cooldown(sizes, start, tau, switch)


def order_matters(
    sizes: Mapping[str, float],
    high_resource: Iterable[str],
    joint: Mixture | None = None,
    switch: float = 0.5,
    restart: bool = True,
) -> Schedule:
    """Order Matters: the high-resource languages alone first, all together afterwards.

    Source: Choi et al. (arXiv 2312.06134), who also restart optimiser and learning rate at the switch (``restart``).
    Their share of steps and joint mixtures are not published in a form we could recover: ``switch`` and ``joint`` are
    the user's, half and temperature 5 unless told.

    Args:
        sizes: unique tokens per language; the first stage is proportional to them.
        high_resource: languages of the first stage.
        joint: mixture of the second stage.
        switch: share of the run before the second stage.
        restart: whether optimiser state and learning rate begin anew at the switch.
    """
    _check_switch(switch)
    high = tuple(high_resource)
    if unknown := [language for language in high if language not in sizes]:
        raise BadInput(f"high-resource language {', '.join(unknown)} has no size", where="order_matters")
    first = proportional({language: size if language in high else 0.0 for language, size in sizes.items()})
    then = temperature(sizes, 5.0) if joint is None else joint.over(sizes)
    return Schedule((Stage(0.0, first), Stage(switch, then, restart)))


def swap(mixture: Mixture, one: str, other: str, switch: float = 0.5) -> Schedule:
    """``mixture`` first, then the same with the shares of two languages exchanged.

    Source: Schäfer et al. (arXiv 2404.07982): 90/10 then 10/90 beats 50/50 on cloned languages, and not on real ones.
    """
    _check_switch(switch)
    exchanged = mixture.to_json() | {one: mixture[other], other: mixture[one]}
    return Schedule((Stage(0.0, mixture), Stage(switch, Mixture(exchanged))))


def towards(
    optimum: Mixture, first: Mixture, switch: float = 0.5, *, D: float, unique: Mapping[str, float], max_epochs: float
) -> Schedule:
    """Stages from an optimum: ``first`` up to ``switch``, then whatever makes the whole run's average the optimum.

    ``p₂ = (p* - switch · p₁) / (1 - switch)``: order is changed, the amount of every language is not. With a flatter
    ``first`` this is a Cooldown that ends on the optimum's tokens. Ours.

    Raises:
        Infeasible: ``first`` gives a language more by the switch than the optimum does in the whole run, or a language
            passes ``max_epochs``; the message names the language and the point.
    """
    _check_switch(switch)
    first = first.over(optimum)
    left = {language: share - switch * first[language] for language, share in optimum.items()}
    language = min(left, key=left.__getitem__)
    if left[language] < -1e-12:
        raise Infeasible(
            f"{language} has all of its tokens at progress {optimum[language] / first[language]:.4f}, "
            f"before the switch at {switch:g}",
            where="schedule",
            expected=f"a first share of at most {optimum[language] / switch:.4g}, or an earlier switch",
        )
    then = Mixture.normalised({name: max(0.0, value) for name, value in left.items()})
    schedule = Schedule((Stage(0.0, first), Stage(switch, then)))
    schedule.check_epochs(D, unique, max_epochs)
    return schedule


def _check_switch(switch: float) -> None:
    if not 0 < switch < 1:
        raise BadInput(f"switch = {switch}", where="schedule", expected="a share of the run between 0 and 1")


def schedule_in(path: Path) -> Schedule:
    """The mixture or schedule in a JSON file: an optimum, ``{"mixture": …}``, a list of stages, or plain shares."""
    data = read_json(path)
    if isinstance(data, dict):
        data = data.get("schedule", data.get("mixture", data))
    with made_of(path, "shares by language, or a list of stages"):
        return Schedule.from_json(data, where=path)


def mixture_in(path: Path) -> Mixture:
    """The one mixture in a JSON file."""
    schedule = schedule_in(path)
    if len(schedule.stages) != 1:
        raise BadInput(f"holds {len(schedule.stages)} stages", where=path, expected="one mixture")
    return schedule.average()
