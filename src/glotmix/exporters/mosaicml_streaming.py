"""MosaicML Streaming and LLM-Foundry: streams with proportions, one epoch per phase."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, by_language, schedule_of
from glotmix.exporters.gpt_neox import numbered
from glotmix.exporters.phases import launch_merged
from glotmix.exporters.quoting import read_yaml_text, yaml_text
from glotmix.mixture.schedule import Schedule


class MosaicMLStreaming(Exporter):
    """``streams`` with ``proportion`` and ``epoch_size``."""

    name = "mosaicml_streaming"
    title = "MosaicML Streaming / LLM-Foundry"
    target_version = "mosaicml-streaming 0.13"
    unit = "sequences"
    schedule_support = "phases"
    notes = (
        "Proportions count samples, so data must be MDS of fixed-length token sequences. epoch_size is the whole "
        "phase: without it an epoch keeps the size of the raw data, and resuming beyond the first epoch has an open "
        "bug. Counts are truncated and the shortfall goes to random streams. batching_method stratified keeps the "
        "mixture in every batch, and needs each language to have a sample in a batch; random, written here, keeps it "
        "over the epoch. shuffle is on, because without it streams follow one another. One overlay per stage of a "
        "schedule; t_max of the scheduler is the whole run's, so that the learning rate does not end with a stage "
        "(inv_sqrt_with_warmup has no such end: take t_max out for it)."
    )
    packing = "cut"

    def files(self, request: ExportRequest) -> dict[str, str]:
        paths = self.paths(request)
        files = {}
        for i, phase in enumerate(request.phases):
            streams = {
                name: {"local": path, "proportion": phase.mixture[name]}
                for name, path in paths.items()
                if phase.mixture[name] > 0
            }
            dataset = {
                "streams": streams,
                "epoch_size": phase.steps * request.batch,
                "batching_method": "random",
                "shuffle": True,
                "shuffle_seed": request.seed + i,
                "max_seq_len": request.sequence_length,
            }
            overlay = {
                "train_loader": {"name": "text", "dataset": dataset},
                "global_train_batch_size": request.batch,
                "max_duration": f"{phase.first_step + phase.steps}ba",
                "scheduler": {"t_max": f"{request.steps}ba"},
            }
            files[f"mixture-{i}.yaml"] = yaml_text(
                overlay, "launch.sh merges this into your LLM-Foundry configuration."
            )
        return {**files, **launch_merged(list(files), "composer scripts/train/train.py {}")}

    def launches(self, directory: Path) -> list[Launch]:
        overlays = [read_yaml_text(file) for file in numbered(directory, "mixture-", ".yaml")]
        return [Launch(batches(one["max_duration"]), batches(one["scheduler"]["t_max"])) for one in overlays]

    def simulate(self, request: ExportRequest) -> Simulation:
        tokens = []
        for i, phase in enumerate(request.phases):
            count_L = truncated_counts(request.vector(phase), phase.steps * request.batch, request.seed + i)
            tokens.append(by_language(request, count_L, request.sequence_length))
        return Simulation(tuple(tokens))

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        parts, start = [], 0
        for file in numbered(directory, "mixture-", ".yaml"):
            overlay = read_yaml_text(file)
            streams = overlay["train_loader"]["dataset"]["streams"]
            parts.append((start, record.mixture({name: stream["proportion"] for name, stream in streams.items()})))
            start = batches(overlay["max_duration"])
        return schedule_of(parts, start)


def batches(duration: str) -> int:
    """Steps of a duration such as ``100ba``."""
    return int(duration.removesuffix("ba"))


def truncated_counts(p_L: np.ndarray, total: int, seed: int) -> np.ndarray:
    """Counts after ``Stream.apply_weights``: truncated, the shortfall one each to streams drawn without replacement."""
    count_L = np.zeros(len(p_L), dtype=np.int64)
    used = np.flatnonzero(p_L)
    count = (p_L[used] / p_L[used].sum() * total).astype(np.int64)
    short = total - int(count.sum())
    count[np.random.default_rng(seed).choice(len(used), short, False)] += 1
    count_L[used] = count
    return count_L
