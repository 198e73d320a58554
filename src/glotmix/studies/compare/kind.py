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
from glotmix.studies.compare.findings import MEAN, WORST, Comparison
from glotmix.studies.compare.page import write_page
from glotmix.studies.compare.rehearsal import stages
from glotmix.studies.compare.runs import MethodRuns, check_epochs
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


class CompareKind(StudyKind[CompareConfig]):
    """``kind: compare``: trains the methods and reports them side by side."""

    kind = "compare"
    config = CompareConfig
    fixed = ("languages", "seed", "corpus", "tokens", "proxy", "unique_tokens", "high_resource")

    def trained(self, config: CompareConfig) -> list[Trained]:
        return [Trained(config.as_training())]

    def problems(self, config: CompareConfig, base: Path) -> list[BadInput]:
        """Names of languages that the study does not have."""
        return [
            BadInput(f"{name} is none of the languages", where=field, expected=f"one of {', '.join(config.languages)}")
            for field in ("unique_tokens", "high_resource")
            for name in getattr(config, field)
            if name not in config.languages
        ]

    def problems_of_tokens(self, config: CompareConfig, unique: Mapping[str, int]) -> list[BadInput]:
        """Cuts that leave nothing or more than there is, and methods that repeat a language more often than allowed."""
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
        packing = cost.packing(shape, study.proxy, runs, device=device, stack=stack, processes=processes)
        evaluated = 2 * cost.held_out_tokens(study, base)  # on held-out text and on text that was trained on
        timed = [
            cost.reading(study, base),
            cost.sweep("training the methods", packing, tokens=tokens, runs=runs, evaluated=evaluated),
        ]
        sequences = config.probe.sequences * len(config.languages)
        timed.append(Stage("gradients and page", PAGE + GRADIENT * sequences))
        return Price.timed(lines, {"runs": runs, "tokens": tokens, "flops": compute, "N": shape.N}, timed)

    def stages(self, config: CompareConfig, base: Path) -> Stages:
        refuse(self.problems(config, base))
        return stages(config, base, runs_of(config))

    def work(self, config: CompareConfig, directory: StudyDirectory) -> Finished:
        """Train what is missing, compare, and write ``comparison.json`` and the page."""
        study = Training.in_directory(config.as_training(), directory)
        store = study.tokens()
        situation = balance_problem(config, study.config.proxy, study.available(store))
        probed = config.probe.sequences > 0
        trial = MethodRuns(study, store, situation, tuple(config.methods), config.seeds, probed)
        trial.check(config.max_epochs)
        results = trial.train()
        found = compare(results, trial.side(config.probe.sequences, config.probe.tau))
        write_json(directory.path / "comparison.json", found.to_json())
        names = {tag: Language.resolve(tag).name for tag in config.languages}
        page = write_page(found, config.name, config.description, directory.report, names)
        return Finished(page, tables(found), found)


def runs_of(config: CompareConfig) -> int:
    """Runs that are trained: every method, DoReMi's proxies, and reference models where no method is one."""
    doremi = any(parse(text)[0].name == "doremi" for text in config.methods)
    reference = "proportional" not in config.methods and (doremi or config.probe.sequences > 0)
    return config.seeds * (len(config.methods) + doremi + reference)


def balance_problem(config: CompareConfig, proxy: ProxyConfig, available: Mapping[str, int]) -> BalanceProblem:
    """Sizes after the cut to ``unique_tokens``, budget and steps.

    Args:
        config: the comparison.
        proxy: its proxy, the size worked out.
        available: language to sequences of it.

    Raises:
        BadInput: a language that is none of the study's, or less than one sequence of it.
    """
    from glotmix.proxy.run import steps_of

    there, wrong = dict(available), list[BadInput]()
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
