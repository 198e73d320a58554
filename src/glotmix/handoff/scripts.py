"""Scripts that start a foreign trainer: one command per run, a plain loop, and a SLURM array."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from glotmix.errors import BadInput
from glotmix.exporters.quoting import number
from glotmix.handoff.asked import AskedRun

PLACES = ("run_dir", "results", "run", "arguments", "seed", "steps", "tokens", "N", "batch", "sequence_length",
          "learning_rate")  # fmt: skip
"""What a command may have in braces."""
COMMANDS = "commands"
"""Folder of one script per run."""
SET_HERE = ("array", "output", "error", "job-name", "wrap", "requeue", "chdir", "parsable")
"""Options of sbatch that are the script's own."""


def check_command(command: str) -> str:
    """The user's command, if all that stands in braces is known.

    Raises:
        BadInput: something is not; or the run that is meant cannot be told from it.
    """
    named = set(re.findall(r"(?<!\$)\{(\w+)\}", command))
    if unknown := sorted(named - set(PLACES)):
        listed = ", ".join(f"{{{name}}}" for name in PLACES)
        raise BadInput(f"{{{unknown[0]}}} in {command!r}", where="sweep.command", expected=listed)
    if not named & {"run_dir", "run"}:
        raise BadInput(f"{command!r} is the same for every run", where="sweep.command", expected="{run_dir} in it")
    if "\n" in command or "\0" in command:
        raise BadInput("several lines", where="sweep.command", expected="one command; put more into a script")
    return command


def command_of(asked: AskedRun, command: str) -> str:
    """The script that trains one run; results go to ``$RESULTS``."""
    filled = {
        "run_dir": '"$RUN_DIR"',
        "results": '"$RESULTS"',
        "run": shlex.quote(asked.full_name),
        "arguments": shlex.join(asked.arguments),
        "seed": number(asked.seed),
        "steps": number(asked.steps),
        "tokens": number(round(asked.D)),
        "N": number(asked.N),
        "batch": number(asked.batch),
        "sequence_length": number(asked.sequence_length),
        "learning_rate": number(asked.learning_rate),
    }
    text = check_command(command)
    for name, value in filled.items():
        text = text.replace(f"{{{name}}}", value)
    return f"""\
#!/usr/bin/env bash
# Trains {asked.full_name}. Its results are reported under this name, in $RESULTS.
set -euo pipefail
HERE=$(cd "$(dirname "${{BASH_SOURCE[0]}}")/.." && pwd)
mkdir -p "$HERE/results"
RUN_DIR=$HERE/runs/{asked.full_name} RESULTS=$HERE/results
export RUN_DIR RESULTS GLOTMIX_RUN={shlex.quote(asked.full_name)} GLOTMIX_RESULTS="$RESULTS"
{text}
"""


def loop() -> str:
    """Every waiting run after the other; what ended well is not started again."""
    return """\
#!/usr/bin/env bash
# Trains every run that waits, one after the other; interrupted and called again, it goes on.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
while read -r run; do
  [ -e "$HERE/ended/$run" ] && continue
  echo "$run"
  bash "$HERE/commands/$run.sh" </dev/null
  mkdir -p "$HERE/ended" && : >"$HERE/ended/$run"
done <"$HERE/waiting.txt"
"""


def slurm(options: Mapping[str, str], count: int, at_once: int | None) -> str:
    """An array with a task per waiting run.

    Raises:
        BadInput: an option that is none, or one that the script sets itself.
    """
    lines = [f"#SBATCH {sbatch_option(name, value)}" for name, value in options.items()]
    together = f"%{at_once}" if at_once else ""
    return "\n".join(
        [
            "#!/usr/bin/env bash",
            "#SBATCH --job-name=glotmix",
            f"#SBATCH --array=0-{max(0, count - 1)}{together}",
            *lines,
            "# A task per run that waits:   cd handoff && sbatch slurm.sh",
            "# The lines of waiting.txt are counted from 0; a task whose run ended well before does nothing.",
            "set -euo pipefail",
            "HERE=${HANDOFF:-$SLURM_SUBMIT_DIR}",
            'run=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$HERE/waiting.txt")',
            '[ -z "$run" ] && exit 0',
            '[ -e "$HERE/ended/$run" ] && exit 0',
            'bash "$HERE/commands/$run.sh"',
            'mkdir -p "$HERE/ended" && : >"$HERE/ended/$run"',
            "",
        ]
    )


def sbatch_option(name: str, value: str) -> str:
    """One option of ``sbatch``, as a word.

    Raises:
        BadInput: a name or a value that is none, or an option that is set here.
    """
    if not name.replace("-", "").isalnum() or name in SET_HERE:
        others = ", ".join(SET_HERE)
        raise BadInput(f"{name!r}", where="sweep.slurm", expected=f"an option of sbatch other than {others}")
    if any(ord(c) < 32 for c in str(value)):
        raise BadInput(f"{name} = {value!r}", where="sweep.slurm", expected="a value without control characters")
    return f"--{name}={value}"
