"""The stages of a mixture study: plan, transfer, laws, noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from glotmix.artifact import read_json, write_json
from glotmix.errors import BadInput
from glotmix.fit.choice import repeated
from glotmix.fit.fit import Fit, fit
from glotmix.fit.holdout import Holdout, cross_validate, judge
from glotmix.fit.selection import choose
from glotmix.fit.splits import mixtures_of
from glotmix.fit.staging import Staging, choose_stages
from glotmix.laws import find_law, with_order
from glotmix.laws.repetition import OF_REPETITION
from glotmix.measurements import Measurements
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.groups import Groups, coalitions_of_groups
from glotmix.optimize.objective import objective_from
from glotmix.optimize.passes import Passes, passes_for
from glotmix.studies.mixture.base import NOTE, note_base, open_base, tokenizer_of_base
from glotmix.studies.mixture.config import StudyConfig
from glotmix.studies.mixture.first_phase import FirstPhase, begin_runs, first_phase_in
from glotmix.studies.mixture.plan import plan
from glotmix.study.directory import StudyDirectory
from glotmix.study.training import Training, on_rung, sized
from glotmix.sweep.sweep import StartingModel, SweepSpec
from glotmix.tokens.store import TokenStore
from glotmix.tokens.tokenizer import Tokenizer
from glotmix.transfer.game import Game, game_from
from glotmix.transfer.groups import between, by_group, folded, owen, summed
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.measured import estimated
from glotmix.transfer.shapley import exact

WAITS = "waits for your trainer"
"""Why a run that is trained elsewhere is not among the measurements of a page that is written before the end."""


@dataclass(frozen=True)
class Judgement:
    """What the laws are worth."""

    law: str
    """The law chosen."""
    fits: dict[str, Fit]
    """Every law that could be fitted, fitted to all runs of the design."""
    crossed: Holdout
    """Cross-validation over the fitting runs: what the choice was made by."""
    held_out: Holdout | None
    """Errors on the held-out swarm; None without one."""
    staging: Staging = field(default_factory=Staging)
    """How scores are fitted, and what the other way would have been worth."""


@dataclass(frozen=True)
class MixtureStudy(Training):
    """The stages of a study of mixtures, in order; the one place that knows them all.

    What determines the runs (languages, corpus, tokens, design, proxy, target, seed) is fixed when a directory is
    first used; how they are fitted, optimised, validated and reported may change between calls.
    """

    config: StudyConfig
    """What is asked."""

    @classmethod
    def of(cls, config: StudyConfig, directory: StudyDirectory) -> MixtureStudy:
        """A study in its directory; the sizes of its ladder are worked out."""
        per, vocab = config.design.ladder_tokens, config.tokens.vocab_size
        config = config.model_copy(update={"proxy": sized(config.proxy, vocab)})
        rungs = {size: on_rung(config.proxy, size, vocab, tokens_per_parameter=per) for size in config.design.ladder}
        scores = {name: one.model_dump(mode="json") for name, one in config.scored.items()}
        return cls(config, directory.base, directory.path, directory.narrator, directory.mirror, rungs, scores=scores)

    def tokenizer(self) -> Tokenizer | None:
        return tokenizer_of_base(self, self.config)

    def starting(self) -> StartingModel | None:
        return self._start

    @cached_property
    def _start(self) -> StartingModel | None:
        return open_base(self, self.config)

    def note_base(self, store: TokenStore, measurements: Measurements) -> None:
        """Write ``base.json``, where proxies start from a model: what it is, and its losses before further training."""
        if (start := self.starting()) is not None:
            note_base(self, self.config, start, store, measurements.before)

    def base_losses(self) -> dict[str, float]:
        """Losses of the base by target, bits per byte; nothing where there is none, or they are not known."""
        path = self.directory / NOTE
        return dict(read_json(path)["losses"]) if self.config.starts_from_a_model and path.is_file() else {}

    def plan(self, store: TokenStore) -> list[PlannedRun]:
        """The planned runs, also written to ``plan.json``."""
        sizes = {size: proxy.tokens for size, proxy in self.sizes.items()}
        runs = plan(self.config, self.natural(store), sizes, self.unique(store), self.first_phase(store))
        write_json(self.directory / "plan.json", [run.to_json() for run in runs])
        return runs

    def first_phase(self, store: TokenStore) -> FirstPhase | None:
        """What is behind the runs, where a last phase is sought."""
        return first_phase_in(self.directory, self.config, self.base, self.natural(store))

    def train(self, runs: list[PlannedRun], spec: SweepSpec, label: str, store: TokenStore) -> dict[str, str]:
        """:meth:`run`, after the first phases that the runs go on from."""
        if (first := self.first_phase(store)) is not None:
            begin_runs(self, first, runs, spec, self.config.seed)
        return self.run(runs, spec, label)

    def empty_loss(self, store: TokenStore) -> dict[str, float]:
        """Loss of the empty coalition per target, bits per byte: that of the base, where proxies start from one."""
        guessed = {target: one.most for target, one in self.config.scores.items()}
        if before := self.base_losses():
            return guessed | before
        targets = (*self.config.languages, *self.config.outside)
        if self.config.design.empty == "unigram":
            return guessed | {target: store.unigram_bits_per_byte(target) for target in targets}
        return guessed | {target: store.uniform_bits_per_byte(target) for target in targets}

    def transfer(self, measurements: Measurements, store: TokenStore) -> TransferMatrix | None:
        """Shapley values of every coalition game, Owen values where groups play it: exact from all coalitions,
        estimated from some, None without any, or where only groups have values."""
        kind, groups = self.config.design.coalitions, self.config.groups
        if kind in ("none", "between"):
            return None
        played, empty = measurements.with_role("coalition", "anchor"), self.empty_loss(store)
        try:
            if kind == "sampled":
                matrix = estimated(played, empty, self.config.seed, groups=groups)
            elif groups is None:
                matrix = exact(game_from(played, empty))
            else:
                matrix = owen(self._game_of_groups(played, empty, groups), groups)
        except BadInput as error:  # a coalition that failed, or has not come back
            if kind == "sampled":
                raise
            self.narrator.say(f"  Shapley values are estimated: {error.message}")
            matrix = estimated(played, empty, self.config.seed, groups=groups)
        origin = "base" if self.base_losses() else self.config.design.empty
        notes = {**matrix.notes, "budget": self.config.design.budget, "empty": origin}
        matrix = TransferMatrix(
            matrix.targets,
            matrix.sources,
            matrix.value_TL,
            matrix.low_TL,
            matrix.high_TL,
            matrix.unit,
            matrix.method,
            notes,
        )
        write_json(self.directory / "transfer.json", matrix.to_json())
        return matrix

    def between(
        self, measurements: Measurements, transfer: TransferMatrix | None, store: TokenStore
    ) -> TransferMatrix | None:
        """Shapley values of groups for groups, where these are the players; None where sources are, or nothing is
        known. Those of groups for single targets are written to ``transfer_between.json``."""
        groups = self.config.groups
        if groups is None or self.config.design.coalitions == "none":
            return None
        played, empty = measurements.with_role("coalition", "anchor"), self.empty_loss(store)
        if self.config.design.coalitions == "between":
            matrix = exact(game_from(by_group(played, groups), empty))
        elif self.config.design.coalitions == "all":
            matrix = between(self._game_of_groups(played, empty, groups), groups)
        else:
            assert transfer is not None
            matrix = summed(transfer, groups)
        write_json(self.directory / "transfer_between.json", matrix.to_json())
        return folded(matrix, groups)

    def _game_of_groups(self, played: Measurements, empty: Mapping[str, float], groups: Groups) -> Game:
        """The game on the coalitions that were planned: whole groups with parts of one more."""
        needed = coalitions_of_groups(played.languages, groups)
        return game_from(played, empty, np.array([[name in one for name in played.languages] for one in needed]))

    def laws(self, measurements: Measurements, transfer: TransferMatrix | None) -> Judgement:
        """Judge every law, choose one, and fit all of them to all runs.

        The choice is made by cross-validation, on the swarm where there is one: mixtures of all languages are what an
        optimum needs, and coalitions are not. Each part of it is predicted by laws fitted to everything else. The
        errors of a held-out swarm are those of laws that have not seen it. The laws returned are fitted to everything.
        """
        config = self.config
        known = measurements.with_role("coalition", "anchor", "swarm", "schedule", "ladder", "active", "turn")
        swarm = known.with_role("swarm")
        held = len(swarm) > 0 and config.design.swarm_roles == "held_out"
        fit_on = known.where(np.array([role != "swarm" for role in known.role_R])) if held else known
        fresh = not repeated(known)  # a law of repetition says nothing more there than the one that it stands on
        idle = [name for name in config.fit.laws if fresh and name in OF_REPETITION and name != config.fit.choose]
        names = [name for name in config.fit.laws if name not in idle]
        if known.changes_R.any():
            names = [*names, *(one for one in map(with_order, names) if one is not None and one not in names)]
        laws = [find_law(name) for name in names]
        seed, weights = config.fit.seed, config.fit.weights
        with self.narrator.bar("Judging laws") as tell:
            folds, values = config.fit.folds, self._values_in_fold(transfer)
            inside_R = np.array([role in ("swarm", "schedule") for role in known.role_R])
            judged_R = inside_R if len(swarm) > 1 and mixtures_of(swarm).max() > 0 else None
            crossed = cross_validate(
                laws,
                known,
                folds=folds,
                seed=seed,
                transfer=values,
                weights=weights,
                judged_R=judged_R,
                tell=tell,
            )
            judged = None
            if held:
                judged = judge(laws, fit_on, swarm, seed=seed, transfer=transfer, weights=weights, tell=tell)
        aim = objective_from(config.optimize, known.targets, known.languages, known.scored)
        counted = [aim.targets[t] for t in aim.members]
        counted += [target for target in known.scored if target not in counted]
        name = choose(crossed, counted) if config.fit.choose == "auto" else config.fit.choose
        if name not in names:
            raise BadInput(f"fit.choose = {name!r}", expected=" | ".join(["auto", *names]))
        how: dict[str, Any] = {"folds": folds, "seed": seed, "transfer": values, "weights": weights}
        staging = choose_stages(name, known, crossed, judged_R=judged_R, **how)
        fits = {}
        for law in laws:
            resamples = config.fit.bootstrap if law.name == name else 0
            try:
                more: dict[str, Any] = {"bootstrap": resamples, "staged": staging.staged}
                fits[law.name] = fit(law, known, transfer=transfer, seed=seed, weights=weights, **more)
            except BadInput as error:  # already told by the judgement; another law was chosen
                self.narrator.say(f"  {error}")
        for law_name, fitted in fits.items():
            write_json(self.directory / "fits" / f"{law_name}.json", fitted.to_json())
        told = {"cross_validated": crossed.to_json(), "held_out": None if judged is None else judged.to_json()}
        told |= {"staging": staging.to_json()} if staging.scores else {}
        write_json(self.directory / "fits" / "holdout.json", {"chosen": name, **told})
        return Judgement(name, fits, crossed, judged, staging)

    def passes(self, fitted: Fit, store: TokenStore) -> Passes:
        """How often the target run may read a language, under the law that the optimum is taken on."""
        limits, languages = self.config.optimize, self.config.languages
        return passes_for(limits, fitted, languages, unique=self.unique(store), D=self.target_tokens())

    def _values_in_fold(self, transfer: TransferMatrix | None) -> Callable[[Measurements], TransferMatrix] | None:
        """Shapley values from the coalitions that a fold is fitted to, so that nothing leaks from those held out."""
        if transfer is None:
            return None
        empty = transfer.notes["empty_loss"]
        seed, groups = self.config.seed, self.config.groups
        return lambda runs: estimated(runs.with_role("coalition", "anchor"), empty, seed, groups=groups)

    def noise(self, measurements: Measurements) -> dict[str, float]:
        """Standard deviation of each target's loss between seeds of one mixture, pooled over repeated mixtures."""
        measurements = measurements.where(np.array([role != "ladder" for role in measurements.role_R]))
        squares: dict[str, list[float]] = {target: [] for target in measurements.targets}
        degrees = 0
        keys = [tuple(np.round(row, 9)) for row in measurements.p_RL]
        for key in set(keys):
            rows = np.array([k == key for k in keys])
            if rows.sum() > 1:
                degrees += int(rows.sum()) - 1
                losses = measurements.loss_RT[rows]
                for target, sums in zip(measurements.targets, ((losses - losses.mean(0)) ** 2).sum(0), strict=True):
                    squares[target].append(float(sums))
        return {target: float(np.sqrt(sum(values) / degrees)) for target, values in squares.items()} if degrees else {}
