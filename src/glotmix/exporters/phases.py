"""One launch per phase, for trainers that know one mixture per run."""

from __future__ import annotations

from collections.abc import Sequence

from glotmix.exporters.exporter import ExportRequest
from glotmix.exporters.quoting import shell

STAGE = "MIXTURE_STAGE"
"""Environment variable that tells a generated Python module which stage it is asked for, from 0."""

HEAD = """\
#!/usr/bin/env bash
# Runs the stages one after the other; each must load the checkpoint of the one before and end at its own last step.
# A stage that fails stops the script; FIRST=N goes on with stage N, counted from 0.
#   bash launch.sh COMMAND [ARGUMENTS...]        {what}
set -euo pipefail
HERE=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
"""


def launch_by_stage(request: ExportRequest) -> dict[str, str]:
    """``launch.sh`` that sets MIXTURE_STAGE for each stage; nothing for a constant mixture."""
    if len(request.phases) == 1:
        return {}
    ends = shell([str(phase.first_step + phase.steps) for phase in request.phases])
    return {
        "launch.sh": HEAD.format(what="COMMAND reads mixture.py and stops at step LAST_STEP")
        + f"ENDS=({ends})\n"
        + "for ((i = ${FIRST:-0}; i < ${#ENDS[@]}; i++)); do\n"
        + f'  echo "stage $i, to step ${{ENDS[$i]}}"\n  {STAGE}=$i LAST_STEP=${{ENDS[$i]}} "$@"\ndone\n'
    }


def launch_by_file(files: Sequence[str]) -> dict[str, str]:
    """``launch.sh`` that runs the command with each stage's file as the last argument; nothing for one file."""
    if len(files) == 1:
        return {}
    return {
        "launch.sh": HEAD.format(what="the stage's file becomes its last argument")
        + f"FILES=({shell(files)})\n"
        + "for ((i = ${FIRST:-0}; i < ${#FILES[@]}; i++)); do\n"
        + '  echo "stage $i: ${FILES[$i]}"\n  "$@" "$HERE/${FILES[$i]}"\ndone\n'
    }


STAGE_CODE = f'''
def current_stage():
    """The stage that launch.sh asks for."""
    import os

    return int(os.environ.get("{STAGE}", "0"))
'''
"""Python source that generated modules begin with."""
