"""ms-swift: counts of rows per language in the data sets' names, and one YAML per phase."""

from __future__ import annotations

from pathlib import Path

from glotmix.errors import BadInput
from glotmix.exporters.counted import chance_remark, counted_rows, fill
from glotmix.exporters.exporter import (
    Exporter,
    ExportRequest,
    Launch,
    Record,
    Simulation,
    by_language,
    schedule_of,
)
from glotmix.exporters.gpt_neox import numbered
from glotmix.exporters.phases import bash_arrays, launch_merged
from glotmix.exporters.quoting import read_yaml_text, yaml_text
from glotmix.mixture.schedule import Schedule

SWIFT_PT = '''\
"""Runs ``swift pt CONFIG.yaml`` in this process, where stop.py can end it: ms-swift's own command starts another.

    python swift_pt.py CONFIG.yaml

A stage after the first (ignore_data_skip) goes on from the latest checkpoint under output_dir, unless the configuration
has a resume_from_checkpoint: ms-swift looks for none itself.
"""

import json
import pathlib
import runpy
import sys

import yaml


def words(config):
    """A configuration as arguments, as ms-swift's command makes them; what is null is not given."""
    for key, value in config.items():
        if value is None:
            continue
        yield f"--{key}"
        if isinstance(value, list):
            yield from map(str, value)
        else:
            yield json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def latest(folder):
    """The checkpoint that was written last."""
    states = list(pathlib.Path(folder).glob("**/checkpoint-*/trainer_state.json"))
    if not states:
        sys.exit(f"{folder}: no checkpoint to go on from; set output_dir, or resume_from_checkpoint")
    return str(max(states, key=lambda state: state.stat().st_mtime).parent)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        config = yaml.safe_load(file)
    if config.get("ignore_data_skip") and "resume_from_checkpoint" not in config:
        config["resume_from_checkpoint"] = latest(config.get("output_dir", "output"))
    sys.argv[1:2] = words(config)
    runpy.run_module("swift.cli.pt", run_name="__main__", alter_sys=True)
'''


class MsSwift(Exporter):
    """``dataset: [path#rows, ...]``."""

    name = "ms_swift"
    title = "ms-swift"
    target_version = "ms-swift 4.0 to 4.6"
    unit = "rows"
    schedule_support = "phases"
    packing = "split"
    writes = "counts"
    from_document_lengths = "the numbers of rows"
    path_template = "data/{language}/train.jsonl"
    notes = (
        "path#rows says how many rows of each language to take, more than it has where it is to be repeated: whole "
        "passes and then a part without repetition. Rows follow from the measured tokens per document. "
        "interleave_prob is not used: it draws at random, and ends with the first exhausted language or repeats "
        "the small ones without end; a configuration's own is taken out, as is cached_dataset, and data are shuffled. "
        "truncation_strategy is split, because the "
        "usual delete throws long documents away, and packing fills the rows (for swift pt; other trainings know no "
        "split, so measure the documents they would lose), which asks for attn_impl flash_attn. swift_pt.py takes the "
        "configuration, because ms-swift's modules do not, and finds the checkpoint to go on from. max_steps is the "
        "whole run's, because the learning rate spans it: stop.py ends a stage, and the next has ignore_data_skip, "
        "because its data begin anew. One file per stage of a schedule."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        paths = self.paths(request)
        files = {}
        for i, phase in enumerate(request.phases):
            counts = zip(request.languages, counted_rows(request, phase).tolist(), strict=True)
            overlay = {
                "dataset": [f"{paths[name]}#{count}" for name, count in counts if count],
                "cached_dataset": None,
                "interleave_prob": None,
                "dataset_shuffle": True,
                "train_dataloader_shuffle": True,
                "split_dataset_ratio": 0,
                "streaming": False,
                "max_length": request.sequence_length,
                "truncation_strategy": "split",
                "packing": True,
                "max_steps": request.steps,
                "seed": request.seed + i,
                "data_seed": request.seed + i,
            }
            if i:
                overlay["ignore_data_skip"] = True
            comment = (
                "launch.sh merges this into your configuration.\n"
                f"Batches of {request.batch} sequences over all devices."
            )
            files[f"mixture-{i}.yaml"] = yaml_text(overlay, comment)
        ends = [phase.first_step + phase.steps for phase in request.phases]
        launch = launch_merged(list(files), "torchrun ... stop.py swift_pt {}", ends=ends)
        return {**files, "swift_pt.py": SWIFT_PT, **launch}

    def check_path(self, language: str, path: str) -> None:
        if "::" in path:
            raise BadInput(f"path of {language} {path!r} holds ::, at which ms-swift splits off the name of a hub")

    def simulate(self, request: ExportRequest) -> Simulation:
        count_PL = [counted_rows(request, phase) for phase in request.phases]
        tokens = tuple(
            by_language(request, fill(request, phase, count_L * request.lengths()))
            for phase, count_L in zip(request.phases, count_PL, strict=True)
        )
        return Simulation(tokens, chance_remark(request, count_PL))

    def launches(self, directory: Path) -> list[Launch]:
        ends = bash_arrays(directory / "launch.sh")["LAST_STEPS"]
        overlays = [read_yaml_text(file) for file in numbered(directory, "mixture-", ".yaml")]
        return [Launch(int(end), overlay["max_steps"]) for end, overlay in zip(ends, overlays, strict=True)]

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        starts = [0, *(launch.last_step for launch in self.launches(directory))]
        parts = []
        for start, file in zip(starts, numbered(directory, "mixture-", ".yaml"), strict=False):
            entries = [entry.rsplit("#", 1) for entry in read_yaml_text(file)["dataset"]]
            counts = {record.language(path): int(count) for path, count in entries}
            parts.append((start, record.mixture_of_documents(counts)))
        return schedule_of(parts, starts[-1])
