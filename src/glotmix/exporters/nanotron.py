"""nanotron: data stages in YAML, one more at each relaunch."""

from __future__ import annotations

from pathlib import Path

from glotmix.exporters.exporter import Exporter, ExportRequest, Phase, Record, Simulation, schedule_of
from glotmix.exporters.gpt_neox import numbered
from glotmix.exporters.megatron_lm import simulate_greedy
from glotmix.exporters.phases import launch_by_file
from glotmix.exporters.quoting import read_yaml_text, yaml_text
from glotmix.mixture.schedule import Schedule


class Nanotron(Exporter):
    """``data_stages`` with ``dataset_folder`` and ``dataset_weights``."""

    name = "nanotron"
    title = "nanotron"
    target_version = "nanotron after 0.4 (commit 2411b02)"
    unit = "sequences"
    schedule_support = "phases"
    path_template = "tokenized/{language}"
    notes = (
        "Folders and weights are two lists of one length (the guide's mapping of path to weight is older). "
        "Weights count sequences and are dealt by the greatest-deficit rule. run_train.py assumes that it trains "
        "on the last stage and fails when a stage is missing from the checkpoint, so each launch's file holds one "
        "stage more than the one before; the tokens consumed in each folder carry over. Nanoset, the older "
        "loader, deals one pass over all folders, shuffles it and repeats it."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        files = {}
        stages = []
        for i, phase in enumerate(request.phases):
            stages.append(self._stage(request, i, phase))
            overlay = {
                "tokens": {"sequence_length": request.sequence_length, "train_steps": phase.first_step + phase.steps},
                "data_stages": list(stages),
            }
            comment = (
                f"Merge into the configuration of launch {i}; batches of {request.batch} sequences over all ranks."
            )
            files[f"stages-{i}.yaml"] = yaml_text(overlay, comment)
        return {**files, **launch_by_file(list(files))}

    def _stage(self, request: ExportRequest, i: int, phase: Phase) -> dict[str, object]:
        used = {name: path for name, path in self.paths(request).items() if phase.mixture[name] > 0}
        dataset = {
            "dataset_folder": list(used.values()),
            "dataset_weights": [phase.mixture[name] for name in used],
        }
        data = {"dataset": dataset, "num_loading_workers": 1, "seed": request.seed}
        return {"name": f"stage {i}", "start_training_step": phase.first_step + 1, "data": data}

    def simulate(self, request: ExportRequest) -> Simulation:
        return simulate_greedy(request, from_zero=True)

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        last = read_yaml_text(numbered(directory, "stages-", ".yaml")[-1])
        parts = []
        for stage in last["data_stages"]:
            dataset = stage["data"]["dataset"]
            weights = zip(dataset["dataset_folder"], dataset["dataset_weights"], strict=True)
            mixture = record.mixture({record.language(folder): weight for folder, weight in weights})
            parts.append((stage["start_training_step"] - 1, mixture))
        return schedule_of(parts, last["tokens"]["train_steps"])
