"""From the answers of every cell to what is found: tables of measurements, ``findings.json``, the report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from glotmix.artifact import fingerprint, read_json, write_json, write_text
from glotmix.errors import BadInput
from glotmix.estimate import Estimate
from glotmix.language import Language
from glotmix.posttraining.analysis.ablation import Explained, ablation, rows_of
from glotmix.posttraining.analysis.curve import Curve, curves_from
from glotmix.posttraining.analysis.interval import ScoreMean, mean_interval
from glotmix.posttraining.analysis.noise import Floor, floor, repeats, seen_against_unseen
from glotmix.posttraining.analysis.plan import least_data
from glotmix.posttraining.analysis.saturation import Saturation, plateau, saturation, told_apart
from glotmix.posttraining.cell import SCORES
from glotmix.posttraining.chance import chance
from glotmix.posttraining.tasks import find_task
from glotmix.report.page import assemble
from glotmix.studies.posttraining.cells import Plan
from glotmix.studies.posttraining.findings import (
    Ablated,
    CurveRow,
    InfluenceRow,
    PlanRow,
    PosttrainingReport,
    SaturationRow,
    TaskRow,
    VariableRow,
)
from glotmix.studies.posttraining.influence import influences
from glotmix.studies.posttraining.judging import judged
from glotmix.studies.posttraining.page import sections
from glotmix.studies.posttraining.scores import Scores, write_measurements
from glotmix.study.narrator import Narrator
from glotmix.study.precision import described, recorded
from glotmix.sweep.executors.executor import Executor

if TYPE_CHECKING:
    from glotmix.studies.posttraining.config import PosttrainingConfig

LIBRARIES = ("torch", "transformers", "trl", "peft", "sacrebleu", "rouge-score")


def report(
    config: PosttrainingConfig,
    plan: Plan,
    failed: Mapping[str, str],
    directory: Path,
    executor: Executor,
    narrator: Narrator,
) -> Path:
    """Judge, analyse, and write tables, findings and page; the path of the page."""
    began = time.monotonic()
    done = [cell for cell in plan.cells if cell.name not in failed]
    scores = {cell.name: pl.read_parquet(plan.folder / cell.name / SCORES) for cell in done}
    scores = judged(config, plan, scores, directory, narrator)
    grid = Scores.of(config, done, scores)
    write_measurements(config, plan, grid, failed, directory)
    page = frame(config, plan, grid, failed, influences(config.influence, plan, done, directory, executor, narrator))
    write_json(directory / "findings.json", findings(page))
    for plan_row in page.plans:
        narrator.say(
            f"  {plan_row.task}, {plan_row.base}: {plan_row.size} samples per language reach "
            f"{plan_row.reached:.0%} of the best"
        )
    path = directory / "report.html"
    write_text(path, assemble(page.title, page.question, sections(page)))
    narrator.say(f"Analysed in {time.monotonic() - began:.0f} s")
    return path


def frame(
    config: PosttrainingConfig,
    plan: Plan,
    grid: Scores,
    failed: Mapping[str, str],
    influence: Sequence[InfluenceRow],
) -> PosttrainingReport:
    """Everything that the page shows."""
    table = grid.table(list(config.tasks))
    curves = [curve for curve in curves_from(table, config.pivot) if len(curve.sizes) > 1 and curve.mix]
    floors = {task: _floor([c for c in curves if c.task == task], lambda c: c.mean()) for task in config.tasks}
    fits = [_fits(curve) for curve in curves]
    rows = [
        curve_row(config, grid, curve, [c for c in curves if c.task == curve.task], own)
        for curve, own in zip(curves, fits, strict=True)
    ]
    points = {
        (f"{curve.task} ({curve.base})", "+".join(curve.mix), group): fit
        for curve, own in zip(curves, fits, strict=True)
        for group, fit in own.items()
    }
    plans = []
    for task in config.tasks:
        for base in config.bases:
            mine = [curve for curve in curves if (curve.task, curve.base) == (task, base)]
            if mine and any(np.nanmax(curve.mean()) > 0 for curve in mine):
                plans.append(_plan_row(mine, floors[task], config.analysis.share))
    return PosttrainingReport(
        title=config.name,
        question=config.description,
        names={tag: Language.resolve(tag).name for tag in config.measured},
        pivot=config.pivot,
        share=config.analysis.share,
        tasks=tuple(_task_rows(config, plan, grid, curves)),
        plans=tuple(plans),
        curves=tuple(rows),
        apart=tuple(_apart(points)),
        noise={task: found.deviation for task, found in floors.items() if found is not None},
        ablation=_ablated(curves, config),
        influence=tuple(influence),
        cells=sum(1 for cell in grid.cells.values() if cell.tasks),
        failed=dict(failed),
        equal_steps=config.finetuning.steps is not None,
        dropped={task: count for task, count in plan.setting.data.dropped.items() if count},
        facts=_facts(plan, grid),
        config=config.model_dump(mode="json", exclude_defaults=True),
    )


def curve_row(
    config: PosttrainingConfig, grid: Scores, curve: Curve, alike: Sequence[Curve], fits: Mapping[str, Saturation]
) -> CurveRow:
    """One curve with intervals. Noise is pooled over all curves of the task, ``alike``."""
    cells = [grid.of_size(curve, size) for size in curve.sizes]
    told = {}
    for name, members in _groups(curve).items():
        noise = _floor(alike, _over(members))
        told[name] = tuple(_estimate(grid.mean(names, curve.task, members, noise)) for names in cells)
    flat, margin = _plateau(curve, alike, config.analysis.margin)
    gap, change = _gap(grid, curve, cells)
    both = seen_against_unseen(curve) if gap else None
    return CurveRow(
        curve.task,
        curve.trained,
        curve.base,
        curve.mix,
        curve.sizes,
        told,
        _relative(curve),
        tuple(SaturationRow(name, fit.n50 if fit.rises else None, fit.low, fit.high) for name, fit in fits.items()),
        flat,
        margin,
        gap,
        change,
        both.rho if both else float("nan"),
        both.p if both else float("nan"),
    )


def _groups(curve: Curve) -> dict[str, list[str]]:
    """Pivot, seen, unseen, scripts, and every language by itself; empty groups left out."""
    latin = [name for name in curve.others if Language.resolve(name).script == "Latn"]
    groups = {"pivot": [curve.pivot], "seen": list(curve.seen), "unseen": list(curve.unseen), "Latin": latin}
    groups["other scripts"] = [name for name in curve.others if name not in latin]
    groups |= {name: [name] for name in curve.languages}
    return {name: members for name, members in groups.items() if members}


def _fits(curve: Curve) -> dict[str, Saturation]:
    """Saturation of the seen and the unseen mean, where there are sizes and seeds enough."""
    found = {}
    for name, members in (("seen", curve.seen), ("unseen", curve.unseen)):
        if members:
            with suppress(BadInput):
                found[name] = saturation(curve.sizes, curve.mean(members))
    return found


def _plateau(curve: Curve, alike: Sequence[Curve], share: float) -> tuple[int | None, float]:
    """From which size on nothing is gained, and the gain that counts as nothing."""
    noise, margin = _floor(alike, lambda c: c.mean()), share * curve.gain(curve.mean())
    if noise is None or margin <= 0:
        return None, margin
    return plateau(curve.sizes, curve.mean(), noise.deviation, noise.degrees, margin).size, margin


def _gap(grid: Scores, curve: Curve, cells: Sequence[list[str]]) -> tuple[tuple[Estimate, ...], Estimate | None]:
    """Seen minus unseen at every size, and how it changes from the first to the last."""
    if not (curve.seen and curve.unseen):
        return (), None
    noise = _floor([curve], lambda c: c.gap())
    terms = [[(1, names, curve.seen), (-1, names, curve.unseen)] for names in cells]
    gap = tuple(_estimate(grid.difference(curve.task, *term, noise=noise)) for term in terms)
    if len(cells[0]) != len(cells[-1]):
        return gap, None
    start = [(-sign, names, languages) for sign, names, languages in terms[0]]
    twice = None if noise is None else Floor(noise.deviation * 2**0.5, noise.degrees)
    return gap, _estimate(grid.difference(curve.task, *terms[-1], *start, noise=twice))


def _relative(curve: Curve) -> tuple[Estimate, ...]:
    """Mean of the others over the pivot, with an interval over seeds; NaN where the pivot scores nothing."""
    estimates = []
    for value_S in _ratio(curve):
        finite = value_S[np.isfinite(value_S)]
        if len(finite) > 1:
            mean = mean_interval([finite[:, None]], parallel=True)
            estimates.append(Estimate(mean.value, mean.low, mean.high))
        else:
            estimates.append(Estimate(float(finite[0]) if len(finite) else float("nan")))
    return tuple(estimates)


def _ratio(curve: Curve) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return curve.relative()


def _estimate(mean: ScoreMean) -> Estimate:
    return Estimate(mean.value, mean.low, mean.high)


def _over(languages: Sequence[str]) -> Callable[[Curve], np.ndarray]:
    """The measure of a curve that is its mean over these languages."""

    def measure(curve: Curve) -> np.ndarray:
        return curve.mean(languages)

    return measure


def _floor(curves: Sequence[Curve], measure: Callable[[Curve], np.ndarray]) -> Floor | None:
    try:
        return floor(repeats(curves, measure))
    except BadInput:
        return None


def _plan_row(curves: Sequence[Curve], noise: Floor | None, share: float) -> PlanRow:
    found = least_data(curves, noise, share)
    sure = found.sure or (found if found.low >= share else None)
    most = max(max(c.sizes) * len(c.mix) * (c.trained.count("+") + 1) for c in curves)
    return PlanRow(
        found.task, found.base, found.mix, found.size, found.samples, found.reached, found.low,
        sure.size if sure else None, sure.samples if sure else None, most,
    )  # fmt: skip


def _task_rows(config: PosttrainingConfig, plan: Plan, grid: Scores, curves: Sequence[Curve]) -> list[TaskRow]:
    """Untrained model, blind score and best cell, over the pivot and the trained languages."""
    rows = []
    for task in config.tasks:
        for base in config.bases:
            mine = [curve for curve in curves if (curve.task, curve.base) == (task, base)]
            untrained = f"base-{base}"
            if not mine or (untrained, task, config.pivot) not in grid.items:
                continue
            curve = max(mine, key=lambda c: (len(c.mix), max(c.sizes)))
            names, languages = grid.of_size(curve, max(curve.sizes)), (curve.pivot, *curve.seen)
            noise = _floor(mine, _over(languages))
            gained = [(1, names, languages), (-1, [untrained], languages)]
            blind = [
                chance(find_task(task), plan.setting.data.samples(task, "test", language)) for language in languages
            ]
            rows.append(
                TaskRow(
                    task,
                    base,
                    find_task(task).metric,
                    float(np.mean(blind)),
                    _estimate(grid.mean([untrained], task, languages)),
                    _estimate(grid.mean(names, task, languages, noise)),
                    _estimate(grid.difference(task, *gained, noise=noise)),
                    float(np.mean([grid.wrong[name, task] for name in names])),
                )
            )
    return rows


def _apart(fits: Mapping[tuple[str, str, str], Saturation]) -> list[str]:
    """A sentence for every pair of saturation points of one group, or of one task."""
    said = []
    for (one, a), (other, b) in combinations(fits.items(), 2):
        if one[1] != other[1] or not (a.rises and b.rises) or not (one[0] == other[0] or one[2] == other[2]):
            continue
        first, second = (f"{task}, {group} languages" for task, _, group in (one, other))
        if told_apart(a, b):
            more, less = (first, second) if a.n50 > b.n50 else (second, first)
            said.append(f"{more}, saturates later than {less}.")
        else:
            said.append(f"{first} and {second}: saturation points that these data cannot tell apart.")
    return said


def _ablated(curves: Sequence[Curve], config: PosttrainingConfig) -> Ablated | None:
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            rows = rows_of(curves)
        found = ablation(rows, np.random.default_rng(config.seed), config.analysis.resamples)
    except BadInput:
        return None
    return Ablated(
        tuple(VariableRow(name, _told(found.alone[name]), _told(found.part[name])) for name in found.alone),
        _told(found.main),
        _told(found.interactions),
        _told(found.beyond_single),
        found.best_single,
        found.no_single_one,
    )


def _told(explained: Explained) -> Estimate:
    return Estimate(explained.value, explained.low, explained.high)


def _facts(plan: Plan, grid: Scores) -> dict[str, str]:
    records = [read_json(plan.folder / name / "cell.json") for name in grid.cells]
    facts = {
        "fine-tuned models": str(sum(1 for cell in grid.cells.values() if cell.tasks)),
        "training tokens read": f"{sum(r['tokens'] for r in records):,}",
        "answers": f"{sum(len(value) for value in grid.items.values()):,}",
        "data": plan.setting.data.fingerprint,
    }
    if recorded(plan.directory) is not None:  # proxies were trained here
        facts["precision of the proxies"] = described(plan.directory)
    for name in LIBRARIES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    return facts


def findings(page: PosttrainingReport) -> dict[str, Any]:
    """The page's numbers as plain data; infinity and NaN are None."""

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return value if np.isfinite(value) else None
        if isinstance(value, Mapping):
            return {str(key): plain(part) for key, part in value.items()}
        if isinstance(value, tuple | list):
            return [plain(part) for part in value]
        if hasattr(value, "__dataclass_fields__"):
            return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
        return value

    found: dict[str, Any] = plain(page)
    told: dict[str, Any] = json.loads(json.dumps(found))
    return told | {"fingerprint": fingerprint(found)}
