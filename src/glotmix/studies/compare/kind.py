"""``kind: compare``: balancing methods trained at equal tokens, with seeds, on the user's own corpora."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from glotmix.artifact import write_json
from glotmix.errors import BadInput, refuse
from glotmix.language import Language
from glotmix.mixture.methods import BalanceProblem, parse
from glotmix.proxy.config import ProxyConfig
from glotmix.studies.compare.analysis import compare
from glotmix.studies.compare.config import CompareConfig
from glotmix.studies.compare.findings import MEAN, WORST, Comparison, Pair
from glotmix.studies.compare.page import write_page
from glotmix.studies.compare.rehearsal import stages
from glotmix.studies.compare.runs import MethodRuns, check_epochs
from glotmix.studies.compare.translation import check_extra, translated
from glotmix.study import cost
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import Finished, Price, Stage, StudyKind
from glotmix.study.narrator import Narrator
from glotmix.study.preflight import Trained, noting
from glotmix.study.rehearsal import Stages
from glotmix.study.training import Training

PAGE, GRADIENT = 3.0, 0.12
"""Processor seconds of testing all pairs and writing the page, and of a sequence's gradient, computed twice, where they
are probed."""
FORWARD = 0.3
"""Time of a token that only passes through a model over that of one that is trained on."""


class CompareKind(StudyKind[CompareConfig]):
    """``kind: compare``: trains the methods and reports them side by side."""

    kind = "compare"
    config = CompareConfig
    fixed = ("languages", "seed", "corpus", "tokens", "proxy", "unique_tokens", "unique_pairs", "high_resource")
    learns_pairs = True

    def trained(self, config: CompareConfig) -> list[Trained]:
        return [Trained(config.as_training())]

    def problems(self, config: CompareConfig, base: Path) -> list[BadInput]:
        """Names of languages that the study does not have, and texts beside pairs."""
        found = [
            BadInput(f"{name} is none of the languages", where=field, expected=f"one of {', '.join(config.languages)}")
            for field in ("unique_tokens", "unique_pairs", "high_resource")
            for name in getattr(config, field)
            if name not in config.languages
        ]
        if not config.learns_pairs:
            if config.unique_pairs:
                found.append(BadInput("there are no pairs", where="unique_pairs", expected="unique_tokens"))
            return found
        if config.unique_tokens:
            found.append(BadInput("pairs are cut by their number", where="unique_tokens", expected="unique_pairs"))
        for name in config.languages:
            if not config.corpus.is_pairs(name):
                expected = "pairs alone, or texts alone"
                found.append(BadInput(f"{name} is text beside pairs", where=f"sources.{name}", expected=expected))
            elif not config.corpus.tag(name):
                expected = "the language that it is translated into"
                found.append(BadInput(f"{name} has no language", where=f"sources.{name}.language", expected=expected))
        if config.translation.sentences:
            with noting(found, "translation.sentences"):
                check_extra()
        return found

    def problems_of_tokens(self, config: CompareConfig, unique: Mapping[str, int], base: Path) -> list[BadInput]:
        """Cuts that leave nothing or more than there is, and methods that repeat a language more often than allowed."""
        if config.learns_pairs:
            return []  # how many pairs fit into a sequence is known once they are tokens
        proxy = config.as_training().proxy
        there = {name: (unique.get(name, 0) - 1) // proxy.context for name in config.languages}
        if min(there.values()) < 1:
            return []  # said of the corpus already
        found: list[BadInput] = []
        with noting(found):
            problem = balance_problem(config, proxy, there)
            for method in config.methods:
                with noting(found, "methods"):
                    check_epochs(method, problem, config.max_epochs)
        return found

    def price(self, config: CompareConfig, base: Path) -> Price:
        """Counted, and the time by a measurement of a few steps; nothing is read or trained."""
        from glotmix.proxy import flops
        from glotmix.proxy.greedy import tokens_of
        from glotmix.proxy.model import Shape

        study = config.as_training()
        training = Training(study, base, Path("unused"), Narrator())
        vocab, assumed = cost.vocabulary(study.tokens, base)
        shape = Shape.of(study.proxy, vocab)
        runs = runs_of(config)
        tokens = runs * study.proxy.tokens
        compute = tokens * flops.per_token(shape, study.proxy.context)
        lines = {
            "proxies": f"{len(config.methods)} methods, {config.seeds} seeds: {runs} runs",
            "size of one": f"{shape.N:,} parameters without embedding, {shape.parameters:,} with it",
            "training tokens": f"{tokens:,.0f}",
            "training compute": f"{compute:.3g} FLOP",
            **assumed,
        }
        device, stack, processes = training.device(), study.sweep.stack, training.processes_here()
        packing = cost.packing(
            shape, study.proxy, [runs // config.seeds] * config.seeds, device=device, stack=stack, processes=processes
        )
        evaluated = 2 * cost.held_out_tokens(study, base)  # on held-out text and on text that was trained on
        timed = [
            cost.reading(study, base),
            cost.sweep("training the methods", packing, tokens=tokens, runs=runs, evaluated=evaluated),
        ]
        sequences = config.probe.sequences * len(config.languages)
        timed.append(Stage("gradients and page", PAGE + GRADIENT * sequences))
        if config.learns_pairs and config.translation.sentences:
            asked = config.translation.sentences * len(config.languages)
            lines["translations"] = f"{asked:,} sentences by each of {config.seeds * len(config.methods)} runs"
            said = tokens_of(asked, study.proxy.context) * config.seeds * len(config.methods)
            timed.append(Stage("translating", said * FORWARD / (packing.tokens_per_second / packing.processes)))
        return Price.timed(lines, {"runs": runs, "tokens": tokens, "flops": compute, "N": shape.N}, timed)

    def stages(self, config: CompareConfig, base: Path) -> Stages:
        refuse(self.problems(config, base))
        return stages(config, base, runs_of(config))

    def work(self, config: CompareConfig, directory: StudyDirectory) -> Finished:
        """Train what is missing, compare, and write ``comparison.json`` and the page."""
        study = Training.in_directory(config.as_training(), directory)
        store = study.tokens()
        there = study.available(store)
        if store.pairs:
            for name, fitting in there.items():
                left = store.totals(name, "train")["documents"] - fitting
                context = study.config.proxy.context
                study.narrator.say(f"  {name}: {fitting:,} pairs, and {left:,} that are longer than {context} tokens")
        situation = balance_problem(config, study.config.proxy, there)
        probed = config.probe.sequences > 0
        sentences = config.translation.sentences if config.learns_pairs else 0
        trial = MethodRuns(study, store, situation, tuple(config.methods), config.seeds, probed, sentences > 0)
        trial.check(config.max_epochs)
        results = trial.train()
        runs = [outcome.record["run"] for outcome in results.outcomes]
        said = translated(study, store, runs, situation.steps, sentences) if sentences else None
        found = compare(results, trial.side(config.probe.sequences, config.probe.tau), said)
        write_json(directory.path / "comparison.json", found.to_json())
        sources = config.corpus.described
        names = {name: name if name in sources else Language.resolve(name).name for name in config.languages}
        page = write_page(found, config.name, config.description, directory.report, names)
        return Finished(page, tables(found), found)


def runs_of(config: CompareConfig) -> int:
    """Runs that are trained: every method, DoReMi's proxies, and reference models where no method is one."""
    doremi = any(parse(text)[0].name == "doremi" for text in config.methods)
    reference = "proportional" not in config.methods and (doremi or config.probe.sequences > 0)
    return config.seeds * (len(config.methods) + doremi + reference)


