"""What a mixture study will take, told before it is spent."""

from __future__ import annotations

from glotmix.mixture.mixture import Mixture
from glotmix.studies.mixture.active import affordable
from glotmix.studies.mixture.plan import plan
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study.kind import Price


def price(study: MixtureStudy) -> Price:
    """Count what a study would train; nothing is written and no corpus is read.

    Amounts: ``runs`` of the design (those of the ladder and as many chosen ones as the budget allows included),
    ``closed_loop_runs``, training ``tokens`` and ``flops`` of all of them, ``N`` (without embedding) and ``parameters``
    (with it) of a proxy, ``seconds`` on this machine with so many ``workers`` side by side, by a measurement of a few
    steps, and ``target_flops`` (6 N D of the target run, where the study tells its size).
    """
    from glotmix.proxy import flops
    from glotmix.proxy.model import Shape
    from glotmix.proxy.pack import choose

    config, design = study.config, study.config.design
    natural = Mixture.normalised(dict.fromkeys(config.languages, 1.0))
    rungs = study.sizes
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
    workers, speed = study.processes_here(), None
    if not study.is_elsewhere:  # of another's trainer nothing is known
        device, stack = study.device(), config.sweep.stack
        packing = choose(shape, config.proxy, len(runs), device=device, stack=stack, processes=workers)
        speed = packing.tokens_per_second * flops.per_token(shape, context)
    began = 0.0 if speed is None else first / speed
    more = 0 if design.active is None else max(affordable(study, design.active, runs, vocab, began)[0], 0)
    tokens += more * config.proxy.tokens
    compute += first + more * config.proxy.tokens * flops.per_token(shape, context)
    target = config.target
    target_flops = 6 * target.parameters * target.tokens if target.parameters and target.tokens else None
    # Larger proxies are nearer to the peak than this one, so the time of a ladder is rather less than told.
    seconds = None if speed is None else compute / speed
    lines = {
        "proxies": f"{len(runs) + more} of the design, {loop} to close the loop",
        "size of one": f"{shape.N:,} parameters without embedding, {shape.parameters:,} with it",
        "training tokens": f"{tokens:,.0f}",
        "training compute": f"{compute:.3g} FLOP",
    }
    if target_flops:
        lines["share of the target run"] = f"{100 * compute / target_flops:.2g} %"
    if seconds is None:
        lines["trained by"] = f"your trainer ({config.sweep.trainer}), from the files in handoff/"
    else:
        lines["time here"] = f"about {seconds / 60:.1f} minutes with {workers} workers"
    amounts = {
        "runs": len(runs) + more,
        "closed_loop_runs": loop,
        "tokens": tokens,
        "N": shape.N,
        "parameters": shape.parameters,
        "flops": compute,
        "seconds": seconds,
        "workers": workers,
        "target_flops": target_flops,
    }
    return Price(lines, amounts)
