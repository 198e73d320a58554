"""tinker-cookbook: a Python module that builds a supervised data set in the order of the schedule."""

from __future__ import annotations

from pathlib import Path

from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, by_language, schedule_of
from glotmix.exporters.quoting import python_text, read_constants
from glotmix.exporters.sft import conversations, steps_of_conversations, truncation_remark
from glotmix.mixture.schedule import Schedule

CODE = '''
def load(path):
    """The conversations of one language, rows with "messages"; change this to suit your data."""
    from datasets import load_dataset

    rows = load_dataset("json", data_files=path, split="train")
    if not len(rows):
        raise ValueError(f"{path}: no rows")
    return rows


def order():
    """Language and row of every conversation of the run, in training order."""
    import random

    generator, languages, seen = random.Random(SEED), list(SOURCES), dict.fromkeys(SOURCES, 0)
    for counts in STAGES:
        names = [name for name in languages for _ in range(counts.get(name, 0))]
        generator.shuffle(names)
        for name in names:
            yield name, seen[name]
            seen[name] += 1


def rows(load=load):
    """The data set of the whole run: a language goes on where it stopped, and starts over, shuffled, when exhausted."""
    import random

    from datasets import concatenate_datasets

    parts = {name: load(path) for name, path in SOURCES.items()}
    starts, start = {}, 0
    for name, part in parts.items():
        starts[name] = start
        start += len(part)
    passes, indices = {}, []
    for name, number in order():
        turn, place = divmod(number, len(parts[name]))
        if (name, turn) not in passes:
            every = range(len(parts[name]))
            passes[name, turn] = random.Random(f"{SEED} {name} {turn}").sample(every, len(every))
        indices.append(starts[name] + passes[name, turn][place])
    return concatenate_datasets(list(parts.values())).select(indices)


def builder(common_config):
    """A dataset builder for tinker_cookbook.supervised.train.Config: num_epochs 1, and batch_size BATCH_SIZE.

    common_config is a ChatDatasetBuilderCommonConfig; its max_length should be MAX_LENGTH.
    """
    import chz
    from tinker_cookbook.renderers import TrainOnWhat
    from tinker_cookbook.supervised.data import SupervisedDatasetFromHFDataset, conversation_to_datum
    from tinker_cookbook.supervised.types import ChatDatasetBuilder

    class Ordered(SupervisedDatasetFromHFDataset):
        """Keeps the order of the schedule, which the cookbook would shuffle at the start of the epoch."""

        def set_epoch(self, seed=0):
            pass

    @chz.chz
    class Builder(ChatDatasetBuilder):
        def __call__(self):
            common = self.common_config
            on = common.train_on_what or TrainOnWhat.ALL_ASSISTANT_MESSAGES

            def datum(row):
                return conversation_to_datum(row["messages"], self.renderer, common.max_length, TrainOnWhat(on))

            return Ordered(rows(), batch_size=common.batch_size, map_fn=datum), None

    return Builder(common_config=common_config)
'''


class TinkerCookbook(Exporter):
    """A ``ChatDatasetBuilder``."""

    name = "tinker_cookbook"
    title = "tinker-cookbook"
    target_version = "tinker-cookbook 0.6"
    unit = "documents"
    schedule_support = "native"
    packing = "truncated"
    writes = "counts"
    from_document_lengths = "the numbers of conversations"
    path_template = "data/{language}.jsonl"
    notes = (
        "The cookbook trains on one data set, in batches of conversations: mixture.py builds it in the order of the "
        "schedule and keeps the cookbook from shuffling it, so that one run follows any schedule and its learning "
        "rate is the run's. What is beyond max_length is cut off a conversation, which the counts make up for where "
        "the lengths were measured. By default the cookbook gives every conversation the same weight in the loss "
        "whatever its length (reduction mean): then shares of conversations, and not of tokens, are what the "
        "gradient sees."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        stages = [
            {name: count for name, count in zip(request.languages, count_L.tolist(), strict=True) if count}
            for count_L in conversations(request)
        ]
        constants = {
            "BATCH_SIZE": ("Conversations per step.", request.batch),
            "MAX_LENGTH": ("Tokens at which a conversation is cut off.", request.sequence_length),
            "SEED": ("Of the order.", request.seed),
            "SOURCES": ("Language and its data.", self.paths(request)),
            "STAGES": ("Conversations of each language, stage by stage.", stages),
            "LAST_STEPS": ("Steps done after each stage.", steps_of_conversations(request)),
        }
        return {"mixture.py": python_text(self.title, constants, CODE)}

    def simulate(self, request: ExportRequest) -> Simulation:
        tokens = tuple(by_language(request, count_L, request.kept_lengths()) for count_L in conversations(request))
        return Simulation(tokens, truncation_remark(request))

    def launches(self, directory: Path) -> list[Launch]:
        steps = read_constants(directory / "mixture.py")["LAST_STEPS"][-1]
        return [Launch(steps, steps)]

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        stages = read_constants(directory / "mixture.py")["STAGES"]
        tokens = [sum(count * record.tokens_per_document[name] for name, count in stage.items()) for stage in stages]
        starts = [sum(tokens[:i]) for i in range(len(tokens))]
        mixtures = [record.mixture_of_documents(stage) for stage in stages]
        return schedule_of(zip(starts, mixtures, strict=True), sum(tokens))
