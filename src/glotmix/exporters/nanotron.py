"""nanotron: data stages in YAML, one more at each relaunch."""

from __future__ import annotations

import math
from pathlib import Path

from glotmix.exporters.blending import simulate_greedy
from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Phase, Record, Simulation, schedule_of
from glotmix.exporters.gpt_neox import numbered
from glotmix.exporters.phases import bash_arrays, launch_merged
from glotmix.exporters.quoting import read_yaml_text, shell, yaml_text
from glotmix.mixture.schedule import Schedule

REPEAT = """\
# nanotron stops with an IndexError where the text of a folder ends: links beside its files are the further passes.
for ((i = 0; i < ${#FOLDERS[@]}; i++)); do
  [ -d "${FOLDERS[$i]}" ] || {
    echo "${FOLDERS[$i]} is read ${PASSES[$i]} times and is no folder here: it needs as many copies of its files" >&2
    continue
  }
  for file in "${FOLDERS[$i]}"/*.ds; do
    case ${file##*/} in pass-*) continue ;; esac
    for ((pass = 2; pass <= ${PASSES[$i]}; pass++)); do
      for end in "" .index; do
        [ ! -e "$file$end" ] || ln -sfn "${file##*/}$end" "${file%/*}/pass-$(printf %04d $pass)-${file##*/}$end"
      done
    done
  done
done
"""


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
        "stage more than the one before; the tokens consumed in each folder carry over. A folder is not begun again "
        "where its text ends, so launch.sh lays links beside the files of a language that is repeated. Nanoset, the "
        "older loader, deals one pass over all folders, shuffles it and repeats it. lr_decay_steps is the whole run's "
        "less the warm-up, where train_steps alone would end the learning rate with each stage."
    )
    packing = "cut"
    flags = (
        *("tokens.train_steps={steps}", "tokens.sequence_length={sequence_length}", "general.seed={seed}"),
        *("model.model_config.hidden_size={width}", "model.model_config.num_hidden_layers={layers}"),
        *("model.model_config.num_attention_heads={heads}", "model.model_config.intermediate_size={feed_forward}"),
        *("model.model_config.tie_word_embeddings={true_if_tied}", "optimizer.clip_grad={clip}"),
        *("optimizer.learning_rate_scheduler.learning_rate={learning_rate}", "optimizer.weight_decay={weight_decay}"),
        *("optimizer.learning_rate_scheduler.lr_warmup_steps={warmup_steps}",),
        *("optimizer.learning_rate_scheduler.min_decay_lr={least_learning_rate}", "model.init_method.path={base}?base"),
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
                f"launch.sh merges this into your configuration; batches of {request.batch} sequences over all ranks.\n"
                f"By hand: set lr_decay_steps to {request.steps} less your lr_warmup_steps as well."
            )
            files[f"stages-{i}.yaml"] = yaml_text(overlay, comment)
        scheduler = "optimizer.learning_rate_scheduler"
        settings = {f"{scheduler}.lr_decay_steps?": f"{request.steps}-{scheduler}.lr_warmup_steps"}
        command = "torchrun ... run_train.py --config-file {}"
        return {**files, **launch_merged(list(files), command, settings=settings, before=self._repeated(request))}

    def _repeated(self, request: ExportRequest) -> str:
        """Lines of launch.sh that let languages be read more than once; empty where none is."""
        paths = self.paths(request)
        stages = self.simulate(request).tokens
        passes = {}
        for name, path in paths.items():
            # A sequence takes one token more than it trains on, and the end of each file is left over.
            tokens = sum(stage[name] for stage in stages) * (1 + 1 / request.sequence_length)
            passes[path] = math.floor(1.01 * tokens / request.unique[name]) + 1
        again = {path: count for path, count in passes.items() if count > 1}
        if not again:
            return ""
        counts = [str(count) for count in again.values()]
        return f"FOLDERS=({shell(list(again))})\nPASSES=({shell(counts)})\n{REPEAT}"

    def launches(self, directory: Path) -> list[Launch]:
        (setting,) = bash_arrays(directory / "launch.sh")["SETTINGS"]
        horizon = int(setting.split("=")[1].split("-")[0])
        overlays = [read_yaml_text(file) for file in numbered(directory, "stages-", ".yaml")]
        return [Launch(overlay["tokens"]["train_steps"], horizon) for overlay in overlays]

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