def balance_problem(config: CompareConfig, proxy: ProxyConfig, available: Mapping[str, int]) -> BalanceProblem:
    """Sizes after the cut to ``unique_tokens`` or ``unique_pairs``, budget and steps; a pair is as many tokens as a
    sequence has.

    Args:
        config: the comparison.
        proxy: its proxy, the size worked out.
        available: language to sequences of it.

    Raises:
        BadInput: a language that is none of the study's, or less than one sequence of it.
    """
    from glotmix.proxy.run import steps_of

    there, wrong = dict(available), list[BadInput]()
    for language, pairs in config.unique_pairs.items():
        if not 1 <= pairs <= there.get(language, 0):
            expected = f"1 to {there.get(language, 0):,}, the pairs that fit into a sequence"
            wrong.append(BadInput(f"{language} = {pairs}", where="unique_pairs", expected=expected))
            continue
        there[language] = pairs
    for language, tokens in config.unique_tokens.items():
        if language not in there or not proxy.context <= tokens <= there[language] * proxy.context:
            most = there.get(language, 0) * proxy.context
            expected = f"{proxy.context} to {most:,}" if most else f"one of {', '.join(there)}"
            wrong.append(BadInput(f"{language} = {tokens:g}", where="unique_tokens", expected=expected))
            continue
        there[language] = int(tokens // proxy.context)
    refuse(wrong)
    steps = steps_of(proxy.tokens, proxy)
    return BalanceProblem(
        {language: float(count * proxy.context) for language, count in there.items()},
        float(steps * proxy.batch * proxy.context),
        steps,
        proxy.batch,
        tuple(config.high_resource),
    )


def tables(found: Comparison) -> tuple[Table, ...]:
    """For a terminal: losses with a star where the baseline is beaten or wins beyond the noise, translations the same,
    and what they cost."""
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
    return losses, *(_scores(found, metric) for metric in found.quality), cost


def _scores(found: Comparison, metric: str) -> Table:
    """A metric of translations, for a terminal."""
    columns = [*found.languages, MEAN]
    table = Table(title=f"{metric} of {sum(found.sentences.values()):,} held-out sentences", title_justify="left")
    table.add_column("method", no_wrap=True)
    for name in columns:
        table.add_column(name.partition("_")[0], justify="right", no_wrap=True)
    for row in found.rows:
        stars = [_told(found.quality_pair(metric, row.method, found.baseline, name)) for name in columns]
        cells = [f"{row.quality[metric][name].value:.1f}{star}" for name, star in zip(columns, stars, strict=True)]
        table.add_row(row.method, *cells)
    halves = [found.rows[0].quality[metric][name] for name in columns]
    table.add_row("± (95 %)", *["-" if e.high is None else f"{e.high - e.value:.1f}" for e in halves])
    return table


def _star(found: Comparison, method: str, name: str) -> str:
    return _told(found.pair(method, found.baseline, name))


def _told(pair: Pair | None) -> str:
    return "*" if pair is not None and pair.verdict in ("better", "worse") else ""
