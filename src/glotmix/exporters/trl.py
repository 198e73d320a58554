"""TRL: a mixture of fractions of data sets, which can only take away."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glotmix.exporters.exporter import Exporter, ExportRequest, Record, Simulation, by_language, schedule_of
from glotmix.exporters.gpt_neox import numbered
from glotmix.exporters.phases import launch_by_file
from glotmix.exporters.quoting import read_yaml_text, yaml_text
from glotmix.mixture.schedule import Schedule


class Trl(Exporter):
    """``datasets[].fraction``."""

    name = "trl"
    title = "TRL"
    target_version = "trl 1.10 to 1.16"
    unit = "rows"
    schedule_support = "phases"
    path_template = "data/{language}"
    notes = (
        "Fractions are shares of rows, so token shares are divided by the measured tokens per document. Nothing "
        "is oversampled: the mixture is as large as the scarcest language allows, its first rows are kept "
        "(shuffle the sources before), and a longer run repeats that mixture as a whole. How much of the data is "
        "used stands in the remarks; where it is little, write a pre-mixed data set (exporter axolotl) instead. "
        "All data sets or none have a fraction, and streaming must be off. One file per stage of a schedule."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        paths = self.paths(request)
        files = {}
        for i, phase in enumerate(request.phases):
            shares = by_language(request, request.documents(phase))
            overlay = {
                "datasets": [
                    {"path": path, "split": "train", "fraction": shares[name]}
                    for name, path in paths.items()
                    if shares[name] > 0
                ],
                "streaming": False,
                "max_length": request.sequence_length,
                "packing": True,
                "max_steps": phase.first_step + phase.steps,
                "seed": request.seed + i,
            }
            if i:
                overlay["ignore_data_skip"] = True
            comment = f"Merge into the training configuration; batches of {request.batch} sequences over all devices."
            files[f"mixture-{i}.yaml"] = yaml_text(overlay, comment)
        return {**files, **launch_by_file(list(files))}

    def simulate(self, request: ExportRequest) -> Simulation:
        rows_L = np.array([int(request.unique[n] / request.tokens_per_document[n]) for n in request.languages])
        tokens, remarks = [], []
        for i, phase in enumerate(request.phases):
            q_L = request.documents(phase)
            kept_L = kept_rows(q_L, rows_L)
            kept = float(kept_L @ request.lengths())
            wanted = phase.steps * request.batch * request.sequence_length
            tokens.append(by_language(request, kept_L, request.lengths() * (wanted / kept) if kept else 0.0))
            used = kept_L.sum() / rows_L[q_L > 0].sum()
            remarks.append(f"stage {i}: {100 * used:.3g} % of the rows are used, {wanted / max(kept, 1):.3g} times")
        return Simulation(tuple(tokens), tuple(remarks))

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        parts, start = [], 0
        for file in numbered(directory, "mixture-", ".yaml"):
            overlay = read_yaml_text(file)
            shares = {record.language(entry["path"]): entry["fraction"] for entry in overlay["datasets"]}
            parts.append((start, record.mixture_of_documents(shares)))
            start = overlay["max_steps"]
        return schedule_of(parts, start)


def kept_rows(q_L: np.ndarray, rows_L: np.ndarray) -> np.ndarray:
    """Rows kept of each language: the largest mixture in which none is oversampled."""
    used = q_L > 0
    size = float((rows_L[used] / q_L[used]).min())
    return np.where(used, np.minimum(np.round(q_L * size), rows_L), 0).astype(np.int64)
