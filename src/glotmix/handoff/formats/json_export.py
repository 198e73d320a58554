"""One JSON document of several runs: ours as a list, MLflow's search, W&B's run summaries."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from glotmix.errors import BadInput
from glotmix.handoff.formats.format import Found, ResultFormat, number_in
from glotmix.handoff.formats.lines import reported
from glotmix.handoff.formats.table import ENDED, LOST
from glotmix.handoff.results import Reported, metric_of

STEPS, TOKENS = ("step", "_step", "global_step", "trainer/global_step"), ("D", "tokens", "n_tokens", "tokens_seen")


class JsonExport(ResultFormat):
    """A list (or ``{"runs": […]}``) of objects: ``{"run": …}`` as in JSON Lines; ``{"info", "data"}`` as MLflow's
    ``search_runs`` answers; ``{"name", "summary", "config", "state"}`` as W&B's API does."""

    title = "JSON of several runs: MLflow's and W&B's"

    def knows(self, found: Found) -> bool:
        return found.path.suffix == ".json" and found.path.name not in ("asked.json", "artifact.json", "realised.json")

    def read(self, found: Found) -> Iterator[Reported]:
        try:
            told = json.loads(found.text())
        except (ValueError, RecursionError):
            raise BadInput("is half a file, or no JSON", where=found.shown) from None
        runs = told.get("runs", [told]) if isinstance(told, dict) else told
        if not isinstance(runs, list):
            raise BadInput("holds no runs", where=found.shown, expected="a list of runs")
        for number, one in enumerate(runs, 1):
            where = f"{found.shown}, run {number}"
            if not isinstance(one, dict):
                raise BadInput("is no run", where=where, expected='{"run": …, "D": …, "bits_per_byte": {…}}')
            if isinstance(one.get("info"), dict) and isinstance(one.get("data"), dict):
                yield from _of_mlflow(one, where, found)
            elif "summary" in one and "name" in one:
                yield from _of_wandb(one, where, found)
            else:
                yield reported(one, where, found)


def _of_mlflow(one: Mapping[str, Any], where: str, found: Found) -> Iterator[Reported]:
    info, data = one["info"], one["data"]
    metrics, params, tags = (_pairs(data.get(key), where) for key in ("metrics", "params", "tags"))
    steps = [row.get("step") for row in data.get("metrics") or [] if isinstance(row, dict)]
    step = max((float(x) for x in steps if isinstance(x, int | float)), default=None)
    name = tags.get("mlflow.runName") or info.get("run_name") or ""
    yield from _tracked(str(name), str(info.get("status", "")), metrics, {**params, **tags}, where, found, step)


def _of_wandb(one: Mapping[str, Any], where: str, found: Found) -> Iterator[Reported]:
    summary, config = one["summary"], one.get("config") or {}
    if not isinstance(summary, dict) or not isinstance(config, dict):
        raise BadInput("summary and config are no objects", where=where)
    plain = {key: value.get("value") if isinstance(value, dict) else value for key, value in config.items()}
    yield from _tracked(str(one["name"]), str(one.get("state", "")), _flat(summary), plain, where, found, None)


def _tracked(
    name: str,
    state: str,
    metrics: Mapping[str, Any],
    told: Mapping[str, Any],
    where: str,
    found: Found,
    step: float | None,
) -> Iterator[Reported]:
    """A tracker's run, unless it is still at work."""
    if state.lower() not in ENDED and state.lower() not in LOST:
        return
    values = {
        metric: x
        for key, value in metrics.items()
        if (metric := metric_of(key, found.about.measured)) is not None
        and (x := number_in(value, key, where)) is not None
    }
    steps = next((metrics[key] for key in STEPS if key in metrics), step)
    tokens = next((source[key] for source in (metrics, told) for key in TOKENS if key in source), None)
    yield Reported(
        where=where,
        run=name,
        checksum=str(told.get("glotmix_checksum") or told.get("checksum") or ""),
        step=number_in(steps, "step", where),
        D=number_in(tokens, "tokens", where),
        values=values,
        status=LOST.get(state.lower(), "complete"),
        reason=f"{state}, says {where}" if state.lower() in LOST else "",
    )


def _pairs(value: Any, where: str) -> dict[str, Any]:
    """MLflow's ``[{"key": …, "value": …}]``, or a plain object; of several values of a metric the last."""
    if isinstance(value, Mapping):
        return dict(value)
    try:
        rows = sorted(value or [], key=lambda row: row.get("step") or 0)
        return {str(row["key"]): row["value"] for row in rows}
    except (TypeError, KeyError, AttributeError):
        raise BadInput("metrics are neither an object nor a list of keys and values", where=where) from None


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """W&B nests a summary at its slashes: ``{"eval": {"spa": {"bpb": 1.3}}}``."""
    found: dict[str, Any] = {}
    for key, one in value.items():
        found |= _flat(one, f"{before}{key}/") if isinstance(one, dict) else {f"{before}{key}": one}
    return found
