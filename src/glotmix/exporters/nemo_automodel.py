"""NeMo Automodel: a blend in YAML per phase, and the domains of its weighted objective beside it."""

from __future__ import annotations

from pathlib import Path

from glotmix.exporters.blending import (
    NO_SPLIT,
    blend_of,
    held_out,
    refuse_number,
    refuse_surplus,
    simulate_greedy,
)
from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, schedule_of
from glotmix.exporters.gpt_neox import numbered
from glotmix.exporters.phases import launch_merged
from glotmix.exporters.quoting import number, read_yaml_text, yaml_text
from glotmix.mixture.schedule import Schedule

SPLIT = "900,50,50"
"""What Automodel holds out."""
WARM_UP = 1000
"""Steps of its warm-up, or a tenth of the run's."""


class NemoAutomodel(Exporter):
    """``dataset.paths`` and ``domain_mixture``."""

    name = "nemo_automodel"
    title = "NeMo Automodel"
    target_version = "nemo-automodel 0.7"
    unit = "sequences"
    schedule_support = "phases"
    packing = "cut"
    from_unique = "what is held out"
    from_document_lengths = "what is held out"
    path_template = "data/{language}_text_document"
    notes = (
        "Weights and prefixes alternate in dataset.paths and are dealt by Megatron's greatest-deficit rule; a stage "
        "of a schedule is a run of its own that loads the last checkpoint and goes on in its own blend at the "
        "samples consumed so far. lr_decay_steps and, unless you set it, lr_warmup_steps are the whole run's, so "
        "that the learning rate does not end with a stage. domains-N.yaml holds the same languages as "
        "domain_mixture, for losses by language: merge it by hand, because it wants a loss that is summed and takes "
        "weights, a validation set for every language, and no pipeline or context parallelism. Many languages in a "
        "short stage are refused, because Automodel cannot be told to build more samples than it does."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        samples = [(phase.first_step + phase.steps) * request.batch for phase in request.phases]
        refuse_surplus(request, samples, self.name)
        paths = self.paths(request)
        overlays, domains = {}, {}
        for i, phase in enumerate(request.phases):
            used = {name: phase.mixture[name] for name in paths if phase.mixture[name] > 0}
            overlay = {
                "dataset": {
                    "_target_": "nemo_automodel.components.datasets.llm.megatron_dataset.MegatronPretraining",
                    "paths": [word for name, weight in used.items() for word in (number(weight), paths[name])],
                    "seq_length": request.sequence_length,
                    "seed": request.seed,
                    "split": held_out(request, SPLIT)[0],
                    "splits_to_build": "train",
                },
                "step_scheduler": {"global_batch_size": request.batch, "max_steps": phase.first_step + phase.steps},
                "lr_scheduler": {"lr_decay_steps": request.steps},
            }
            overlays[f"mixture-{i}.yaml"] = yaml_text(overlay, "launch.sh merges this into your configuration.")
            if len(used) > 1:
                rows = [
                    {"name": name, "sampling_weight": weight, "objective_weight": weight, "path": paths[name]}
                    for name, weight in used.items()
                ]
                comment = "For losses by language; see notes. An objective_weight may differ from the sampling_weight."
                domains[f"domains-{i}.yaml"] = yaml_text({"domain_mixture": {"domains": rows}}, comment)
        settings = {"lr_scheduler.lr_warmup_steps?": str(min(WARM_UP, request.steps // 10))}
        launch = launch_merged(list(overlays), "automodel --nproc-per-node 8 {}", settings=settings)
        return {**overlays, **domains, **launch}

    def simulate(self, request: ExportRequest) -> Simulation:
        split, why = held_out(request, SPLIT)
        remark = f"{why} in validation_dataset" if why and split == NO_SPLIT else why
        return simulate_greedy(request, from_zero=False, remarks=(remark,) if remark else ())

    def launches(self, directory: Path) -> list[Launch]:
        overlays = [read_yaml_text(file) for file in numbered(directory, "mixture-", ".yaml")]
        return [Launch(one["step_scheduler"]["max_steps"], one["lr_scheduler"]["lr_decay_steps"]) for one in overlays]

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        parts, start = [], 0
        for file in numbered(directory, "mixture-", ".yaml"):
            overlay = read_yaml_text(file)
            weights = blend_of(overlay["dataset"]["paths"])
            parts.append((start, record.mixture({record.language(path): w for path, w in weights.items()})))
            start = overlay["step_scheduler"]["max_steps"]
        return schedule_of(parts, start)

    def check_path(self, language: str, path: str) -> None:
        refuse_number(language, path)
