"""The rows of the generated module, tokenised, joined and cut into sequences by a plain loop; transformers' rate."""

import torch
from datasets import load_dataset
from given import FACTS, FOLDER, LANGUAGES, answer, module, rates_of_one_launch
from marked import FIRST_ID
from transformers import Trainer, TrainingArguments


def load(path):
    return load_dataset(path, split="train", streaming=True)


mixture, steps = module(), []
rows = mixture.rows(load)
for stage, number in enumerate(mixture.ROWS):
    found = [0] * (FIRST_ID + len(LANGUAGES))
    for _ in range(number):
        words = next(rows)["text"].split(" ")
        found[int(words[0][1:]) + FIRST_ID] += len(words)
    steps.append({"stage": stage, "counts": found})
assert len(steps) == len(FACTS["phases"])


def scheduler(stage):
    """transformers' own for MAX_STEPS, which a stream without a length asks for, or for a single run's steps."""
    horizon = FACTS["steps"] if stage is None else mixture.MAX_STEPS
    settings = TrainingArguments(
        output_dir=str(FOLDER / "run"), max_steps=horizon, learning_rate=1e-3, lr_scheduler_type="cosine",
        warmup_steps=10, use_cpu=True, report_to="none",
    )  # fmt: skip
    trainer = Trainer(torch.nn.Linear(1, 1), settings)
    trainer.create_optimizer_and_scheduler(num_training_steps=settings.max_steps)
    return trainer.lr_scheduler


answer(steps, learning_rates=rates_of_one_launch(scheduler))
