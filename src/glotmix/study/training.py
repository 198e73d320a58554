"""What kinds of studies that train proxies have in common: tokens, what proxies may draw from, the sweep, the tables.

Every step leaves its result in the study's directory. Called again, what is complete is not done again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from glotmix.artifact import read_json, write_json
from glotmix.config import checked
from glotmix.corpus.readers.reader import open_reader
from glotmix.corpus.sketch import QuickCensus, quick_census
from glotmix.errors import BadInput, GlotmixError
from glotmix.measurements import SCORE, SCORED, Measurements, from_tables
from glotmix.mixture.balancing import proportional
from glotmix.mixture.design import PlannedRun, simulated_epoching
from glotmix.mixture.mixture import Mixture
from glotmix.proxy.config import ProxyConfig
from glotmix.scored import Scored
from glotmix.study.config import TrainedBy, TrainingConfig, told_unique
from glotmix.study.directory import StudyDirectory, configuration_in, note_compute
from glotmix.study.mirror import Mirror
from glotmix.study.narrator import Narrator
from glotmix.study.precision import settled
from glotmix.study.status import Progress
from glotmix.sweep.config import SweepConfig
from glotmix.sweep.executors import EXECUTORS
from glotmix.sweep.executors.executor import Executor, open_executor
from glotmix.sweep.executors.local import LocalExecutor
from glotmix.sweep.loggers import LOGGERS
from glotmix.sweep.sweep import StartingModel, SweepSpec, SweepTally, run_sweep, tables, write_tables
from glotmix.sweep.tokenising import ExecutorTokenizer
from glotmix.sweep.tracking import RunTracker
from glotmix.tokens.build import build_store
from glotmix.tokens.opening import open_store
from glotmix.tokens.store import TokenStore
from glotmix.tokens.tokenizer import Tokenizer
from glotmix.wording import counted, listed

if TYPE_CHECKING:
    from glotmix.proxy.precision import Decision

LARGEST_NODE = 64
"""Processes that are measured side by side at most, where a cluster says nothing of its nodes."""


def on_rung(
    proxy: ProxyConfig, size: str, vocab: int, told: Set[str] = frozenset(), tokens_per_parameter: float = 20.0
) -> ProxyConfig:
    """``proxy`` with the shape, batch, learning rate and tokens of a size, the fields in ``told`` as they are."""
    from glotmix.proxy.ladder import TOKENS_PER_PARAMETER, rung

    overtrain = tokens_per_parameter / TOKENS_PER_PARAMETER
    by_rule = rung(size, vocab=vocab, context=proxy.context, tied=proxy.tied, overtrain=overtrain).training(proxy)
    kept = {name: getattr(proxy, name) for name in told}
    return checked(ProxyConfig, by_rule.model_dump() | kept, where=f"proxy of size {size}")


def sized(proxy: ProxyConfig, vocab: int) -> ProxyConfig:
    """The proxy with what ``size`` leaves to the ladder's rules worked out; what the file sets itself stays.

    Raises:
        BadInput: a size that is none.
    """
    if proxy.size is None:
        return proxy
    return on_rung(proxy, proxy.size, vocab, proxy.model_fields_set - {"size"})


def gpus() -> int:
    """GPUs of this machine that torch can use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def device_of(sweep: SweepConfig) -> str:
    """Kind of device that a sweep trains on."""
    return sweep.device if sweep.device != "auto" else "cuda" if gpus() else "cpu"


