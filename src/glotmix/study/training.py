"""The stages of a study, in order; the one place that knows them all.

Every stage leaves its result in the study's directory. Called again, what is complete is not done again. What
determines the runs (languages, corpus, tokens, design, proxy, target, seed) is fixed when a directory is first used;
how they are fitted, optimised, validated and reported may change between calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from glotmix.artifact import first_difference, read_json, write_json
from glotmix.config import checked
from glotmix.corpus.readers import open_reader
from glotmix.corpus.sketch import Sketch, sketch
from glotmix.errors import BadInput, GlotmixError
from glotmix.fit.fit import Fit, fit
from glotmix.fit.holdout import Holdout, choose, cross_validate, judge
from glotmix.laws import find_law
from glotmix.measurements import Measurements, from_tables
from glotmix.mixture.balancing import proportional
from glotmix.mixture.design import PlannedRun, simulated_epoching
from glotmix.mixture.mixture import Mixture
from glotmix.proxy.config import ProxyConfig
from glotmix.studies.mixture.config import StudyConfig, check
from glotmix.studies.mixture.plan import plan
from glotmix.study.mirror import Mirror
from glotmix.study.narrator import Narrator
from glotmix.study.status import Progress
from glotmix.sweep.executors import Executor, open_executor
from glotmix.sweep.loggers import open_logger
from glotmix.sweep.sweep import SweepSpec, Tally, run_sweep, tables, write_tables
from glotmix.sweep.tokenising import Scattered
from glotmix.sweep.tracking import Shown
from glotmix.tokens.build import build_store
from glotmix.tokens.opening import open_store
from glotmix.tokens.store import TokenStore
from glotmix.transfer.estimate import estimated
from glotmix.transfer.game import game_from
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.shapley import exact

LARGEST_NODE = 64
"""Processes that are measured side by side at most, where a cluster says nothing of its nodes."""
RUN_SECTIONS = ("languages", "outside", "seed", "corpus", "tokens", "design", "proxy", "target")
"""Sections that determine the runs; a directory belongs to one value of them."""


def on_rung(
    proxy: ProxyConfig, size: str, vocab: int, told: Set[str] = frozenset(), tokens_per_parameter: float = 20.0
) -> ProxyConfig:
    """``proxy`` with the shape, batch, learning rate and tokens of a size, the fields in ``told`` as they are."""
    from glotmix.proxy.ladder import TOKENS_PER_PARAMETER, rung

    overtrain = tokens_per_parameter / TOKENS_PER_PARAMETER
    by_rule = rung(size, vocab=vocab, context=proxy.context, tied=proxy.tied, overtrain=overtrain).training(proxy)
    kept = {name: getattr(proxy, name) for name in told}
    return checked(ProxyConfig, by_rule.model_dump() | kept, where=f"proxy of size {size}")


def sized(config: StudyConfig) -> StudyConfig:
    """The configuration with ``proxy.size`` worked out.

    Raises:
        BadInput: a size that is none.
    """
    if config.proxy.size is None:
        return config
    told = config.proxy.model_fields_set - {"size"}
    proxy = on_rung(config.proxy, config.proxy.size, config.tokens.vocab_size, told)
    return config.model_copy(update={"proxy": proxy})


def gpus() -> int:
    """GPUs of this machine that torch can use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


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
    fitted_on: Measurements
    """Runs that the judged laws were fitted to."""
    judged_on: Measurements
    """Runs that they were judged on."""


