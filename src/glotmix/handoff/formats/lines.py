"""JSON Lines as ``glotmix.live.report`` writes them: an object per measurement, losses by target under their unit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from glotmix.errors import BadInput
from glotmix.handoff.formats.format import Found, ResultFormat, number_in
from glotmix.handoff.results import NAMES, UNITS, Reported, target_named


class Lines(ResultFormat):
    """``{"run": "swarm-003-s0.1f2e3d4c", "D": 1e6, "bits_per_byte": {"spa_Latn": 1.31, …}}``, a line each."""

    title = "JSON Lines, an object per run or measurement"

    def knows(self, found: Found) -> bool:
        return found.path.suffix in (".jsonl", ".ndjson")

    def read(self, found: Found) -> Iterator[Reported]:
        lines = found.text().split("\n")
        for number, line in enumerate(lines, 1):
            if line.strip():
                where = f"{found.shown}:{number}"
                try:
                    one = json.loads(line)
                except (ValueError, RecursionError):
                    raise BadInput("is half a line, or no JSON", where=where, expected="an object per line") from None
                yield reported(one, where, found)


def reported(one: Any, where: str, found: Found) -> Reported:
    """One object of the documented form.

    Raises:
        BadInput: it is not of this form.
    """
    if not isinstance(one, dict) or not isinstance(one.get("run"), str):
        raise BadInput("names no run", where=where, expected='{"run": …, "D": …, "bits_per_byte": {…}}')
    values: dict[tuple[str, str], float] = {}
    for unit in (*UNITS, *(name for name in NAMES.values() if name not in UNITS)):
        for target, value in _mapping(one, unit, where).items():
            number = number_in(value, f"{unit} of {target}", where)
            if number is not None:
                values[(target_named(str(target), found.about.measured) or str(target), unit)] = number
    if "losses" in one or "loss" in one:
        raise BadInput("losses without their unit", where=where, expected=" or ".join(UNITS))
    status = one.get("status", "complete")
    if status not in ("complete", "diverged", "failed"):
        raise BadInput(f"status is {status!r}", where=where, expected="complete, diverged or failed")
    shares = {name: number_in(x, f"share of {name}", where) for name, x in _mapping(one, "shares", where).items()}
    return Reported(
        where=where,
        run=one["run"],
        checksum=str(one.get("checksum") or ""),
        step=number_in(one.get("step"), "step", where),
        D=number_in(one.get("D", one.get("tokens")), "D", where),
        N=number_in(one.get("N"), "N", where),
        seed=number_in(one.get("seed"), "seed", where),
        values=values,
        shares={name: share for name, share in shares.items() if share is not None},
        status=str(status),
        reason=str(one.get("reason") or ""),
    )


def _mapping(one: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = one.get(key) or {}
    if not isinstance(value, Mapping):
        raise BadInput(f"{key} is {value!r}", where=where, expected="names to numbers")
    return value