def executor_of(sweep: SweepConfig) -> Executor:
    """What runs the jobs of a sweep: as many side by side as the study says, else as its devices carry; on this machine
    each with GPUs of its own."""
    on_gpus = device_of(sweep) == "cuda"
    if sweep.workers is None and (on_gpus or sweep.devices_per_run > 1):
        there = gpus() if on_gpus else os.cpu_count() or 1
        sweep = sweep.model_copy(update={"workers": max(1, there // sweep.devices_per_run)})
    if on_gpus and sweep.executor == "local":
        told = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        return LocalExecutor(sweep.workers, told or [str(i) for i in range(gpus())], sweep.devices_per_run)
    return open_executor(sweep)


@dataclass(frozen=True)
class Training:
    """A configuration, the place of its files, and the directory of its results."""

    config: TrainedBy
    """Languages, corpus, tokens, proxies and sweep."""
    base: Path
    """Directory that relative paths of the configuration start from (that of the study file)."""
    directory: Path
    """Where results go."""
    narrator: Narrator
    """Where progress goes."""
    mirror: Mirror | None = None
    """The object store that finished results are sent to, if there is one."""
    sizes: Mapping[str, ProxyConfig] = field(default_factory=dict)
    """Proxies of other sizes that are trained beside the study's own."""
    whole: Path | None = None
    """Directory of the experiment that this is a part of, whose precision all parts share; None for its own."""
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Targets that are scores, which another's trainer measures, and what a study says of them."""

    @classmethod
    def in_directory(cls, config: TrainedBy, directory: StudyDirectory) -> Training:
        """The training of a study in its directory."""
        return Training(config, directory.base, directory.path, directory.narrator, directory.mirror)

    @property
    def is_elsewhere(self) -> bool:
        """Whether somebody else's trainer trains the runs, so that nothing is known or measured of this machine."""
        return bool(EXECUTORS.find(self.config.sweep.executor).elsewhere)

    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer, where it is that of a model that proxies start from; None for the configuration's."""
        return None

    def starting(self) -> StartingModel | None:
        """The model that proxies start from; None for random weights."""
        return None

    def tokens(self) -> TokenStore:
        """Read, split and tokenise the corpus, or open the store that is there."""
        config = self.config
        languages = [*config.languages, *config.outside]
        reader = open_reader(config.corpus, languages, self.base)
        scatter = ExecutorTokenizer(lambda: open_executor(config.sweep), self.directory / "jobs", config.sweep.retries)
        alone = self.is_elsewhere or (config.sweep.executor == "local" and config.sweep.workers == 1)
        tokenizer = self.tokenizer()
        with self.narrator.bar("Reading the corpus") as advance:
            return build_store(
                self.directory / "tokens",
                reader,
                languages,
                config.tokens,
                held_out=config.corpus.held_out,
                min_tokens=config.proxy.context + 1,
                base=self.base,
                tokenizer=tokenizer,
                progress=advance,
                scatter=None if alone else scatter,
            )

    def quick_census(self) -> QuickCensus:
        """Documents, bytes and duplicates of every language, without tokenising anything."""
        languages = [*self.config.languages, *self.config.outside]
        reader = open_reader(self.config.corpus, languages, self.base)
        with self.narrator.bar("Reading the corpus") as advance:
            return quick_census(reader, languages, advance)

    def unique(self, store: TokenStore) -> dict[str, float]:
        """Unique tokens U of each trained language in the target's corpus (the study's own unless told otherwise)."""
        told = {**store.there, **told_unique(self.config)}
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
        if store.pairs:
            return self._pairs(store, context)
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

    def _pairs(self, store: TokenStore, context: int) -> dict[str, int]:
        """Training pairs of each language that fit into a sequence."""
        found: dict[str, int] = {}
        for language in self.config.languages:
            lengths = store.documents(language, "train")["length"].to_numpy()
            found[language] = int((lengths <= context).sum())
            if not found[language]:
                expected = f"one of {int(lengths.min())} tokens, the shortest pair, or more"
                raise BadInput(f"no pair of {language} fits into {context}", where="proxy.context", expected=expected)
        return found

    def sweep_spec(self, store: TokenStore, runs: int | Sequence[int]) -> SweepSpec:
        """What all runs of the study have in common; the stack size is chosen once, for so many (or for sets of so many
        that can be stacked), and remembered."""
        config, together = self.config, self.config.sweep.devices_per_run
        for proxy in (config.proxy, *self.sizes.values()):
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
            precision="float32" if self.is_elsewhere else self.precision().precision,
            stack=1 if self.is_elsewhere else self._stack(store, runs),
            device="cpu" if self.is_elsewhere else self.device(),
            trainer=(config.sweep.trainer or "") if self.is_elsewhere else "",
            devices_per_run=config.sweep.devices_per_run,
            nodes_per_run=config.sweep.nodes_per_run,
            base=self.starting(),
            scores=self.scores,
            sizes=dict(self.sizes),
            available_at={size: self.available(store, proxy) for size, proxy in self.sizes.items()},
        )

    def device(self) -> str:
        """Kind of device that proxies train on."""
        return device_of(self.config.sweep)

    def precision(self) -> Decision:
        """Precision of the proxies' matrix products: decided when they are first trained, and kept."""
        from glotmix.proxy.model import Shape

        vocab, proxies = self.config.tokens.vocab_size, [self.config.proxy, *self.sizes.values()]
        steps = [(Shape.of(proxy, vocab), proxy.batch) for proxy in proxies]
        wanted = self.config.proxy.precision
        return settled(self.whole or self.directory, wanted, steps, self.device(), self.narrator.say)

    def in_precision(self, proxy: ProxyConfig) -> ProxyConfig:
        """A proxy of this study as it is trained: with the precision decided."""
        return proxy.model_copy(update={"precision": self.precision().precision})

    def executor(self) -> Executor:
        """What runs the proxies: as many side by side as the study says, else one per core or per GPU."""
        return open_executor(self.config.sweep) if self.is_elsewhere else executor_of(self.config.sweep)

    def processes_here(self) -> int:
        """Processes side by side on one machine, for measuring how to pack; starts no cluster."""
        if self.is_elsewhere:
            return 1
        if self.config.sweep.executor == "local":
            return self.executor().workers
        return min(self.config.sweep.workers or LARGEST_NODE, len(os.sched_getaffinity(0)))

    def _stack(self, store: TokenStore, runs: int | Sequence[int]) -> int:
        """Proxies per job: told, or measured once and remembered (the numbers of a resumed study depend on it)."""
        path = self.directory / "packing.json"
        if path.exists():
            return int(read_json(path)["stack"])
        if (told := self.config.sweep.stack) is not None:
            write_json(path, {"stack": told, "explanation": "sweep.stack of the study"})
            return told
        from glotmix.proxy.model import Shape
        from glotmix.proxy.pack import choose as choose_packing

        proxy, workers = self.in_precision(self.config.proxy), self.processes_here()
        packing = choose_packing(
            Shape.of(proxy, store.vocab_size), proxy, runs, device=self.device(), processes=workers
        )
        self.narrator.say(packing.explanation)
        write_json(path, packing.to_json())
        return packing.stack

    def run(self, runs: list[PlannedRun], spec: SweepSpec, label: str) -> dict[str, str]:
        """Train what is missing of ``runs``; reasons of those that failed."""
        executor = self.executor()
        note = Progress(self.directory, label)
        note_compute(self.directory, self._flops(runs, spec))
        shown = None
        if (logger := self.config.sweep.logger) is not None:
            shown = RunTracker(LOGGERS.find(logger)(self.config.name), self.directory, runs, self.narrator.say)
        with self.narrator.bar(label) as advance:

            def show(tally: SweepTally) -> None:
                note(tally)
                if shown is not None:
                    shown.look()
                if self.mirror is not None:
                    self.mirror.look()
                failed = f", {tally.failed} failed" if tally.failed else ""
                what = f"{label}: {tally.done} of {tally.total} runs{failed}"
                advance(what, tally.tokens_done, tally.tokens_total)

            try:
                failed = run_sweep(runs, spec, executor, retries=self.config.sweep.retries, progress=show)
            finally:
                for remark in executor.remarks:
                    self.narrator.say(f"  {remark}")
        if shown is not None:
            shown.look(now=True)
        for run, reason in failed.items():
            self.narrator.say(f"  {run} failed: {reason.splitlines()[-1] if reason else 'no reason given'}")
        return failed

    def _flops(self, runs: list[PlannedRun], spec: SweepSpec) -> dict[str, float]:
        """Run to its training compute, FLOPs."""
        from glotmix.proxy import flops
        from glotmix.proxy.model import Shape

        vocab = open_store(spec.store).vocab_size
        proxies = [spec.proxy_of(run) for run in runs]
        cost = {proxy: flops.per_token(Shape.of(proxy, vocab), proxy.context) for proxy in dict.fromkeys(proxies)}
        return {run.run: float(run.trained * cost[proxy]) for run, proxy in zip(runs, proxies, strict=True)}

    def measure(self, runs: list[PlannedRun], spec: SweepSpec, failed: dict[str, str]) -> Measurements:
        """Write the two tables of all runs and read them as measurements."""
        table, losses = tables(runs, spec, failed)
        write_tables(self.directory, table, losses)
        lost = table.filter(pl.col("status") != "complete")
        for row in lost.iter_rows(named=True):
            self.narrator.say(f"  {row['run']} is left out: {row['status']} ({row['reason']})")
        if lost.height == table.height:
            raise GlotmixError(f"no run of {self.directory} is complete; the logs are in {self.directory}/jobs")
        found = from_tables(table, losses, scored=self._note_scores(losses, table))
        # A trainer may measure random weights too, of which nothing is forgotten.
        return found if spec.base is not None else replace(found, before_T=None)

    def _note_scores(self, losses: pl.DataFrame, table: pl.DataFrame) -> dict[str, Scored]:
        """Write beside the tables what their scores mean; nothing where there are none.

        Raises:
            BadInput: runs that were collected before a score was asked for.
        """
        path = self.directory / "measurements" / SCORED
        if not self.scores:
            path.unlink(missing_ok=True)
            return {}
        complete = set(table.filter(pl.col("status") == "complete")["run"].to_list())
        there = losses.filter(pl.col("metric") == SCORE)
        for target in self.scores:
            if lacking := sorted(complete - set(there.filter(pl.col("language") == target)["run"].to_list())):
                raise BadInput(
                    f"{counted(len(lacking), 'run')} without the score {target}: {listed(lacking)}",
                    where=self.directory / "runs",
                    expected="these folders deleted, so that their results are collected again, with the score",
                )
        scored = {name: Scored.from_json(one) for name, one in self.scores.items()}
        write_json(path, {name: one.to_json() for name, one in scored.items()})
        return scored


def reopened(directory: Path) -> Training:
    """What trained the runs of a mixture study that lies in a directory, to train or read them again.

    Raises:
        BadInput: the directory holds no study.
    """
    path = configuration_in(directory)
    stored = read_json(path)
    config = checked(
        TrainingConfig, {key: stored[key] for key in TrainingConfig.model_fields if key in stored}, where=path
    )
    design = stored.get("design", {})
    rungs = {
        size: on_rung(config.proxy, size, config.tokens.vocab_size, tokens_per_parameter=design["ladder_tokens"])
        for size in design.get("ladder", [])
    }
    return Training(config, directory, directory, Narrator(), sizes=rungs, scores=stored.get("scored", {}))
