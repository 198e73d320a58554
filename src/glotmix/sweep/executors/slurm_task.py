"""What a SLURM array starts: one task of a list, whose exit code is left in a file. ``… slurm_task FOLDER``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path


def main(folder: Path, index: int) -> int:
    """Run task ``index`` and leave its exit code; a signal from the scheduler is handed on and leaves none."""
    order = json.loads((folder / "tasks.json").read_text())[index]
    log = Path(order["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"GLOTMIX_DRIVER": str(os.getpid())}
    with open(log, "ab") as file:
        process = subprocess.Popen(  # noqa: S603 - an argument list that glotmix built, no shell
            order["command"], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment
        )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: _hand_on(process, received))
    code = process.wait()
    part = folder / f"{index}.exit.part"
    part.write_text(str(code))
    part.replace(folder / f"{index}.exit")
    return 0


def _hand_on(process: subprocess.Popen[bytes], number: int) -> None:
    process.send_signal(number)
    process.wait()
    os._exit(128 + number)  # without an exit code: a requeued task starts again


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(os.environ["SLURM_ARRAY_TASK_ID"])))
