"""GPT-NeoX: a YAML overlay per phase with explicit weights."""

from __future__ import annotations

from pathlib import Path

from glotmix.errors import BadInput
from glotmix.exporters.blending import simulate_greedy
from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, schedule_of
from glotmix.exporters.phases import launch_by_file
from glotmix.exporters.quoting import read_yaml_text, yaml_text
from glotmix.mixture.schedule import Schedule

MOST_DATASETS = 254
"""GPT-NeoX keeps the number of a data set in one byte and asserts fewer than 255."""


class GptNeox(Exporter):
    """``train-data-paths`` and ``train-data-weights``."""

    name = "gpt_neox"
    title = "GPT-NeoX"
    target_version = "GPT-NeoX of May 2026 (commit ea7aefd)"
    unit = "sequences"
    schedule_support = "phases"
    path_template = "data/{language}_text_document"
    notes = (
        "Weights count samples of the sequence length, dealt by the greatest-deficit rule. "
        "weight_by_num_documents is written as false, because true overrides the weights with a formula that is "
        "no temperature sampling. Fewer than 255 languages. A schedule is one overlay per stage with its own "
        "train_iters, started from the last checkpoint; a stage goes on in its own blend at the samples consumed "
        "so far. lr_decay_iters is the whole run's, so that the learning rate does not end with a stage. "
        "valid-data-paths and test-data- paths are left to your own configuration, which must then name them; a key of "
        "the overlay may stand in no other configuration file."
    )
    packing = "cut"
    flags = (
        *("num_layers={layers}", "hidden_size={width}", "num_attention_heads={heads}", "seed={seed}"),
        *("intermediate_size={feed_forward}", "seq_length={sequence_length}", "train_batch_size={batch}"),
        *("max_position_embeddings={sequence_length}", "optimizer.params.lr={learning_rate}"),
        *("min_lr={least_learning_rate}", "warmup={warmup}", "weight_decay={weight_decay}"),
        *("gradient_clipping={clip}", "no_weight_tying={true_if_untied}", "load={base}?base", "finetune=true?base"),
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        if len(request.languages) > MOST_DATASETS:
            raise BadInput(
                f"{len(request.languages)} languages with a share",
                where="export to gpt_neox",
                expected=f"at most {MOST_DATASETS}",
            )
        paths = self.paths(request)
        files = {}
        for i, phase in enumerate(request.phases):
            used = [name for name in paths if phase.mixture[name] > 0]
            overlay = {
                "train-data-paths": [paths[name] for name in used],
                "train-data-weights": [phase.mixture[name] for name in used],
                "weight_by_num_documents": False,
                "seq_length": request.sequence_length,
                "train_batch_size": request.batch,
                "train_iters": phase.first_step + phase.steps,
                "lr_decay_iters": request.steps,
                "seed": request.seed,
            }
            files[f"mixture-{i}.yml"] = yaml_text(overlay, "Add as the last configuration file of deepy.py.")
        return {**files, **launch_by_file(list(files))}

    def simulate(self, request: ExportRequest) -> Simulation:
        return simulate_greedy(request, from_zero=False)

    def launches(self, directory: Path) -> list[Launch]:
        overlays = [read_yaml_text(file) for file in numbered(directory, "mixture-", ".yml")]
        return [Launch(overlay["train_iters"], overlay["lr_decay_iters"]) for overlay in overlays]

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        parts, start = [], 0
        for file in numbered(directory, "mixture-", ".yml"):
            overlay = read_yaml_text(file)
            weights = zip(overlay["train-data-paths"], overlay["train-data-weights"], strict=True)
            parts.append((start, record.mixture({record.language(path): weight for path, weight in weights})))
            start = overlay["train_iters"]
        return schedule_of(parts, start)


def numbered(directory: Path, before: str, after: str) -> list[Path]:
    """The files ``before0after, before1after, ...`` of an export."""
    files: list[Path] = []
    while (file := directory / f"{before}{len(files)}{after}").is_file():
        files.append(file)
    if not files:
        raise BadInput(f"no {before}0{after}", where=directory, expected="a folder that was exported to")
    return files
