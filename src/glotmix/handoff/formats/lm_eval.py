"""``results_*.json`` of lm-evaluation-harness: bits per byte where a task is a target, and scores beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from glotmix.errors import BadInput
from glotmix.handoff.formats.format import Found, ResultFormat, number_in
from glotmix.handoff.results import NAMES, Reported, target_named


class LmEval(ResultFormat):
    """``{"results": {task: {"bits_per_byte,none": x, "acc,none": y}}, "config": …}``; the run is told by the path."""

    title = "lm-evaluation-harness: results_*.json"

    def knows(self, found: Found) -> bool:
        return (
            found.path.suffix == ".json" and found.path.name.startswith("results") and '"run"' not in found.head[:200]
        )

    def read(self, found: Found) -> Iterator[Reported]:
        try:
            told = json.loads(found.text())
            tasks: dict[str, dict[str, Any]] = dict(told["results"])
            rows = {task: dict(metrics) for task, metrics in tasks.items()}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadInput("is no result of lm-evaluation-harness, or half of one", where=found.shown) from None
        values: dict[tuple[str, str], float] = {}
        for task, metrics in rows.items():
            target = found.about.target_of_task(task) or target_named(task, found.about.measured) or task
            for metric, value in metrics.items():
                name, _, how = metric.partition(",")
                unit = NAMES.get(name)
                if unit is None or how not in ("", "none"):  # a filter of answers makes another score of it
                    continue
                number = number_in(value, f"{metric} of {task}", found.shown)
                if number is not None:
                    values[(target, unit)] = number
        yield Reported(where=found.shown, run=found.run(), values=values)
