"""Report: a run's held-out losses from inside any training loop, where `glotmix run` looks for them. No torch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from glotmix.artifact import write_text
from glotmix.errors import BadInput

UNITS = ("bits_per_byte", "nats_per_byte", "bits_per_token", "nats_per_token", "score")
RUN, RESULTS = "GLOTMIX_RUN", "GLOTMIX_RESULTS"
"""What the scripts of a handoff set: the run's full name, and the folder of results."""


def report(
    run: str | None,
    step: int,
    losses: Mapping[str, float],
    *,
    unit: str = "nats_per_token",
    tokens: float | None = None,
    results: str | os.PathLike[str] | None = None,
) -> Path:
    """Write held-out losses of a run to ``results/<run>.jsonl``; call it on one process alone.

    A step that was reported before is replaced, since a run that was restarted measures it again. The file is whole at
    every moment, however the process ends.

    Args:
        run: its full name, with the checksum; None for that of ``GLOTMIX_RUN``, which the handoff's scripts set.
        step: optimiser steps done.
        losses: target to loss, or to its score where the unit is "score".
        unit: bits_per_byte, nats_per_byte, bits_per_token or nats_per_token; score (from 0 to 1) of targets that are.
        tokens: training tokens done; default what follows from the step and the batch that was asked for.
        results: folder; default ``GLOTMIX_RESULTS``.

    Raises:
        BadInput: no run, no folder, or a unit that is none.
    """
    name = run or os.environ.get(RUN, "")
    folder = results or os.environ.get(RESULTS)
    if not name or "/" in name or name.startswith("."):
        raise BadInput(f"run {name!r}", where="report", expected=f"a run's full name, or {RUN} set")
    if folder is None:
        raise BadInput("no folder of results", where="report", expected=f"results=…, or {RESULTS} set")
    if unit not in UNITS:
        raise BadInput(f"unit {unit!r}", where="report", expected=" | ".join(UNITS))
    path = Path(folder) / f"{name}.jsonl"
    told = {str(target): float(loss) for target, loss in losses.items()}
    one = {"run": name, "step": int(step), **({} if tokens is None else {"D": float(tokens)}), unit: told}
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    kept = [line for line in lines if _key(line) != (int(step), unit, frozenset(told))]
    write_text(path, "\n".join([*kept, json.dumps(one), ""]))
    return path


def _key(line: str) -> tuple[int, str, frozenset[str]] | None:
    """Step, unit and targets of a line; None for one that is not ours."""
    try:
        one = json.loads(line)
        unit = next(name for name in UNITS if name in one)
        return int(one["step"]), unit, frozenset(one[unit])
    except (ValueError, KeyError, TypeError, StopIteration):
        return None


def losses_of_trainer(metrics: Mapping[str, float]) -> dict[str, float]:
    """Target to loss in what transformers' Trainer tells of an evaluation: ``eval_<target>_loss``."""
    found = {}
    for name, value in metrics.items():
        if (match := re.fullmatch(r"eval_(.+)_loss", name)) is not None:
            found[match[1]] = float(value)
    return found
