"""What a SLURM array starts: one task of a list, whose exit code is left in a file. ``… slurm_task FOLDER``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def meeting(environment: Mapping[str, str]) -> dict[str, str]:
    """Where torchrun's processes on several nodes meet, as it reads it: this node, the first of the job, at a port of
    the job's own. Empty for a job on one node."""
    if int(environment.get("SLURM_JOB_NUM_NODES", "1")) < 2:
        return {}
    job = environment["SLURM_JOB_ID"]
    return {"PET_RDZV_ENDPOINT": f"{socket.gethostname()}:{20_000 + int(job) % 20_000}", "PET_RDZV_ID": job}


def main(folder: Path, index: int) -> int:
    """Run task ``index`` and leave its exit code; a signal from the scheduler is handed on and leaves none.

    Without an exit code the task has not ended: a requeued one starts again.
    """
    order = json.loads((folder / "tasks.json").read_text())[index]
    log = Path(order["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | meeting(os.environ) | {"GLOTMIX_DRIVER": str(os.getpid())}
    with open(log, "ab") as file:
        process = subprocess.Popen(  # noqa: S603 - an argument list that glotmix built, no shell
            order["command"], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment
        )
    received: list[int] = []

    def hand_on(number: int, _: object) -> None:
        received.append(number)
        process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hand_on)
    code = process.wait()
    if received:
        return 128 + received[0]
    part = folder / f"{index}.exit.part"
    part.write_text(str(code))
    part.replace(folder / f"{index}.exit")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(os.environ["SLURM_ARRAY_TASK_ID"])))
