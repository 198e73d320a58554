"""Launch scripts: stage after stage for trainers with one mixture per run, overlays merged into a configuration.

Every launch keeps the learning-rate schedule of the whole run and ends at its own stage's last step.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glotmix.exporters.exporter import Launch
from glotmix.exporters.quoting import read_constants, read_text, shell
from glotmix.exporters.request import ExportRequest

STAGE = "MIXTURE_STAGE"
"""Environment variable that tells a generated Python module which stage it is asked for, from 0."""

HEAD = """\
#!/usr/bin/env bash
# Runs the stages one after the other; each must load the checkpoint of the one before and end at its own last step.
# A stage that fails stops the script; FIRST=N goes on with stage N, counted from 0.
#   {usage}
set -euo pipefail
HERE=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
"""


def horizon_constants(request: ExportRequest, last_steps: str = "Steps done after each stage.") -> dict[str, Any]:
    """Where each launch ends and where the learning-rate schedule does, as constants of a generated module."""
    return {
        "LAST_STEPS": (last_steps, [phase.first_step + phase.steps for phase in request.phases]),
        "TRAINING_STEPS": ("Steps of the whole run: what the learning-rate schedule spans.", request.steps),
    }


def launches_of_module(directory: Path) -> list[Launch]:
    """The launches in the constants of :func:`horizon_constants`."""
    constants = read_constants(directory / "mixture.py")
    return [Launch(last, constants["TRAINING_STEPS"]) for last in constants["LAST_STEPS"]]


def launch_by_stage(request: ExportRequest) -> dict[str, str]:
    """``launch.sh`` that sets MIXTURE_STAGE for each stage; nothing for a constant mixture."""
    if len(request.phases) == 1:
        return {}
    ends = shell([str(phase.first_step + phase.steps) for phase in request.phases])
    usage = (
        "bash launch.sh COMMAND [ARGUMENTS...]\n# COMMAND reads mixture.py, stops at step LAST_STEP and spans its "
        "learning-rate schedule over TRAINING_STEPS."
    )
    return {
        "launch.sh": HEAD.format(usage=usage)
        + f"ENDS=({ends})\nexport TRAINING_STEPS={request.steps}\n"
        + "for ((i = ${FIRST:-0}; i < ${#ENDS[@]}; i++)); do\n"
        + f'  echo "stage $i, to step ${{ENDS[$i]}}"\n  {STAGE}=$i LAST_STEP=${{ENDS[$i]}} "$@"\ndone\n'
    }


def launch_by_file(files: Sequence[str]) -> dict[str, str]:
    """``launch.sh`` that runs the command with each stage's file as the last argument, for trainers that take several
    files; nothing for one file."""
    if len(files) == 1:
        return {}
    usage = "bash launch.sh COMMAND [ARGUMENTS...]        the stage's file becomes its last argument"
    return {
        "launch.sh": HEAD.format(usage=usage)
        + f"FILES=({shell(files)})\n"
        + "for ((i = ${FIRST:-0}; i < ${#FILES[@]}; i++)); do\n"
        + '  echo "stage $i: ${FILES[$i]}"\n  "$@" "$HERE/${FILES[$i]}"\ndone\n'
    }


def launch_merged(
    files: Sequence[str],
    command: str,
    *,
    settings: Mapping[str, str] | None = None,
    ends: Sequence[int] = (),
    before: str = "",
) -> dict[str, str]:
    """``launch.sh`` and ``merge.py``: each stage's overlay is merged into the user's configuration before the command.

    Args:
        files: the overlay of each stage, in order.
        command: how the trainer is started, ``{}`` standing for the merged configuration; an example in the script.
        settings: key to value, beside the overlay; ``$HERE`` stands for the folder. A key that ends with ``?`` is set
            only where the configuration has none; a value ``N-other.key`` is a difference.
        ends: last step of each stage, where ``stop.py`` must end it because the configuration spans the whole run.
        before: lines of the script that come before the first stage.
    """
    words = [f"{key}={value}" for key, value in (settings or {}).items()]
    usage = (
        f"CONFIG=yours.yaml bash launch.sh {command}\n"
        "# {} becomes the merged configuration (the last argument, where no {} is given)."
    )
    last = f"LAST_STEPS=({shell([str(end) for end in ends])})\n" if ends else ""
    exports = "LAST_STEP=${LAST_STEPS[$i]} " if ends else ""
    script = f"""\
