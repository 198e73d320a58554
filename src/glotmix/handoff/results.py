"""Reported: what a foreign trainer's files say of one run at one moment, before it is believed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from glotmix.handoff.asked import CHECKSUM, AskedRun
from glotmix.language import same_language

SCORES = ("score", "acc", "accuracy", "exact_match", "acc_norm", "f1", "error_rate")
"""Scores, from 0 to 1 or in percent; the first that there is, is a target's where it does not say which."""
UNITS: Mapping[str, Callable[[float], float]] = {
    "bits_per_byte": lambda bytes_per_token: 1.0,
    "nats_per_byte": lambda bytes_per_token: 1 / math.log(2),
    "bits_per_token": lambda bytes_per_token: 1 / bytes_per_token,
    "nats_per_token": lambda bytes_per_token: 1 / (math.log(2) * bytes_per_token),
}
"""Unit of a loss to the factor that makes bits per byte of it, given the bytes per token of the target's text."""
NAMES = {
    **dict.fromkeys(("bits_per_byte", "bpb", "byte_bpb"), "bits_per_byte"),
    **{name: name for name in ("nats_per_byte", "bits_per_token", "nats_per_token")},
    **dict.fromkeys(("ce_loss", "lm_loss_value", "lm_loss", "loss", "nll", "cross_entropy", "ce"), "nats_per_token"),
    **{name: name for name in SCORES},
}
"""How trainers and trackers call a loss or a score, to its unit; a loss without a unit is in nats per token."""
PLACES = ("evaluation", "eval", "validation", "valid", "val", "test", "held_out", "heldout", "metrics", "lm", "on")
"""Words around the name of a target that say where it was measured."""
_EDGE = r"[/_.:\s-]+"
_NAMES, _PLACES = (
    "|".join(word.replace("_", r"[_\s-]") for word in sorted(words, key=len, reverse=True)) for words in (NAMES, PLACES)
)
PEELED = tuple(
    re.compile(pattern.format(edge=_EDGE, words=words), re.IGNORECASE)
    for words in (_NAMES, _PLACES)
    for pattern in (r"^({words}){edge}", r"{edge}({words})$")
)
"""What is taken away in front of a target's name and behind it."""
TRACKER = re.compile(r"^(?:summary|summary_metrics|metrics)[./]", re.IGNORECASE)


@dataclass(frozen=True)
class Reported:
    """Numbers of one run at one step, from one place."""

    where: str
    """File, and row or line where there are several."""
    run: str
    """What the run is called there: its full name, or its name with ``checksum`` beside it."""
    checksum: str = ""
    """Its checksum where it is a field of its own."""
    step: float | None = None
    """Optimiser steps done."""
    D: float | None = None
    """Training tokens done."""
    N: float | None = None
    """Parameters without embeddings."""
    seed: float | None = None
    """Seed that it was trained with, where the file tells."""
    values: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """(target, unit or score) to the number."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Source to the share that was trained on, where the file tells."""
    status: str = "complete"
    """"complete", "diverged" or "failed"."""
    reason: str = ""
    """Why it is not complete."""
    fault: str = ""
    """Why none of this can be believed."""


def metric_of(name: str, targets: Sequence[str]) -> tuple[str, str] | None:
    """Target and unit (or score) of a metric as trainers name it: ``eval/spa/loss``, ``eval_spa_loss``, ``lm loss
    validation spa``, ``bits_per_byte/spa``; None for anything else, such as ``train/loss`` or ``eval/spa_high/loss``.

    What says that it is a loss on held-out text is taken away at both ends; what is left must be a target's whole name.
    """
    text, unit = TRACKER.sub("", name.strip()), None
    while True:
        if unit is not None and (target := target_named(text, targets)) is not None:
            return target, unit
        peeled = next(((match, match[1]) for pattern in PEELED if (match := pattern.search(text))), None)
        if peeled is None:
            return None
        match, word = peeled
        text = text[: match.start()] + text[match.end() :]
        unit = unit or NAMES.get(re.sub(r"[\s-]", "_", word.lower()))


def target_named(name: str, targets: Sequence[str]) -> str | None:
    """The target that is meant: by its own name, else in another case or spelling of its language; None for none."""
    if name in targets:
        return name
    alike = [one for one in targets if one.casefold() == name.strip().casefold() or same_language(one, name)]
    return alike[0] if len(alike) == 1 else None


def run_named(reported: Reported, asked: Mapping[str, AskedRun]) -> AskedRun | str:
    """The run that is meant, or in words why none is.

    Args:
        reported: what a file says.
        asked: full name to run.
    """
    by_name: dict[str, list[AskedRun]] = {}
    for run in asked.values():
        by_name.setdefault(run.run, []).append(run)
    full = CHECKSUM.match(reported.run)
    name, checksum = reported.run, reported.checksum.strip().lower()
    if reported.run in asked and checksum in ("", asked[reported.run].checksum):
        return asked[reported.run]
    if full and full["name"] in by_name:
        name, checksum = full["name"], full["checksum"] if checksum in ("", full["checksum"]) else f"{checksum}?"
    if name not in by_name:
        return f"{reported.run!r} is no run of this study"
    known = by_name[name]
    if checksum:
        match = [run for run in known if run.checksum == checksum]
        wanted = " or ".join(run.checksum for run in known)
        return match[0] if match else f"the checksum of {name} is {checksum.rstrip('?')}, and {wanted} was asked for"
    return f"{name} comes without its checksum: call it {known[-1].full_name}, or add a column checksum"


def run_in_path(path: str, asked: Mapping[str, AskedRun]) -> str | None:
    """The run whose full name stands in a path, or what looks like one; None where nothing does.

    Args:
        path: relative, with forward slashes.
        asked: full name to run.
    """
    found = [name for name in asked if re.search(rf"(?<![\w.-]){re.escape(name)}(?![0-9A-Za-z])", path)]
    if found:
        return max(found, key=len)
    for part in path.split("/"):
        if like := re.match(r"(.+\.[0-9a-f]{8})(?![0-9A-Za-z])", part):
            return like[1]
    named = [run.run for run in asked.values() if run.run in path.split("/")]
    return max(named, key=len) if named else None
