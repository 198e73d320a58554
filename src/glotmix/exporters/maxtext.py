"""MaxText: a mixture file per phase, each of which a run that is resumed may be given anew."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from glotmix.artifact import read_json
from glotmix.exporters.counted import chance_remark, counted_rows
from glotmix.exporters.exporter import (
    Exporter,
    ExportRequest,
    Launch,
    Phase,
    Record,
    Simulation,
    by_language,
    schedule_of,
)
from glotmix.exporters.gpt_neox import numbered
from glotmix.exporters.phases import HEAD, bash_arrays
from glotmix.exporters.quoting import shell
from glotmix.exporters.torchtitan import grain_counts
from glotmix.mixture.schedule import Schedule

LOOP = """\
for ((i = ${FIRST:-0}; i < ${#FILES[@]}; i++)); do
  echo "stage $i: ${FILES[$i]}, to step ${ENDS[$i]}"
  "$@" "${ARGUMENTS[@]}" "grain_train_mixture_config_path=$HERE/${FILES[$i]}" "steps=${ENDS[$i]}"
done
"""


class MaxText(Exporter):
    """``grain_train_mixture_config_path``."""

    name = "maxtext"
    title = "MaxText"
    target_version = "MaxText 0.2 of August 2026 (commit e591f30)"
    unit = "rows"
    schedule_support = "phases"
    packing = "split"
    from_unique = "num_epoch"
    from_document_lengths = "the weights"
    path_template = "data/{language}/*.array_record"
    notes = (
        "Weights count records, which are mixed before they are tokenised, so token shares are divided by the "
        "measured tokens per document. Grain deals records by arithmetic, not at random. A run that is resumed may "
        "be given another mixture file, and every language goes on where it stopped: a schedule is the same run, "
        "stopped at each change (steps) and started with the next file, while learning_rate_schedule_steps is the "
        "whole run's; what was waiting to be packed at that moment is lost. num_epoch is more than any language "
        "needs, because the mixture ends with the first that is exhausted. use_truncation is false, because the "
        "usual true cuts off what is beyond max_target_length. ArrayRecord files."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        paths = self.paths(request)
        files = {}
        for i, phase in enumerate(request.phases):
            shares = by_language(request, request.documents(phase))
            rows = {name: {"path": paths[name], "weight": share} for name, share in shares.items() if share > 0}
            files[f"mixture-{i}.json"] = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
        arguments = {
            "dataset_type": "grain",
            "grain_file_type": "arrayrecord",
            "max_target_length": request.sequence_length,
            "packing": True,
            "use_truncation": False,
            "num_epoch": self._passes(request),
            "data_shuffle_seed": request.seed,
            "learning_rate_schedule_steps": request.steps,
        }
        usage = (
            "bash launch.sh python3 -m maxtext.trainers.pre_train.train base.yml run_name=...\n"
            f"# {request.batch} sequences per step: per_device_batch_size times the number of devices."
        )
        ends = [str(phase.first_step + phase.steps) for phase in request.phases]
        launch = (
            HEAD.format(usage=usage)
            + f"FILES=({shell(list(files))})\nENDS=({shell(ends)})\n"
            + f"ARGUMENTS=({shell([f'{key}={value}' for key, value in arguments.items()])})\n{LOOP}"
        )
        return {**files, "launch.sh": launch}

    def _passes(self, request: ExportRequest) -> int:
        """Passes over each language that are prepared: more than the run needs, also where few rows were told."""
        rows_L = np.sum([counted_rows(request, phase) for phase in request.phases], axis=0).tolist()
        needed = max(float(count) / request.rows(name) for name, count in zip(request.languages, rows_L, strict=True))
        return max(1000 if request.guessed else 1, math.ceil(1.5 * needed) + 1)

    def simulate(self, request: ExportRequest) -> Simulation:
        count_PL, start = [], 0
        for phase in request.phases:
            stop = start + int(counted_rows(request, phase).sum())
            count_PL.append(dealt_records(request, phase, start, stop))
            start = stop
        tokens = tuple(by_language(request, count_L, request.lengths()) for count_L in count_PL)
        return Simulation(tokens, chance_remark(request, count_PL))

    def launches(self, directory: Path) -> list[Launch]:
        arrays = bash_arrays(directory / "launch.sh")
        arguments = dict(word.split("=", 1) for word in arrays["ARGUMENTS"])
        return [Launch(int(end), int(arguments["learning_rate_schedule_steps"])) for end in arrays["ENDS"]]

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        starts = [0, *(launch.last_step for launch in self.launches(directory))]
        parts = []
        for start, file in zip(starts, numbered(directory, "mixture-", ".json"), strict=False):
            shares = {record.language(row["path"]): row["weight"] for row in read_json(file).values()}
            parts.append((start, record.mixture_of_documents(shares)))
        return schedule_of(parts, starts[-1])


def dealt_records(request: ExportRequest, phase: Phase, start: int, stop: int) -> np.ndarray:
    """Records of each language among the ``start``-th to the ``stop``-th of Grain's mixture of iterators, [L].

    It takes languages in the order of their names, and goes on at the place it had when the mixture is another.
    """
    order = sorted(range(len(request.languages)), key=lambda i: request.languages[i])
    q_L = request.documents(phase)[order]
    count_L = np.zeros(len(order), dtype=np.int64)
    count_L[order] = grain_counts(q_L, stop) - grain_counts(q_L, start)
    return count_L
