"""open-instruct: counts of conversations per data set, in one run."""

from __future__ import annotations

from pathlib import Path

from glotmix.errors import BadInput
from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, by_language
from glotmix.exporters.quoting import read_yaml_text, yaml_text
from glotmix.exporters.sft import conversations, steps_of_conversations, truncation_remark
from glotmix.mixture.schedule import Schedule


class OpenInstruct(Exporter):
    """``dataset_mixer_list``."""

    name = "open_instruct"
    title = "open-instruct"
    target_version = "open-instruct of August 2026 (commit e6c3044)"
    unit = "documents"
    schedule_support = "constant"
    packing = "truncated"
    writes = "counts"
    from_document_lengths = "the numbers of conversations"
    path_template = "data/{language}.jsonl"
    notes = (
        "dataset_mixer_list alternates data sets and amounts; an amount without a point is a number of "
        "conversations, more than there are where a language is to be repeated: whole passes and then a part without "
        "repetition. A step reads a batch of conversations, whatever their length, so the run has other steps than "
        "tokens would say. What is beyond max_seq_length is cut off each conversation. The whole data set is "
        "shuffled and the learning rate ends with max_train_steps: one mixture per run, so a schedule is refused."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        if len(request.phases) > 1:
            raise BadInput(
                f"a schedule of {len(request.phases)} stages, and open-instruct trains on one mixture",
                where="export to open_instruct",
                expected="one mixture, or an exporter that can change it (trl, axolotl, tinker_cookbook)",
            )
        paths = self.paths(request)
        (count_L,) = conversations(request)
        mixer: list[str] = []
        for name, count in zip(request.languages, count_L.tolist(), strict=True):
            mixer += [paths[name], str(count)]
        overlay = {
            "dataset_mixer_list": mixer,
            "dataset_mixer_list_splits": ["train"],
            "max_seq_length": request.sequence_length,
            "max_train_steps": steps_of_conversations(request)[-1],
            "seed": request.seed,
        }
        comment = (
            f"Merge into the configuration of finetune.py; {request.batch} conversations per step over all devices."
        )
        return {"mixture.yaml": yaml_text(overlay, comment)}

    def simulate(self, request: ExportRequest) -> Simulation:
        tokens = tuple(by_language(request, count_L, request.kept_lengths()) for count_L in conversations(request))
        return Simulation(tokens, truncation_remark(request))

    def launches(self, directory: Path) -> list[Launch]:
        steps = read_yaml_text(directory / "mixture.yaml")["max_train_steps"]
        return [Launch(steps, steps)]

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        mixer = read_yaml_text(directory / "mixture.yaml")["dataset_mixer_list"]
        counts = {record.language(path): int(count) for path, count in zip(mixer[::2], mixer[1::2], strict=True)}
        return Schedule.constant(record.mixture_of_documents(counts))
