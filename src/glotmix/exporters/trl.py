"""TRL: fractions, which can only take away, of data sets that are named as often as they are to be read."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

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


class Trl(Exporter):
    """``datasets[].fraction`` of ``datasets[].split``."""

    name = "trl"
    title = "TRL"
    target_version = "trl 1.10 to 1.16"
    unit = "rows"
    schedule_support = "phases"
    path_template = "data/{language}"
    packing = "split"
    from_unique = "how often a data set is named"
    from_document_lengths = "the fractions"
    notes = (
        "Fractions are shares of rows, so token shares are divided by the measured tokens per document. Fractions "
        "only take away: the mixture is as large as the scarcest data set allows. So split names a data set as often "
        "as the stage reads it (train+train+train[:37%]), which makes the mixture as large as the stage, or up to "
        "some percent more; the first rows are kept, so shuffle the sources before. A configuration's own "
        "test_split_size, which holds out rows at random, is taken out. packing_strategy is bfd_split: "
        "the usual bfd cuts off what is beyond max_length. All data sets or none have a fraction, and streaming must "
        "be off. max_steps is the whole run's, because the learning rate spans it: stop.py ends a stage. One file "
        "per stage of a schedule."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        paths = self.paths(request)
        files = {}
        for i, phase in enumerate(request.phases):
            shares = by_language(request, request.documents(phase))
            overlay = {
                "datasets": [
                    {"path": paths[name], "split": split, "fraction": shares[name]}
                    for name, (split, _) in zip(request.languages, splits(request, phase), strict=True)
                    if shares[name] > 0
                ],
                "streaming": False,
                "test_split_size": None,
                "max_length": request.sequence_length,
                "packing": True,
                "packing_strategy": "bfd_split",
                "max_steps": request.steps,
                "seed": request.seed + i,
            }
            if i:
                overlay |= {"ignore_data_skip": True, "resume_from_checkpoint": True}
            comment = (
                "launch.sh merges this into your configuration.\n"
                f"Batches of {request.batch} sequences over all devices."
            )
            files[f"mixture-{i}.yaml"] = yaml_text(overlay, comment)
        command = "accelerate launch ... stop.py trl.scripts.sft --config {}"
        ends = [phase.first_step + phase.steps for phase in request.phases]
        return {**files, **launch_merged(list(files), command, ends=ends)}

    def simulate(self, request: ExportRequest) -> Simulation:
        tokens, remarks, kept_PL = [], [], []
        for i, phase in enumerate(request.phases):
            kept_L = kept_rows(request.documents(phase), np.array([rows for _, rows in splits(request, phase)]))
            kept_PL.append(kept_L)
            token_L = kept_L * request.lengths()
            tokens.append(by_language(request, fill(request, phase, token_L)))
            wanted = phase.steps * request.batch * request.sequence_length
            if token_L.sum() > 1.1 * wanted:
                remarks.append(
                    f"stage {i}: the mixture is {token_L.sum() / wanted:.3g} times what the stage reads of it"
                )
        return Simulation(tuple(tokens), (*remarks, *chance_remark(request, kept_PL)))

    def launches(self, directory: Path) -> list[Launch]:
        ends = bash_arrays(directory / "launch.sh")["LAST_STEPS"]
        overlays = [read_yaml_text(file) for file in numbered(directory, "mixture-", ".yaml")]
        return [Launch(int(end), overlay["max_steps"]) for end, overlay in zip(ends, overlays, strict=True)]

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        starts = [0, *(launch.last_step for launch in self.launches(directory))]
        parts = []
        for start, file in zip(starts, numbered(directory, "mixture-", ".yaml"), strict=False):
            overlay = read_yaml_text(file)
            shares = {record.language(entry["path"]): entry["fraction"] for entry in overlay["datasets"]}
            parts.append((start, record.mixture_of_documents(shares)))
        return schedule_of(parts, starts[-1])


def splits(request: ExportRequest, phase: Phase) -> list[tuple[str, int]]:
    """The split of each language, with at least the rows that the phase reads, and how many rows it names.

    A small part is a number of rows; a large part or more than all is a percentage, which fits the data also where
    their number of rows was only estimated: ``train[:1200]``, ``train[:87%]``, ``train+train+train[:37%]``.
    """
    # Rounded up: TRL makes the mixture as large as the scarcest data set allows, and where a language of 3.4 rows had
    # but 3 of them, all others would lose an eighth and be read again in part.
    row_L = request.documents(phase) * counted_rows(request, phase).sum()
    counts = np.where(row_L > 0, np.maximum(np.ceil(row_L - 1e-6), 1), 0).astype(int).tolist()
    return [_split(count, request.rows(name)) for name, count in zip(request.languages, counts, strict=True)]


def _split(count: int, rows: int) -> tuple[str, int]:
    if count <= rows / 2:
        return f"train[:{count}]", count
    whole, rest = divmod(count, rows)
    percent = math.ceil(100 * rest / rows)
    while round(percent * rows / 100) < rest:  # datasets rounds a percentage to the nearest row
        percent += 1
    parts = ["train"] * whole + ([f"train[:{percent}%]"] if percent else [])
    return "+".join(parts), whole * rows + round(percent * rows / 100)


def kept_rows(q_L: np.ndarray, rows_L: np.ndarray) -> np.ndarray:
    """Rows kept of each language: the largest mixture in which none is oversampled."""
    used = q_L > 0
    size = float((rows_L[used] / q_L[used]).min())
    return np.where(used, np.minimum(np.round(q_L * size), rows_L), 0).astype(np.int64)