: "${{CONFIG:?your training configuration, into which each stage is merged}}"
FILES=({shell(files)})
SETTINGS=({shell(words)})
{last}{before}for ((i = ${{FIRST:-0}}; i < ${{#FILES[@]}}; i++)); do
  merged="${{MERGED:-$HERE}}/merged-$i.yaml"
  "${{PYTHON:-python3}}" "$HERE/merge.py" "$CONFIG" "$HERE/${{FILES[$i]}}" "$merged" \\
    ${{SETTINGS[@]+"${{SETTINGS[@]//\\$HERE/$HERE}}"}}
  words=() placed=
  for word in "$@"; do
    [ "$word" = "{{}}" ] && placed=1 && word=$merged
    words+=("$word")
  done
  [ -n "$placed" ] || words+=("$merged")
  echo "stage $i: ${{FILES[$i]}}"
  {exports}"${{words[@]}}"
done
"""
    more = {"stop.py": STOP} if ends else {}
    return {"launch.sh": HEAD.format(usage=usage) + script, "merge.py": MERGE, **more}


def bash_arrays(path: Path) -> dict[str, list[str]]:
    """``NAME=(...)`` lines of a generated script."""
    arrays = {}
    for line in read_text(path).splitlines():
        name, equals, value = line.partition("=(")
        if equals and name.isidentifier() and value.endswith(")"):
            arrays[name] = shlex.split(value[:-1])
    return arrays


STAGE_CODE = f'''
def current_stage():
    """The stage that launch.sh asks for."""
    import os

    return int(os.environ.get("{STAGE}", "0"))
'''
"""Python source that generated modules begin with."""

MERGE = '''\
"""Merges a stage's overlay into a training configuration. Needs PyYAML, as every trainer does that reads YAML.

    python merge.py CONFIG OVERLAY MERGED [KEY=VALUE...]

Mappings are merged and anything else is replaced; a key that the overlay has as null is taken out. What is not in the
overlay stays as your configuration has it, number for number. KEY?=VALUE sets a key only where your configuration lacks
it; a VALUE N-OTHER is N less the value of OTHER (less nothing where there is none).
"""

import re
import sys

import yaml


def get(node, key):
    if isinstance(node, yaml.SequenceNode):
        return node.value[int(key)]
    for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if name.value == key:
            return value


def put(base, overlay):
    for key, value in overlay.value:
        if value.tag == "tag:yaml.org,2002:null":
            base.value = [(name, old) for name, old in base.value if name.value != key.value]
            continue
        for i, (name, old) in enumerate(base.value):
            if name.value == key.value:
                if isinstance(old, yaml.MappingNode) and isinstance(value, yaml.MappingNode):
                    put(old, value)
                else:
                    base.value[i] = (key, value)
                break
        else:
            base.value.append((key, value))


def at(node, path):
    for key in path.split("."):
        node = get(node, key)
    return node


def setting(config, key, value):
    if key.endswith("?"):
        key = key[:-1]
        if at(config, key) is not None:
            return
    difference = re.fullmatch(r"(\\d+)-([\\w.]+)", value)
    if difference:
        other = at(config, difference[2])
        value = int(difference[1]) - (0 if other is None else int(float(other.value)))
    elif value.isdigit():
        value = int(value)
    *above, last = key.split(".")
    for part in above:
        if get(config, part) is None:
            put(config, yaml.compose(yaml.safe_dump({part: {}})))
        config = get(config, part)
    put(config, yaml.compose(yaml.safe_dump({last: value}, allow_unicode=True)))


def read(path):
    with open(path, encoding="utf-8") as file:
        node = yaml.compose(file) or yaml.MappingNode("tag:yaml.org,2002:map", [])
    if not isinstance(node, yaml.MappingNode):
        sys.exit(f"{path}: not a mapping")
    return node


def main():
    config, overlay, merged, *settings = sys.argv[1:]
    node = read(config)
    put(node, read(overlay))
    for word in settings:
        setting(node, *word.split("=", 1))
    with open(merged, "w", encoding="utf-8") as file:
        file.write(yaml.serialize(node, allow_unicode=True))


if __name__ == "__main__":
    main()
'''

STOP = '''\
"""Runs a module that trains with transformers up to the step LAST_STEP, and has it save there.

    LAST_STEP=N python stop.py MODULE [ARGUMENTS...]        (torchrun and accelerate launch take it in the same way)

transformers spans the learning rate over max_steps, which is therefore the whole run's; this ends the stage before.
"""

import os
import runpy
import sys

from transformers import TrainerCallback, trainer_callback


class StopAtLastStep(TrainerCallback):
    """Saves and ends the training at the step LAST_STEP."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step >= int(os.environ["LAST_STEP"]):
            control.should_save = control.should_training_stop = True
        return control


def with_stop(begin):
    """The handler of callbacks, whoever makes it and with which defaults."""

    def made(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        self.add_callback(StopAtLastStep)

    return made


if __name__ == "__main__":
    trainer_callback.CallbackHandler.__init__ = with_stop(trainer_callback.CallbackHandler.__init__)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
'''