@dataclass(frozen=True)
class Study:
    """A configuration, the place of its files, and the directory of its results."""

    config: StudyConfig
    """What is asked."""
    base: Path
    """Directory that relative paths of the configuration start from (that of the study file)."""
    directory: Path
    """Where results go."""
    narrator: Narrator
    """Where progress goes."""

    def claim(self) -> None:
        """Write the configuration into the directory, or check that the one in it determines the same runs.

        Raises:
            BadInput: the directory belongs to a study with other runs; the message names the first difference.
        """
        path = self.directory / "study.json"
        mine = self.config.model_dump(mode="json")
        if path.exists():
            # Checked again, so that a field that is newer than the directory has its default there.
            theirs = check(read_json(path), where=path).model_dump(mode="json")
            old, new = ({key: config.get(key) for key in RUN_SECTIONS} for config in (theirs, mine))
            if old != new:
                raise BadInput(
                    f"holds a study made by another configuration: {first_difference(old, new)}",
                    where=self.directory,
                    expected="the same configuration, or another --out directory",
                )
        write_json(path, mine)

    def mirror(self) -> Mirror | None:
        """The object store that the study's results are sent to, if it names one."""
        url = self.config.sweep.mirror
        return None if url is None else Mirror(url, self.directory, self.narrator.say)

    def tokens(self) -> TokenStore:
        """Read, split and tokenise the corpus, or open the store that is there."""
        config = self.config
        languages = [*config.languages, *config.outside]
        reader = open_reader(config.corpus, languages, self.base)
        scatter = Scattered(lambda: open_executor(config.sweep), self.directory / "jobs", config.sweep.retries)
        alone = config.sweep.executor == "local" and config.sweep.workers == 1
        with self.narrator.bar("Reading the corpus") as advance:
            return build_store(
                self.directory / "tokens",
                reader,
                languages,
                config.tokens,
                held_out=config.corpus.held_out,
                min_tokens=config.proxy.context + 1,
                base=self.base,
                progress=advance,
                scatter=None if alone else scatter,
            )

    def sketches(self) -> dict[str, Sketch]:
        """Documents, bytes and duplicates of every language, without tokenising anything."""
        languages = [*self.config.languages, *self.config.outside]
        reader = open_reader(self.config.corpus, languages, self.base)
        with self.narrator.bar("Reading the corpus") as advance:
            found = {}
            for number, language in enumerate(languages):
                advance(f"Reading {language}", number, len(languages))
                found[language] = sketch(reader.documents(language))
        return found

    def unique(self, store: TokenStore) -> dict[str, float]:
        """Unique tokens U of each trained language in the target's corpus (the study's own unless told otherwise)."""
        told = self.config.target.unique_tokens
        return {
            language: float(told.get(language, store.unique_tokens(language))) for language in self.config.languages
        }

    def natural(self, store: TokenStore) -> Mixture:
        """Shares proportional to unique tokens."""
        return proportional(self.unique(store))

    def target_tokens(self) -> float:
        """Training tokens of the target run; the proxies' own when the study names none."""
        return self.config.target.tokens or self.config.proxy.tokens

    def available(self, store: TokenStore, proxy: ProxyConfig | None = None) -> dict[str, int]:
        """Sequences of each language that a proxy (default: the study's own) may draw from.

        With simulated epoching (arXiv 2606.07597 shows why) they are cut so that a proxy of ``D`` tokens repeats a
        language as often as the target run of ``D*`` tokens would: ``U_l D / D*`` unique tokens.

        Raises:
            BadInput: a language is left with less than one sequence.
        """
        config, proxy = self.config, proxy or self.config.proxy
        context = proxy.context
        tokens = {language: float(store.unique_tokens(language)) for language in config.languages}
        if proxy.simulate_epochs and config.target.tokens:
            wanted = simulated_epoching(self.unique(store), config.target.tokens, proxy.tokens)
            tokens = {language: min(tokens[language], wanted[language]) for language in tokens}
        sequences = {language: int((count - 1) // context) for language, count in tokens.items()}
        for language, count in sequences.items():
            if count < 1:
                raise BadInput(
                    f"{language} has {tokens[language]:.0f} unique tokens for a proxy, fewer than one sequence",
                    where=f"{self.directory}/tokens",
                    expected=f"at least {context + 1}: more text, longer proxies, or a smaller target.tokens",
                )
        return sequences

    def plan(self, store: TokenStore) -> list[PlannedRun]:
        """The planned runs, also written to ``plan.json``."""
        sizes = {size: proxy.tokens for size, proxy in self.ladder().items()}
        runs = plan(self.config, self.natural(store), sizes)
        write_json(self.directory / "plan.json", [run.to_json() for run in runs])
        return runs

    def sweep_spec(self, store: TokenStore, runs: int) -> SweepSpec:
        """What all runs of the study have in common; the stack size is chosen once and remembered."""
        config, together = self.config, self.config.sweep.devices_per_run
        for proxy in (config.proxy, *self.ladder().values()):
            if proxy.batch % together:
                raise BadInput(
                    f"batch of {proxy.batch} over {together} devices",
                    where="sweep.devices_per_run",
                    expected="a divisor of every proxy's batch",
                )
        return SweepSpec(
            directory=self.directory,
            store=self.directory / "tokens",
            store_fingerprint=store.fingerprint,
            proxy=config.proxy,
            available=self.available(store),
            targets=(*config.languages, *config.outside),
            stack=self._stack(store, runs),
            device=self.device(),
            devices_per_run=config.sweep.devices_per_run,
            sizes=self.ladder(),
            available_at={size: self.available(store, proxy) for size, proxy in self.ladder().items()},
        )

    def device(self) -> str:
        """Kind of device that proxies train on."""
        wanted = self.config.sweep.device
        return wanted if wanted != "auto" else "cuda" if gpus() else "cpu"

    def executor(self) -> Executor:
        """What runs the proxies: as many side by side as the study says, else one per core or per GPU."""
        sweep = self.config.sweep
        if sweep.workers is None and self.device() == "cuda":
            sweep = sweep.model_copy(update={"workers": max(1, gpus() // sweep.devices_per_run)})
        elif sweep.workers is None and sweep.devices_per_run > 1:
            sweep = sweep.model_copy(update={"workers": max(1, (os.cpu_count() or 1) // sweep.devices_per_run)})
        return open_executor(sweep)

    def processes_here(self) -> int:
        """Processes side by side on one machine, for measuring how to pack; starts no cluster."""
        if self.config.sweep.executor == "local":
            return self.executor().workers
        return min(self.config.sweep.workers or LARGEST_NODE, len(os.sched_getaffinity(0)))

    def ladder(self) -> dict[str, ProxyConfig]:
        """Proxies of the sizes in ``design.ladder``."""
        config = self.config
        per = config.design.ladder_tokens
        return {
            size: on_rung(config.proxy, size, config.tokens.vocab_size, tokens_per_parameter=per)
            for size in config.design.ladder
        }

    def _stack(self, store: TokenStore, runs: int) -> int:
        """Proxies per job: told, or measured once and remembered (the numbers of a resumed study depend on it)."""
        path = self.directory / "packing.json"
        if path.exists():
            return int(read_json(path)["stack"])
        if (told := self.config.sweep.stack) is not None:
            write_json(path, {"stack": told, "explanation": "sweep.stack of the study"})
            return told
        from glotmix.proxy.model import Shape
        from glotmix.proxy.pack import choose as choose_packing

        proxy, workers = self.config.proxy, self.processes_here()
        packing = choose_packing(
            Shape.of(proxy, store.vocab_size), proxy, runs, device=self.device(), processes=workers
        )
        self.narrator.say(packing.explanation)
        write_json(path, packing.to_json())
        return packing.stack

    def run(self, runs: list[PlannedRun], spec: SweepSpec, label: str) -> dict[str, str]:
        """Train what is missing of ``runs``; reasons of those that failed."""
        executor = self.executor()
        note = Progress(self.directory, label, self._flops(runs, spec))
        shown, mirror = None, self.mirror()
        if (logger := self.config.sweep.logger) is not None:
            shown = Shown(open_logger(logger, self.config.name), self.directory, runs, self.narrator.say)
        with self.narrator.bar(label) as advance:

            def show(tally: Tally) -> None:
                note(tally)
                if shown is not None:
                    shown.look()
                if mirror is not None:
                    mirror.look()
                failed = f", {tally.failed} failed" if tally.failed else ""
                what = f"{label}: {tally.done} of {tally.total} runs{failed}"
                advance(what, tally.tokens_done, tally.tokens_total)

            failed = run_sweep(runs, spec, executor, retries=self.config.sweep.retries, progress=show)
        if shown is not None:
            shown.look(now=True)
        for run, reason in failed.items():
            self.narrator.say(f"  {run} failed: {reason.splitlines()[-1] if reason else 'no reason given'}")
        return failed

    def _flops(self, runs: list[PlannedRun], spec: SweepSpec) -> float:
        """Training compute of runs."""
        from glotmix.proxy import flops
        from glotmix.proxy.model import Shape

        vocab = open_store(spec.store).vocab_size
        proxies = [spec.proxy_of(run) for run in runs]
        cost = {proxy: flops.per_token(Shape.of(proxy, vocab), proxy.context) for proxy in dict.fromkeys(proxies)}
        return float(sum(run.tokens * cost[proxy] for run, proxy in zip(runs, proxies, strict=True)))

    def measure(self, runs: list[PlannedRun], spec: SweepSpec, failed: dict[str, str]) -> Measurements:
        """Write the two tables of all runs and read them as measurements."""
        table, losses = tables(runs, spec, failed)
        write_tables(self.directory, table, losses)
        lost = table.filter(pl.col("status") != "complete")
        for row in lost.iter_rows(named=True):
            self.narrator.say(f"  {row['run']} is left out: {row['status']} ({row['reason']})")
        if lost.height == table.height:
            raise GlotmixError(f"no run of {self.directory} is complete; the logs are in {self.directory}/jobs")
        return from_tables(table, losses)

    def empty_loss(self, store: TokenStore) -> dict[str, float]:
        """Loss of the empty coalition per target, bits per byte."""
        targets = (*self.config.languages, *self.config.outside)
        if self.config.design.empty == "unigram":
            return {target: store.unigram_bits_per_byte(target) for target in targets}
        return {target: store.uniform_bits_per_byte(target) for target in targets}

    def transfer(self, measurements: Measurements, store: TokenStore) -> TransferMatrix | None:
        """Shapley values of every coalition game: exact from all coalitions, estimated from some, None without any."""
        kind = self.config.design.coalitions
        if kind == "none":
            return None
        played, empty = measurements.with_role("coalition", "anchor"), self.empty_loss(store)
        matrix = exact(game_from(played, empty)) if kind == "all" else estimated(played, empty, self.config.seed)
        notes = {**matrix.notes, "budget": self.config.design.budget, "empty": self.config.design.empty}
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

    def laws(self, measurements: Measurements, transfer: TransferMatrix | None) -> Judgement:
        """Judge every law, choose one, and fit all of them to all runs.

        The choice is made by cross-validation over the fitting runs. A held-out swarm only judges: its errors are those
        of laws that have not seen it. The laws returned are then fitted to everything.
        """
        config = self.config
        known = measurements.with_role("coalition", "anchor", "swarm", "ladder", "active")
        swarm = known.with_role("swarm")
        held = len(swarm) > 0 and config.design.swarm_roles == "held_out"
        fit_on = known.with_role("coalition", "anchor", "ladder", "active") if held else known
        laws = [find_law(name) for name in config.fit.laws]
        seed, weights = config.fit.seed, config.fit.weights
        with self.narrator.bar("Judging laws") as tell:
            folds, values = config.fit.folds, self._values_in_fold(transfer)
            crossed = cross_validate(laws, fit_on, folds=folds, seed=seed, transfer=values, weights=weights, tell=tell)
            judged = None
            if held:
                judged = judge(laws, fit_on, swarm, seed=seed, transfer=transfer, weights=weights, tell=tell)
        name = choose(crossed) if config.fit.choose == "auto" else config.fit.choose
        if name not in config.fit.laws:
            raise BadInput(f"fit.choose = {name!r}", expected=" | ".join(["auto", *config.fit.laws]))
        fits = {}
        for law in laws:
            resamples = config.fit.bootstrap if law.name == name else 0
            try:
                fits[law.name] = fit(law, known, transfer=transfer, bootstrap=resamples, seed=seed, weights=weights)
            except BadInput as error:  # already told by the judgement; another law was chosen
                self.narrator.say(f"  {error}")
        for law_name, fitted in fits.items():
            write_json(self.directory / "fits" / f"{law_name}.json", fitted.to_json())
        told = {"cross_validated": crossed.to_json(), "held_out": None if judged is None else judged.to_json()}
        write_json(self.directory / "fits" / "holdout.json", {"chosen": name, **told})
        return Judgement(name, fits, crossed, judged, fit_on, swarm if held else fit_on)

    def _values_in_fold(self, transfer: TransferMatrix | None) -> Callable[[Measurements], TransferMatrix] | None:
        """Shapley values from the coalitions that a fold is fitted to, so that nothing leaks from those held out."""
        if transfer is None:
            return None
        empty = transfer.notes["empty_loss"]
        return lambda runs: estimated(runs.with_role("coalition", "anchor"), empty, self.config.seed)

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

    def summary(self) -> dict[str, Any]:
        """The resolved configuration as plain data."""
        return self.config.model_dump(mode="json")
