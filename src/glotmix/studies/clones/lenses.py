"""Four lenses on clones: game, law, TracIn shares and in-run scores of the runs that the laboratory trained anyway."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glotmix.artifact import fingerprint, read_json, write_json
from glotmix.errors import BadInput
from glotmix.estimate import over_repeats
from glotmix.measurements import Measurements
from glotmix.mixture.design import PlannedRun
from glotmix.probe.equivalents import Method, interpolated
from glotmix.probe.yardstick import Exchange, game_of_two, of_effective_shares, of_equivalents, of_values
from glotmix.proxy.config import ProxyConfig
from glotmix.studies.clones.analysis import ArmOutcome, Curves, RunOutcome, efficiencies
from glotmix.studies.clones.arms import split_name
from glotmix.studies.clones.config import LensesConfig
from glotmix.studies.clones.findings import LensRow
from glotmix.study.narrator import Narrator
from glotmix.tokens.clone import ClonedStore
from glotmix.transfer.matrix import TransferMatrix

STEPS = 40
"""Updates that in-run scores are taken over behind every checkpoint; the first half refills the optimiser's moments."""


@dataclass(frozen=True)
class CloneLenses:
    """The runs to look at, and where what was seen is kept."""

    config: LensesConfig
    """How much is looked at."""
    main: ArmOutcome
    """Runs of two clones."""
    store: ClonedStore
    """Their text."""
    directory: Path
    """Of the arm: checkpoints are in ``runs/``, results go to ``lenses/``."""
    narrator: Narrator
    """Where progress goes."""

    @property
    def proxy(self) -> ProxyConfig:
        """Of the runs."""
        return self.main.arm.proxy

    def rows(self, alone: Curves, method: Method) -> list[LensRow]:
        """Every lens on every split, the truth first."""
        found = []
        for second in self.config.splits:
            name = split_name(second)
            runs = self.main.groups.get(name)
            if runs is None:
                raise BadInput(f"no runs at {name}", where="lenses.splits", expected="shares that are among the splits")
            shares = (1 - second, second)
            truth = self._measured(name, shares, alone, method)
            seen = {"measured": truth, "game": self._games(runs, shares)}
            for lens, look in (("TracIn shares", self._tracin), ("in-run scores", self._inrun)):
                seen[lens] = {run.planned.seed: self._kept(lens, run, look) for run in runs[: self.config.seeds]}
            found += [_row(lens, second, rates, truth) for lens, rates in seen.items() if rates]
            if law := self._law(shares):
                found.append(_row("law", second, {0: law}, {0: _mean(truth.values())} if truth else {}))
        return found

    def _measured(self, name: str, shares: tuple[float, float], alone: Curves, method: Method) -> dict[int, Exchange]:
        one, two = efficiencies(self.main, name, alone, method)
        if one is None or two is None:
            return {}
        return {s: of_equivalents((one.by_seed[s], two.by_seed[s]), shares) for s in one.by_seed}

    def _games(self, runs: Sequence[RunOutcome], shares: tuple[float, float]) -> dict[int, Exchange]:
        """Coalitions of their own budgets: a language alone has the tokens that it has in the mixture.

        Losses alone are read between the budgets that were run, and clone 2 alone is clone 1 alone, names exchanged.
        """
        first, second = self.main.arm.languages[:2]
        own, foreign = self.main.alone(first), _foreign(self.main, first, second)
        empty = math.log(self.store.vocab_size)
        found = {}
        for run in (run for run in runs if run.planned.seed in own):
            seed = run.planned.seed
            alone, (seen, lost) = interpolated(*own[seed]), foreign[seed]
            tokens = [share * run.planned.tokens for share in shares]
            values = game_of_two(
                empty,
                [alone.loss(n) for n in tokens],
                [float(np.interp(np.log(n), np.log(seen), lost)) for n in reversed(tokens)],
                [run.final[first], run.final[second]],
                (first, second),
            )
            found[seed] = of_values(values, dict(zip((first, second), shares, strict=True)))
        return {seed: one for seed, one in found.items() if math.isfinite(one.to_first)}

    def _law(self, shares: tuple[float, float]) -> Exchange | None:
        """ShapleyLaw with free weights, fitted to every split of all seeds together."""
        from glotmix.fit.fit import fit

        table = _table(self.main)
        if table is None:
            self.narrator.say("  the law is left out of the lenses: it needs three splits or more, and seven runs")
            return None
        weights, nus = [], []
        for target, at in fit("shapley_law", table).fits.items():
            values = dict(zip(at.names, at.theta_P.tolist(), strict=True))
            weights.append(next(value for name, value in values.items() if name.startswith("w/")))
            nus.append(values["ν"])
            if not at.usable:
                self.narrator.say(f"  the law does not fit {target}: {at.status}")
                return None
        return of_effective_shares(weights, nus, shares)

    def _kept(self, lens: str, run: RunOutcome, look: Callable[[RunOutcome], Exchange]) -> Exchange:
        """What a lens says of a run, looked at once."""
        path = self.directory / "lenses" / f"{lens.split()[0].lower()}-{run.planned.run}.json"
        made_from = fingerprint([self.config.model_dump(exclude={"splits", "seeds"}), STEPS])
        if path.exists() and (stored := read_json(path))["made_from"] == made_from:
            return Exchange(stored["to_first"], stored["to_second"])
        found = look(run)
        write_json(path, {"to_first": found.to_first, "to_second": found.to_second, "made_from": made_from})
        return found

    def _checkpoints(self, run: RunOutcome) -> dict[int, Path]:
        folder = self.directory / "runs" / run.planned.run / "checkpoints"
        return dict(sorted((int(path.name.removeprefix("step-")), path) for path in folder.iterdir()))

    def _tracin(self, run: RunOutcome) -> Exchange:
        """Share of each language among the top training sequences of held-out ones, cosine, all checkpoints."""
        import torch
        from transformers import LlamaForCausalLM
        from transformers.utils.logging import disable_progress_bar

        from glotmix.attribution.influence import InfluenceScores
        from glotmix.attribution.samples import Samples, next_token_loss
        from glotmix.attribution.shares import language_shares
        from glotmix.attribution.tracin import Checkpoint, gradient_products

        checkpoints = self._checkpoints(run)
        disable_progress_bar()
        net = LlamaForCausalLM.from_pretrained(next(iter(checkpoints.values())), dtype=torch.float32).eval()
        tests = []
        for language in self.main.arm.languages[:2]:
            held = self.store.held_out(language).tokens
            rows = np.linspace(0, (len(held) - 1) // self.proxy.context - 1, self.config.tests).astype(int)
            tests += [(language, held[r * self.proxy.context : (r + 1) * self.proxy.context]) for r in rows]
        trained = _drawn(run.planned, self.store, self.proxy, self.config.trained)

        def samples(pairs: Sequence[tuple[str, np.ndarray]]) -> Samples:
            ids = torch.from_numpy(np.stack([row for _, row in pairs]).astype(np.int64))
            return Samples({"input_ids": ids}, tuple(language for language, _ in pairs))

        test, train = samples(tests), samples(trained)
        moments = [Checkpoint(str(step), path) for step, path in checkpoints.items()]
        products = gradient_products(net, next_token_loss, moments, test, train)
        scores = InfluenceScores.of(products, test, train)
        found = language_shares([scores], self.config.top, np.random.default_rng(run.planned.seed))
        chance = found.chance
        return of_values(found.shares, {name: chance[chance.targets[0], name] for name in chance.sources})

    def _inrun(self, run: RunOutcome) -> Exchange:
        """In-run scores over some updates behind every checkpoint but the last, on the run's own batches."""
        import torch

        from glotmix.attribution.inrun import InRunShapley, targets_of
        from glotmix.proxy.checkpoint import load_checkpoint
        from glotmix.proxy.loader import MixtureBatches
        from glotmix.proxy.run import StackRun, learning_rate, steps_of
        from glotmix.proxy.stack import Stack

        planned, proxy = run.planned, self.proxy
        one = StackRun.of(planned)
        batches = MixtureBatches(self.store, [one], proxy)
        languages = self.main.arm.languages[:2]
        held = {name: self.store.held_out(name) for name in languages}
        steps = steps_of(planned.tokens, proxy)
        total: TransferMatrix | None = None
        for start, path in list(self._checkpoints(run).items())[:-1]:
            lens = InRunShapley(
                targets_of(held, proxy.context, self.config.windows),
                languages,
                lambda k, local, start=start: batches.languages_of(k, start + local),  # type: ignore[misc]
                clip=proxy.clip,
                every=max(1, min(self.config.every, STEPS // 4)),
            )
            shape, parameters = load_checkpoint(path)
            stack = Stack(shape, [planned.seed])
            stack.set(parameters)
            for local in range(min(STEPS, steps - start)):
                tokens_KBS = torch.from_numpy(batches(0, start + local)[None].astype(np.int64))
                stack.backward(tokens_KBS)
                rate = learning_rate(start + local, steps, proxy)
                if local >= STEPS // 2:
                    lens.on_batch(stack, local, tokens_KBS, rate)
                stack.step(local + 1, rate, proxy.weight_decay, proxy.clip)
            matrix = lens.matrices()[0]
            total = matrix if total is None else _added(total, matrix)
        if total is None:
            raise BadInput("one checkpoint", where="proxy.evaluations", expected="at least 2 for in-run scores")
        return of_values(total, planned.schedule.average())


def _added(one: TransferMatrix, other: TransferMatrix) -> TransferMatrix:
    return TransferMatrix(one.targets, one.sources, one.value_TL + other.value_TL, unit=one.unit, method=one.method)


def _drawn(run: PlannedRun, store: ClonedStore, proxy: ProxyConfig, count: int) -> list[tuple[str, np.ndarray]]:
    """Sequences that a run was trained on, evenly spread over it, with their languages."""
    from glotmix.proxy.loader import MixtureBatches
    from glotmix.proxy.run import StackRun, steps_of

    batches = MixtureBatches(store, [StackRun.of(run)], proxy)
    total = steps_of(run.tokens, proxy) * proxy.batch
    found = []
    for index in np.unique(np.linspace(0, total - 1, min(count, total)).astype(int)).tolist():
        step, row = divmod(index, proxy.batch)
        found.append((batches.languages_of(0, step)[row], batches(0, step)[row, :-1]))
    for language in run.schedule.average().support:
        if language not in {name for name, _ in found}:
            raise BadInput(
                f"no sequence of {language} among {len(found)} of {run.run}",
                where="lenses.trained",
                expected="more, so that every language is among them",
            )
    return found


def _foreign(main: ArmOutcome, trained: str, other: str) -> Mapping[int, tuple[np.ndarray, np.ndarray]]:
    """Seed to tokens and losses of the language that runs on the other one alone never saw."""
    found: dict[int, list[tuple[float, float]]] = {}
    for run in main.runs:
        if run.planned.schedule.average().support == (trained,):
            found.setdefault(run.planned.seed, []).append((float(run.planned.tokens), run.final[other]))
    return {seed: tuple(np.array(sorted(points)).T) for seed, points in found.items()}


def _table(main: ArmOutcome) -> Measurements | None:
    """The splits and both clones alone as measurements, losses in nats per token; None with fewer runs than a law has
    parameters.

    Clone 2 alone is clone 1 alone, names exchanged; what a run on one of them loses on the other is left out.
    """
    runs = [run for run in main.runs if run.name.startswith("split-")]
    languages = main.arm.languages
    if len(runs) < 7 or len({run.name for run in runs}) < 3:
        return None
    D = runs[0].planned.tokens
    alone = [run for run in main.runs if run.planned.tokens == D and run.planned.schedule.average()[languages[0]] == 1]
    p = [run.planned.schedule.average().vector(languages) for run in runs]
    losses = [[run.final[name] for name in languages] for run in runs]
    for run in alone:
        own = run.final[languages[0]]
        p += [np.array([1.0, 0.0]), np.array([0.0, 1.0])]
        losses += [[own, np.nan], [np.nan, own]]
    exchanged = [(run.planned.run + end, run.planned.seed) for run in alone for end in ("", "-exchanged")]
    names = [*[(run.planned.run, run.planned.seed) for run in runs], *exchanged]
    return Measurements(
        tuple(name for name, _ in names),
        languages,
        languages,
        np.array(p),
        np.array(losses),
        np.full(len(names), np.nan),
        np.full(len(names), float(D)),
        np.array([seed for _, seed in names]),
        ("swarm",) * len(names),
    )


def _row(lens: str, second: float, rates: Mapping[int, Exchange], truth: Mapping[int, Exchange]) -> LensRow:
    """A lens by seed, beside what losses say by seed."""
    both = sorted(rates.keys() & truth.keys())
    bias = None
    if both and lens != "measured":
        bias = (
            over_repeats([rates[seed].to_first - truth[seed].to_first for seed in both]),
            over_repeats([rates[seed].to_second - truth[seed].to_second for seed in both]),
        )
    return LensRow(
        lens,
        second,
        over_repeats([rate.to_first for rate in rates.values()]),
        over_repeats([rate.to_second for rate in rates.values()]),
        over_repeats([rate.asymmetry for rate in rates.values()]),
        bias,
    )


def _mean(rates: Collection[Exchange]) -> Exchange:
    return Exchange(
        float(np.mean([rate.to_first for rate in rates])), float(np.mean([rate.to_second for rate in rates]))
    )
