"""State of a sharded fine-tuning in mid-run: every process writes its part, and none counts before all are there.

Safetensors and JSON only. A state is a folder ``step-N`` with a file for each process; ``state.json`` names the one
that is whole, and is replaced last.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from glotmix.artifact import read_json, write_json
from glotmix.errors import BadInput, Corrupt
from glotmix.proxy.checkpoint import DIGEST, digest, save_tensors
from glotmix.proxy.parallel import Team

LATEST = "state.json"


def save_part(
    place: Path, team: Team, step: int, tensors: Mapping[str, Tensor], made_from: object, progress: Mapping[str, Any]
) -> None:
    """Write this process's part of a state; older states go once all parts are there.

    Args:
        place: folder of the states of one run.
        team: processes that train together; all of them call this.
        step: updates that are done.
        tensors: this process's.
        made_from: JSON value that must be equal when the state is loaded.
        progress: JSON value that is handed back; the first process's counts.
    """
    folder = place / f"step-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_tensors(folder / f"part-{team.rank}.safetensors", own, {"state": json.dumps({"step": step})})
    team.wait()
    if team.leads:
        told = {"step": step, "processes": team.size, "made_from": made_from, "progress": progress}
        write_json(place / LATEST, told)
        for old in place.glob("step-*"):
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)
    team.wait()


def load_part(place: Path, team: Team, made_from: object) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
    """Step, this process's tensors, and progress; None where there is no state, or one of other settings or of another
    number of processes, whose parts are cut elsewhere.

    Raises:
        Corrupt: it cannot be read, or changed since it was written.
    """
    if not (place / LATEST).is_file():
        return None
    try:
        told = read_json(place / LATEST)
        if told["made_from"] != json.loads(json.dumps(made_from)) or told["processes"] != team.size:
            return None
        step, progress = int(told["step"]), dict(told["progress"])
        part = place / f"step-{step}" / f"part-{team.rank}.safetensors"
        with safe_open(part, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if metadata.get(DIGEST) != digest(tensors, metadata.get("state", "")):
            raise ValueError(f"{part.name} changed since it was written (digest differs)")
        return step, tensors, progress
    except (BadInput, SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise Corrupt(f"{place}: {reason}; delete it to start this fine-tuning anew") from None


def drop(place: Path, team: Team) -> None:
    """Remove the states of a run that is done."""
    team.wait()
    if team.leads:
        shutil.rmtree(place, ignore_errors=True)
