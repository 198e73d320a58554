"""``kind: compare``: balancing methods trained at equal tokens, with seeds, on the user's own corpora."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from glotmix.artifact import first_difference, read_json, write_json
from glotmix.config import checked
from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.mixture.methods import Situation, parse
from glotmix.studies.compare.analysis import compare
from glotmix.studies.compare.config import MAY_CHANGE, CompareConfig
from glotmix.studies.compare.findings import MEAN, WORST, Comparison
from glotmix.studies.compare.page import write_page
from glotmix.studies.compare.runs import Trial
from glotmix.study.kind import Experiment, Price
from glotmix.study.narrator import Narrator
from glotmix.study.training import Study, sized
from glotmix.sweep.lock import held
from glotmix.tokens.store import TokenStore


class Compare(Experiment[CompareConfig]):
    """Trains the methods and reports them side by side."""

    kind = "compare"
    config = CompareConfig

    def price(self, config: CompareConfig, base: Path) -> Price:
        """Runs, tokens, FLOPs; nothing is read or trained."""
        from glotmix.proxy import flops
        from glotmix.proxy.model import Shape

        study = sized(config.as_study())
        shape = Shape.of(study.proxy, study.tokens.vocab_size)
        doremi = any(parse(text)[0].name == "doremi" for text in config.methods)
        reference = "proportional" not in config.methods and (doremi or config.probe.sequences > 0)
        runs = config.seeds * (len(config.methods) + doremi + reference)
        tokens = runs * study.proxy.tokens
        compute = tokens * flops.per_token(shape, study.proxy.context)
        return Price(
            {
                "proxies": f"{len(config.methods)} methods, {config.seeds} seeds: {runs} runs",
                "size of one": f"{shape.N:,} parameters without embedding, {shape.parameters:,} with it",
                "training tokens": f"{tokens:,.0f}",
                "training compute": f"{compute:.3g} FLOP",
            },
            {"runs": runs, "tokens": tokens, "flops": compute, "N": shape.N},
        )

    def run(self, config: CompareConfig, base: Path, directory: Path, narrator: Narrator) -> Path:
        """Train what is missing, compare, and write the report."""
        return self.compare(config, base, directory, narrator)[1]

    def compare(
        self, config: CompareConfig, base: Path, directory: Path, narrator: Narrator
    ) -> tuple[Comparison, Path]:
        """The same, with what was found: ``comparison.json`` and the path of the report."""
        study = Study(sized(config.as_study()), base, directory, narrator)
        with held(directory):
            claim(config, directory)
            store = study.tokens()
            situation, probed = situation_of(config, study, store), config.probe.sequences > 0
            trial = Trial(study, store, situation, tuple(config.methods), config.seeds, probed)
            trial.check(config.max_epochs)
            results = trial.train()
            found = compare(results, trial.side(config.probe.sequences, config.probe.tau))
            write_json(directory / "comparison.json", found.to_json())
            names = {tag: Language.resolve(tag).name for tag in config.languages}
            return found, write_page(found, config.name, config.description, directory / "report.html", names)


def claim(config: CompareConfig, directory: Path) -> None:
    """Write the configuration into the directory, or check that the one in it makes the same runs.

    Raises:
        BadInput: the directory belongs to a comparison with other runs.
    """
    path = directory / "compare.json"
    mine = config.model_dump(mode="json")
    if path.exists():
        theirs = checked(CompareConfig, read_json(path), where=path).model_dump(mode="json")
        old, new = ({key: c[key] for key in c if key not in MAY_CHANGE} for c in (theirs, mine))
        if old != new:
            raise BadInput(
                f"holds a comparison made by another configuration: {first_difference(old, new)}",
                where=directory,
                expected="the same configuration, or another --out directory",
            )
    write_json(path, mine)


def situation_of(config: CompareConfig, study: Study, store: TokenStore) -> Situation:
    """Sizes after the cut to ``unique_tokens``, budget and steps.

    Raises:
        BadInput: a language that is none of the study's, or less than one sequence of it.
    """
    from glotmix.proxy.run import steps_of

    proxy = study.config.proxy
    there = study.available(store)
    for language, tokens in config.unique_tokens.items():
        if language not in there or not proxy.context <= tokens <= there[language] * proxy.context:
            most = there.get(language, 0) * proxy.context
            raise BadInput(
                f"{language} = {tokens:g}",
                where="unique_tokens",
                expected=f"{proxy.context} to {most:,}" if most else f"one of {', '.join(there)}",
            )
        there[language] = int(tokens // proxy.context)
    steps = steps_of(proxy.tokens, proxy)
    return Situation(
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


EXPERIMENT = Compare()
