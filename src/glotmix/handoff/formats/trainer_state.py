"""``trainer_state.json`` of transformers' Trainer: held-out losses of a run's history, by the name of each data set."""

from __future__ import annotations

import json
from collections.abc import Iterator

from glotmix.errors import BadInput
from glotmix.handoff.formats.format import Found, ResultFormat, number_in
from glotmix.handoff.results import Reported, metric_of


class TrainerState(ResultFormat):
    """``eval_<target>_loss`` in ``log_history``, nats per token; the run is told by the path."""

    title = "Hugging Face Trainer: trainer_state.json"

    def knows(self, found: Found) -> bool:
        return found.path.name == "trainer_state.json"

    def read(self, found: Found) -> Iterator[Reported]:
        try:
            state = json.loads(found.text())
            history = [row for row in state["log_history"] if isinstance(row, dict)]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadInput("is no trainer_state.json, or half of one", where=found.shown) from None
        run = found.run()
        for number, row in enumerate(history, 1):
            where = f"{found.shown}, entry {number}"
            values = {}
            for name, value in row.items():
                metric = metric_of(name, found.about.measured) if name.startswith(("eval_", "eval/")) else None
                if metric is not None and (x := number_in(value, name, where)) is not None:
                    values[metric] = x
            if values:
                yield Reported(where=where, run=run, step=number_in(row.get("step"), "step", where), values=values)
