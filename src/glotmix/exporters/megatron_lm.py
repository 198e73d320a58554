"""Megatron-LM: one blend file per phase and a script that starts each phase where the last one saved and left."""

from __future__ import annotations

from pathlib import Path

from glotmix.exporters.blending import (
    SURPLUS,
    blend_of,
    held_out,
    refuse_number,
    refuse_spaces,
    simulate_greedy,
    surplus,
)
from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, schedule_of
from glotmix.exporters.phases import bash_arrays
from glotmix.exporters.quoting import number, read_text, shell
from glotmix.mixture.schedule import Schedule

LAUNCH = """\
#!/usr/bin/env bash
# Runs every phase of the schedule: Megatron-LM saves and exits at a phase transition, and is started again with the
# next blend. Interrupted and called again, it goes on in the phase of the last checkpoint.
#   SAVE=CHECKPOINTS bash launch.sh torchrun ... pretrain_gpt.py ... --save CHECKPOINTS --load CHECKPOINTS
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${SAVE:?the directory given to --save and --load}"
"""
SPLIT = "969,30,1"
"""What Megatron-LM silently holds out."""

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
        "language without a share in a phase is left out of that phase's blend. --phase-transition-iterations needs "
        "--train-samples, which also keeps the learning rate that of the whole run. Where a language has too few "
        "documents for the split, or many languages share a small evaluation, Megatron would hang or stop: then "
        "nothing is held out (SPLIT=1,0,0), and the remarks say why. With many languages and few samples "
        "--mid-level-dataset-surplus is raised to what the blend needs."
    )
    packing = "cut"
    flags = (
        *("--num-layers", "{layers}", "--hidden-size", "{width}", "--ffn-hidden-size", "{feed_forward}"),
        *("--num-attention-heads", "{heads}", "--max-position-embeddings", "{sequence_length}", "--swiglu"),
        *("--normalization", "RMSNorm", "--position-embedding-type", "rope", "--disable-bias-linear"),
        "--untie-embeddings-and-output-weights?untied",
        *("--lr", "{learning_rate}", "--min-lr", "{least_learning_rate}", "--lr-decay-style", "cosine"),
        *("--lr-warmup-samples", "{warmup_sequences}", "--weight-decay", "{weight_decay}", "--clip-grad", "{clip}"),
        *("--pretrained-checkpoint?base", "{base}?base"),
    )
    from_unique = "what is held out"
    from_document_lengths = "what is held out"

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
        if (extra := self._surplus(request)) is not None:
            arguments += ["--mid-level-dataset-surplus", number(extra)]
        if len(phases) > 1:
            arguments += ["--phase-transition-iterations", ",".join(str(phase.first_step) for phase in phases[1:])]
        numbers = range(len(phases))
        return (
            f"{LAUNCH}SPLIT=${{SPLIT:-{self._split(request)[0]}}}\nARGUMENTS=({shell(arguments)})\n"
            f"BLENDS=({shell([f'blend-{i + 1}.txt' for i in numbers])})\n"
            f"ENDS=({shell([str(phase.first_step + phase.steps) for phase in phases])})\n"
            f"SEEDS=({shell([str(request.seed + 1 + i) for i in numbers])})\n{LOOP}"
        )

    def _surplus(self, request: ExportRequest) -> float | None:
        return surplus(request, [phase.steps * request.batch for phase in request.phases])

    def _split(self, request: ExportRequest) -> tuple[str, str | None]:
        return held_out(request, SPLIT, self._surplus(request) or SURPLUS)

    def simulate(self, request: ExportRequest) -> Simulation:
        _, why = self._split(request)
        return simulate_greedy(request, from_zero=True, remarks=(why,) if why else ())

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        arrays = bash_arrays(directory / "launch.sh")
        ends = [int(end) for end in arrays["ENDS"]]
        parts = []
        for start, blend in zip([0, *ends[:-1]], arrays["BLENDS"], strict=True):
            weights = blend_of(read_text(directory / blend).split())
            parts.append((start, record.mixture({record.language(path): w for path, w in weights.items()})))
        return schedule_of(parts, ends[-1])

    def launches(self, directory: Path) -> list[Launch]:
        arrays = bash_arrays(directory / "launch.sh")
        words = dict(zip(arrays["ARGUMENTS"][::2], arrays["ARGUMENTS"][1::2], strict=True))
        horizon = int(words["--train-samples"]) // int(words["--global-batch-size"])
        return [Launch(int(end), horizon) for end in arrays["ENDS"]]

    def check_path(self, language: str, path: str) -> None:
        refuse_number(language, path)
        refuse_spaces(language, path)
