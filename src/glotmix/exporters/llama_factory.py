"""LLaMA-Factory: counts of rows per language in dataset_info.json, and one YAML per phase."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from glotmix.artifact import read_json
from glotmix.errors import BadInput
from glotmix.exporters.counted import chance_remark, counted_rows, fill
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
from glotmix.exporters.phases import bash_arrays, launch_merged
from glotmix.exporters.quoting import read_yaml_text, yaml_text
from glotmix.mixture.schedule import Schedule

LOST = 0.002
"""Share of a language's tokens that may be lost where rows are cut into sequences; the size of a batch of rows that is
cut at once follows from it."""
USUAL_BATCH = 1000
"""LLaMA-Factory's own ``preprocessing_batch_size``."""


class LlamaFactory(Exporter):
    """``num_samples`` of each language, concatenated."""

    name = "llama_factory"
    title = "LLaMA-Factory"
    target_version = "llamafactory 0.9.4 to 0.9.5"
    unit = "rows"
    schedule_support = "phases"
    path_template = "{language}.jsonl"
    packing = "cut"
    from_document_lengths = "the numbers of rows"
    writes = "counts"
    notes = (
        "num_samples in dataset_info.json says how many rows of each language to take, more than it has where it is "
        "to be repeated, from the measured tokens per document; mix_strategy concat joins them and the trainer "
        "shuffles the sequences. interleave_probs is not used: it draws at random, a later shuffle draws again, and "
        "streaming needs a dataloader_num_workers of at least 1 to start at all. Rows are joined and cut at "
        "cutoff_len in batches of preprocessing_batch_size, whose remainder is lost; the batch is made large enough. "
        "It writes the tokens of the stage to disk before training (stage: pt; for other stages change it together "
        "with columns). A configuration's own max_samples, which cuts every language to as many rows, and its "
        "tokenized_path, from which every stage would read the data of the first, are taken out (of evaluation too: "
        "cut its files), disable_shuffling, which trains one language after another, is false, and val_size, which "
        "holds out rows at random, is 0 (a configuration with eval_steps needs an eval_dataset). max_steps is the "
        "whole run's, because the learning rate spans it: stop.py ends a stage. A stage is a run of its own, with "
        "ignore_data_skip because its data begin anew. file_name is relative to the exported folder."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        paths = self.paths(request)
        info: dict[str, Any] = {}
        files = {}
        for i, phase in enumerate(request.phases):
            entries = {}
            for name, count in zip(request.languages, self._rows(request, phase).tolist(), strict=True):
                if count:
                    entry = name if len(request.phases) == 1 else f"stage {i} {name}"
                    entries[entry] = {"file_name": paths[name], "columns": {"prompt": "text"}, "num_samples": count}
            info |= entries
            overlay = {
                "stage": "pt",
                "dataset_dir": ".",
                "dataset": ",".join(entries),
                "mix_strategy": "concat",
                "streaming": False,
                "cutoff_len": request.sequence_length,
                "packing": True,
                "preprocessing_batch_size": rows_at_once(request),
                "max_samples": None,
                "tokenized_path": None,
                "val_size": 0.0,
                "interleave_probs": None,
                "disable_shuffling": False,
                "max_steps": request.steps,
                "seed": request.seed + i,
            }
            if i:
                overlay["ignore_data_skip"] = True
            comment = (
                "launch.sh merges this into your configuration and sets dataset_dir to this folder.\n"
                f"Batches of {request.batch} sequences over all devices."
            )
            files[f"mixture-{i}.yaml"] = yaml_text(overlay, comment)
        listing = json.dumps(info, indent=1, ensure_ascii=False) + "\n"
        launch = launch_merged(
            list(files),
            "torchrun ... stop.py llamafactory.launcher {}",
            settings={"dataset_dir": "$HERE"},
            ends=[phase.first_step + phase.steps for phase in request.phases],
        )
        return {**files, "dataset_info.json": listing, **launch}

    def row_lengths(self, request: ExportRequest) -> np.ndarray:
        return cut_lengths(request)

    def _rows(self, request: ExportRequest, phase: Phase) -> np.ndarray:
        return counted_rows(request, phase, cut_lengths(request))

    def check_path(self, language: str, path: str) -> None:
        if "," in language or language != language.strip():
            raise BadInput(
                f"language {language!r}", where="export to llama_factory", expected="no comma and no space at its ends"
            )

    def simulate(self, request: ExportRequest) -> Simulation:
        length_L = cut_lengths(request)
        count_PL = [self._rows(request, phase) for phase in request.phases]
        tokens = tuple(
            by_language(request, fill(request, phase, count_L * length_L))
            for phase, count_L in zip(request.phases, count_PL, strict=True)
        )
        return Simulation(tokens, chance_remark(request, count_PL, again=True))

    def launches(self, directory: Path) -> list[Launch]:
        ends = bash_arrays(directory / "launch.sh")["LAST_STEPS"]
        overlays = [read_yaml_text(file) for file in numbered(directory, "mixture-", ".yaml")]
        return [Launch(int(end), overlay["max_steps"]) for end, overlay in zip(ends, overlays, strict=True)]

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        info = read_json(directory / "dataset_info.json")
        starts = [0, *(launch.last_step for launch in self.launches(directory))]
        parts = []
        for start, file in zip(starts, numbered(directory, "mixture-", ".yaml"), strict=False):
            entries = [info[name] for name in read_yaml_text(file)["dataset"].split(",")]
            counts = {record.language(entry["file_name"]): entry["num_samples"] for entry in entries}
            parts.append((start, record.mixture_of_documents(counts)))
        return schedule_of(parts, starts[-1])


def rows_at_once(request: ExportRequest) -> int:
    """Rows that are joined and cut together, so that the remainder of half a sequence is a small part of every one."""
    shortest = float(request.lengths().min())
    return max(USUAL_BATCH, math.ceil(request.sequence_length / 2 / (LOST * shortest)))


def cut_lengths(request: ExportRequest) -> np.ndarray:
    """Tokens of a row that are left when the remainder of each batch of rows is lost, in expectation, [L]."""
    return request.lengths() - request.sequence_length / 2 / rows_at_once(request)
