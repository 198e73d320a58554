"""torchtitan's own interleaved loader and learning rate, built from the generated configuration, batch after batch."""

import sys
from pathlib import Path

import torch
from given import BATCH, FACTS, FOLDER, LANGUAGES, LENGTH, answer, counts, module, rates
from marked import tokenizer

sys.path.insert(0, str(Path(sys.prefix) / "torchtitan"))  # the checkout of the main branch, where there is one
from torchtitan.components.optimizer.lr_scheduler import LRSchedulersContainer
from torchtitan.components.tokenizer import HuggingFaceTokenizer

# A document loses its last token, which stands among the labels alone, and has a first one from most tokenizers.
main = FACTS["exporter"] == "torchtitan"
tokenizer(FOLDER / "tokenizer", len(LANGUAGES), **({"bos_token": "[EOS]"} if main else {}))
words = HuggingFaceTokenizer.Config().build(tokenizer_path=str(FOLDER / "tokenizer"))


def loader(stage):
    """The loader of a stage: the main branch's over Grain, or the released one."""
    if main:
        from torchtitan.components.data import GrainDataLoader

        config = GrainDataLoader.Config(dataset=mixture.dataset(stage), seed=mixture.SEED + stage, repeat=True)
        size = {"max_context_length": LENGTH, "num_tokens_per_batch": BATCH * LENGTH}
    else:
        config = mixture.dataloader(stage)
        size = {"seq_len": LENGTH, "local_batch_size": BATCH}
    return config.build(dp_world_size=1, dp_rank=0, tokenizer=words, **size)


mixture, steps = module(), []
for stage, (_, length) in enumerate(FACTS["phases"]):
    ids = []
    for _, (inputs, _) in zip(range(length), loader(stage), strict=False):
        ids += inputs["input"].flatten().tolist()
    steps.append({"stage": stage, "counts": counts(ids)})


def scheduler(stage):
    """lr_scheduler.total_steps as launch.sh says it, beside training.steps of the stage; the single run has neither."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    total = None if stage is None else mixture.TRAINING_STEPS
    config = LRSchedulersContainer.Config(warmup_steps=0, total_steps=total, decay_type="cosine")
    last = FACTS["steps"] if stage is None else mixture.LAST_STEPS[stage]
    return config.build(optimizers=[optimizer], training_steps=last)


answer(
    steps,
    ends=main,
    learning_rates=rates(scheduler, lambda one: one.schedulers[0].get_last_lr()[0], lambda one: one.step()),
)
