"""LLaMA-Factory: interleaved streams, one YAML per phase, and the data set list they name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from glotmix.errors import BadInput
from glotmix.exporters.exporter import Exporter, ExportRequest, Phase, Record, Simulation, by_language, schedule_of
from glotmix.exporters.gpt_neox import numbered
from glotmix.exporters.huggingface import replay_draws, rows_per_phase
from glotmix.exporters.phases import launch_by_file
from glotmix.exporters.quoting import number, read_yaml_text, yaml_text
from glotmix.mixture.schedule import Schedule


class LlamaFactory(Exporter):
    """``mix_strategy: interleave_over`` with ``interleave_probs``."""

    name = "llama_factory"
    title = "LLaMA-Factory"
    target_version = "llamafactory 0.9.5"
    unit = "rows"
    schedule_support = "phases"
    path_template = "{language}.jsonl"
    notes = (
        "Probabilities count rows, so token shares are divided by the measured tokens per document. "
        "interleave_over restarts exhausted languages and ends when all have been read once, then starts over "
        "with the same draws; max_steps ends the run. Streaming is on, since map-style interleaving builds the "
        "whole index first. An eval_dataset is mixed by the same probabilities and must have as many entries; use "
        "val_size instead. A stage of a schedule is a run of its own, with ignore_data_skip because its stream "
        "begins anew; each has its own seed."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        paths = self.paths(request)
        info = {name: {"file_name": path, "columns": {"prompt": "text"}} for name, path in paths.items()}
        files = {}
        for i, phase in enumerate(request.phases):
            used = [name for name in paths if phase.mixture[name] > 0]
            shares = by_language(request, request.documents(phase))
            overlay = {
                "dataset_dir": ".",
                "dataset": ",".join(used),
                "streaming": True,
                "cutoff_len": request.sequence_length,
                "packing": True,
                "max_steps": phase.first_step + phase.steps,
                "seed": request.seed + i,
            }
            if len(used) > 1:
                overlay |= {
                    "mix_strategy": "interleave_over",
                    "interleave_probs": ",".join(number(shares[name]) for name in used),
                }
            if i:
                overlay["ignore_data_skip"] = True
            comment = (
                "Merge into the training configuration; dataset_dir is the folder of dataset_info.json.\n"
                f"Batches of {request.batch} sequences over all devices."
            )
            files[f"mixture-{i}.yaml"] = yaml_text(overlay, comment)
        listing = json.dumps(info, indent=1, ensure_ascii=False) + "\n"
        return {**files, "dataset_info.json": listing, **launch_by_file(list(files))}

    def check_path(self, language: str, path: str) -> None:
        if "," in language or language != language.strip():
            raise BadInput(
                f"language {language!r}", where="export to llama_factory", expected="no comma and no space at its ends"
            )

    def simulate(self, request: ExportRequest) -> Simulation:
        tokens, remarks = [], []
        for i, (phase, rows) in enumerate(zip(request.phases, rows_per_phase(request), strict=True)):
            length = all_exhausted_rows(request, phase)
            once = min(rows, length)
            (count_L,) = replay_draws([request.documents(phase)], [once], request.seed + i)
            if rows > length:
                count_L = count_L * (rows / length)
                remarks.append(f"stage {i}: the stream starts over after {length} rows, {rows / length:.3g} times")
            tokens.append(by_language(request, count_L, request.lengths()))
        return Simulation(tuple(tokens), tuple(remarks))

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        parts, start = [], 0
        for file in numbered(directory, "mixture-", ".yaml"):
            overlay = read_yaml_text(file)
            names = overlay["dataset"].split(",")
            shares = [float(word) for word in str(overlay.get("interleave_probs", "1")).split(",")]
            parts.append((start, record.mixture_of_documents(dict(zip(names, shares, strict=True)))))
            start = overlay["max_steps"]
        return schedule_of(parts, start)


def all_exhausted_rows(request: ExportRequest, phase: Phase) -> int:
    """Rows after which every language has been read once, in expectation."""
    q_L = request.documents(phase)
    rows_L = np.array([request.unique[name] / request.tokens_per_document[name] for name in request.languages])
    return max(1, int((rows_L[q_L > 0] / q_L[q_L > 0]).max()))
