"""Megatron-LM: one blend file per phase and a script that starts each phase where the last one saved and left."""

from __future__ import annotations

import shlex
from pathlib import Path

from glotmix.errors import BadInput
from glotmix.exporters.exporter import Exporter, ExportRequest, Record, Simulation, by_language, schedule_of
from glotmix.exporters.quoting import number, read_text, shell
from glotmix.exporters.rules import greedy_deficit
from glotmix.mixture.schedule import Schedule

LAUNCH = """\
#!/usr/bin/env bash
# Runs every phase of the schedule: Megatron-LM saves and exits at a phase transition, and is started again with the
# next blend. Interrupted and called again, it goes on in the phase of the last checkpoint.
#   SAVE=CHECKPOINTS bash launch.sh torchrun ... pretrain_gpt.py ... --save CHECKPOINTS --load CHECKPOINTS
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${SAVE:?the directory given to --save and --load}"
SPLIT=${SPLIT:-969,30,1}
"""
LOOP = """\
done_steps() { cat "$SAVE/latest_checkpointed_iteration.txt" 2>/dev/null || echo 0; }
for i in "${!ENDS[@]}"; do
  before=$(done_steps)
  [ "$before" -ge "${ENDS[$i]}" ] && continue
  "$@" "${ARGUMENTS[@]}" --split "$SPLIT" --data-args-path "$HERE/${BLENDS[$i]}" --seed "${SEEDS[$i]}"
  after=$(done_steps)
  if [ "$after" -lt "${ENDS[$i]}" ]; then
    echo "phase $((i + 1)) stopped at step $after of ${ENDS[$i]}; run this script again to go on" >&2
    exit 1
  fi
done
"""


def refuse_number(language: str, path: str) -> None:
    """Megatron takes whatever reads as a number for a weight."""
    try:
        float(path)
    except ValueError:
        return
    raise BadInput(f"path of {language} {path!r} reads as a number", expected="a prefix such as ./123")


def simulate_greedy(request: ExportRequest, *, from_zero: bool, remarks: tuple[str, ...] = ()) -> Simulation:
    """Megatron's greedy rule, phase by phase.

    Args:
        request: what was asked for.
        from_zero: whether each phase deals its own blend from the start, or goes on in it at the samples consumed.
        remarks: passed on.
    """
    tokens = []
    for phase in request.phases:
        start = 0 if from_zero else phase.first_step * request.batch
        count_L = greedy_deficit(request.vector(phase), start, start + phase.steps * request.batch)
        tokens.append(by_language(request, count_L, request.sequence_length))
    return Simulation(tuple(tokens), remarks)


def blend_of(tokens: list[str]) -> dict[str, float]:
    """Weights by prefix from the words of a blend, as ``get_blend_from_list`` of Megatron-core reads them."""
    if len(tokens) % 2:
        raise BadInput(f"a blend of {len(tokens)} words", expected="weight and prefix, again and again")
    try:
        return {prefix: float(weight) for weight, prefix in zip(tokens[::2], tokens[1::2], strict=True)}
    except ValueError as error:
        raise BadInput(f"a blend in which a weight is no number ({error})") from None


class MegatronLM(Exporter):
    """``--data-args-path`` blends and ``--phase-transition-iterations``."""

    name = "megatron_lm"
    title = "Megatron-LM"
    target_version = "megatron-core 0.16 to 0.20 (phase transitions since January 2026)"
    unit = "sequences"
    schedule_support = "phases"
    path_template = "data/{language}_text_document"
    notes = (
        "Weights count samples of the sequence length, so they are token shares. Samples are dealt by greatest "
        "deficit, without randomness, and each language starts over as often as needed. A phase starts every "
        "language at its own sample 0: each phase therefore has its own --seed, which shuffles documents anew. "
        "Without --split Megatron silently holds out 969,30,1; the script names it. Weights must be above 0, so a "
        "language without a share in a phase is left out of that phase's blend. --phase-transition-iterations "
        "needs --train-samples."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        paths = self.paths(request)
        files: dict[str, str] = {}
        for i, phase in enumerate(request.phases, start=1):
            rows = [(phase.mixture[name], path) for name, path in paths.items() if phase.mixture[name] > 0]
            files[f"blend-{i}.txt"] = "".join(f"{number(weight)} {path}\n" for weight, path in rows)
        return {**files, "launch.sh": self._launch(request)}

    def _launch(self, request: ExportRequest) -> str:
        phases = request.phases
        arguments = [
            *("--seq-length", str(request.sequence_length)),
            *("--global-batch-size", str(request.batch)),
            *("--train-samples", str(request.sequences)),
        ]
        if len(phases) > 1:
            arguments += ["--phase-transition-iterations", ",".join(str(phase.first_step) for phase in phases[1:])]
        numbers = range(len(phases))
        return (
            f"{LAUNCH}ARGUMENTS=({shell(arguments)})\n"
            f"BLENDS=({shell([f'blend-{i + 1}.txt' for i in numbers])})\n"
            f"ENDS=({shell([str(phase.first_step + phase.steps) for phase in phases])})\n"
            f"SEEDS=({shell([str(request.seed + 1 + i) for i in numbers])})\n{LOOP}"
        )

    def simulate(self, request: ExportRequest) -> Simulation:
        return simulate_greedy(request, from_zero=True)

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        arrays = bash_arrays(directory / "launch.sh")
        ends = [int(end) for end in arrays["ENDS"]]
        parts = []
        for start, blend in zip([0, *ends[:-1]], arrays["BLENDS"], strict=True):
            weights = blend_of(read_text(directory / blend).split())
            parts.append((start, record.mixture({record.language(path): w for path, w in weights.items()})))
        return schedule_of(parts, ends[-1])

    def check_path(self, language: str, path: str) -> None:
        refuse_number(language, path)
        if any(character.isspace() for character in path):
            raise BadInput(f"path of {language} {path!r} holds white space, at which Megatron splits the blend")


def bash_arrays(path: Path) -> dict[str, list[str]]:
    """``NAME=(...)`` lines of a generated script."""
    arrays = {}
    for line in read_text(path).splitlines():
        name, equals, value = line.partition("=(")
        if equals and name.isidentifier() and value.endswith(")"):
            arrays[name] = shlex.split(value[:-1])
    return arrays
