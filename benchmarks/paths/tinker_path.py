"""tinker-cookbook's own training of the data set from the generated builder; what each step sends to the service.

Tinker's machines are stood in for: they are sent each batch of datums and the learning rate of the step.
"""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

from given import FACTS, FOLDER, LANGUAGES, LENGTH, answer, documents, module
from marked import FIRST_ID, tokenizer
from tinker import TensorData
from tinker_cookbook.renderers import get_renderer
from tinker_cookbook.supervised import train
from tinker_cookbook.supervised.types import ChatDatasetBuilderCommonConfig
from tinker_cookbook.utils.lr_scheduling import compute_schedule_lr_multiplier
from transformers import AutoTokenizer

tokenizer(FOLDER / "model", len(LANGUAGES))
renderer = get_renderer("role_colon", AutoTokenizer.from_pretrained(FOLDER / "model"))


def conversation(language, words):
    text = " ".join([f"w{language}"] * words)
    return [{"role": "user", "content": f"w{language}"}, {"role": "assistant", "content": text}]


around = renderer.build_supervised_example(conversation(0, 1))[0].length - 1
for _, i, sizes, path in documents():
    rows = [json.dumps({"messages": conversation(i, max(1, size - around))}) for size in sizes]
    Path(path).write_text("\n".join(rows) + "\n")

mixture = module()
common = ChatDatasetBuilderCommonConfig(
    model_name_for_tokenizer=str(FOLDER / "model"), renderer_name="role_colon", max_length=LENGTH,
    batch_size=mixture.BATCH_SIZE,
)  # fmt: skip
steps = [{"stage": stage, "counts": [0] * (FIRST_ID + len(LANGUAGES))} for stage in range(len(FACTS["phases"]))]
rates = []


class Service:
    """Stands in for Tinker's: counts what a step is trained on, keeps its rate, and answers with zeros."""

    def __init__(self, **settings):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        pass

    async def create_lora_training_client(self, **settings):
        return self

    def forward_backward(self, data, loss_fn):
        stage = next(i for i, last in enumerate(mixture.LAST_STEPS) if len(rates) < last)
        for datum in data:
            ids = datum.model_input.to_ints()
            steps[stage]["counts"][max(ids)] += len(ids) + 1  # the last one is a target only
        return self.answered(loss_fn_outputs=[{"logprobs": nothing(datum)} for datum in data])

    def optim_step(self, adam):
        rates.append(adam.learning_rate)
        return self.answered(metrics={})

    async def answered(self, **fields):
        return SimpleNamespace(**fields)


def nothing(datum):
    """A zero per target."""
    count = len(datum.loss_fn_inputs["weights"].data)
    return TensorData(data=[0.0] * count, dtype="float32", shape=[count])


async def saved(self, loop_state):
    """There are no weights."""


train.tinker.ServiceClient, train.fetch_model_pricing = Service, lambda name: None
train.checkpoint_utils.CheckpointManager.save_final_async = saved
config = train.Config(
    log_path=str(FOLDER / "run"), model_name=str(FOLDER / "model"), recipe_name="mixture", learning_rate=1e-3,
    dataset_builder=mixture.builder(common), lr_schedule="cosine", num_epochs=1, save_every=0,
)  # fmt: skip
asyncio.run(train.main(config))
last = mixture.LAST_STEPS[-1]
assert len(rates) == last
single = [1e-3 * compute_schedule_lr_multiplier("cosine", step, last) for step in range(last)]
answer(steps, ends=False, learning_rates={"stages": rates, "single": single})
