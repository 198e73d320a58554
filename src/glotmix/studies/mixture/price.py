"""What a mixture study will take, told before it is spent."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from glotmix.mixture.mixture import Mixture
from glotmix.studies.mixture.active import affordable
from glotmix.studies.mixture.plan import plan
from glotmix.study.training import Study, sized


@dataclass(frozen=True)
class Cost:
    """What a study will take, told before it is spent."""

    runs: int
    """Proxies of the design, those of the ladder and as many chosen ones as the budget allows included."""
    closed_loop_runs: int
    """Proxies that close the loop: the optimum and the baselines, times seeds."""
    tokens: float
    """Training tokens of all of them."""
    N: int
    """Parameters of a proxy without its embedding."""
    parameters: int
    """All parameters of a proxy."""
    flops: float
    """Training FLOPs of all proxies."""
    seconds: float | None
    """Expected wall-clock seconds on this machine, from a measurement of a few steps; None if it was not made."""
    workers: int
    """Processes side by side."""
    target_flops: float | None
    """FLOPs of the target run (6 N D), where the study tells its size."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return dataclasses.asdict(self)

    def table(self) -> Table:
        """For a terminal."""
        table = Table(title="What the study will cost", title_justify="left", show_header=False)
        table.add_row("proxies", f"{self.runs} of the design, {self.closed_loop_runs} to close the loop")
        table.add_row("size of one", f"{self.N:,} parameters without embedding, {self.parameters:,} with it")
        table.add_row("training tokens", f"{self.tokens:,.0f}")
        table.add_row("training compute", f"{self.flops:.3g} FLOP")
        if self.target_flops:
            table.add_row("share of the target run", f"{100 * self.flops / self.target_flops:.2g} %")
        if self.seconds is not None:
            table.add_row("time here", f"about {self.seconds / 60:.1f} minutes with {self.workers} workers")
        return table


def dry_run(study: Study) -> Cost:
    """Count what a study would train; nothing is written and no corpus is read."""
    from glotmix.proxy import flops
    from glotmix.proxy.model import Shape
    from glotmix.proxy.pack import choose

    study = dataclasses.replace(study, config=sized(study.config))
    config, design = study.config, study.config.design
    natural = Mixture.normalised(dict.fromkeys(config.languages, 1.0))
    rungs = study.ladder()
    runs = plan(config, natural, {size: proxy.tokens for size, proxy in rungs.items()})
    mixtures = (
        1
        + len(config.validation.baselines)
        + ("current" not in config.validation.baselines and bool(config.optimize.current))
    )
    loop = config.validation.seeds * mixtures
    tokens = float(sum(run.tokens for run in runs)) + loop * config.proxy.tokens
    vocab, context = config.tokens.vocab_size, config.proxy.context
    shape = Shape.of(config.proxy, vocab)
    shapes = {size: Shape.of(proxy, vocab) for size, proxy in rungs.items()} | {"": shape}
    compute = loop * config.proxy.tokens * flops.per_token(shape, context)
    first = sum(run.tokens * flops.per_token(shapes[run.size], context) for run in runs)
    workers = study.processes_here()
    packing = choose(shape, config.proxy, len(runs), device=study.device(), stack=config.sweep.stack, processes=workers)
    speed = packing.tokens_per_second * flops.per_token(shape, context)
    more = 0 if design.active is None else max(affordable(study, design.active, runs, vocab, first / speed)[0], 0)
    tokens += more * config.proxy.tokens
    compute += first + more * config.proxy.tokens * flops.per_token(shape, context)
    target = config.target
    return Cost(
        runs=len(runs) + more,
        closed_loop_runs=loop,
        tokens=tokens,
        N=shape.N,
        parameters=shape.parameters,
        flops=compute,
        # Larger proxies are nearer to the peak than this one, so the time of a ladder is rather less than told.
        seconds=compute / speed,
        workers=workers,
        target_flops=6 * target.parameters * target.tokens if target.parameters and target.tokens else None,
    )
