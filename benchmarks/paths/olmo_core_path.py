"""OLMo-core's source mixture, data set and loader, and its learning rate, from the generated module."""

from pathlib import Path

import numpy as np
from given import FACTS, FOLDER, LANGUAGES, AtStep, answer, documents, module, rates
from marked import FIRST_ID
from olmo_core.data import NumpyDataLoaderConfig, TokenizerConfig
from olmo_core.utils import setup_logging

setup_logging()
for _, i, sizes, path in documents():
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    tokens = np.full(sum(sizes), i + FIRST_ID, dtype=np.uint16)
    tokens[np.cumsum(sizes) - 1] = 1
    tokens.tofile(path)

mixture, steps = module(), []
# The size of the vocabulary decides how many bytes of a file are a token.
words = TokenizerConfig(vocab_size=1000, eos_token_id=1, pad_token_id=0)
for stage, (_, length) in enumerate(FACTS["phases"]):
    dataset = mixture.dataset(words, stage, work_dir=str(FOLDER / "work")).build()
    loader = NumpyDataLoaderConfig(global_batch_size=mixture.GLOBAL_BATCH_SIZE, seed=mixture.SEED + stage).build(
        dataset
    )
    loader.reshuffle(epoch=1)
    found, batches = np.zeros(FIRST_ID + len(LANGUAGES), dtype=int), 0
    for batch in loader:
        found += np.bincount(batch["input_ids"].numpy().ravel(), minlength=len(found))
        batches += 1
        if batches == length:
            break
    assert batches == length, f"stage {stage} ended after {batches} of {length} steps"
    steps.append({"stage": stage, "counts": found.tolist()})


def scheduler(stage):
    """scheduler() of the module; the single run's is the trainer's own, which ends with max_duration."""
    from olmo_core.optim import CosWithWarmup

    options = {"warmup": 10, "alpha_f": 0.0}
    if stage is None:
        return AtStep(lambda step: CosWithWarmup(**options).get_lr(1e-3, step, FACTS["steps"]))
    return AtStep(lambda step: mixture.scheduler(**options).get_lr(1e-3, step, mixture.LAST_STEPS[stage]))


answer(steps, learning_rates=rates(scheduler, AtStep.rate, AtStep.advance))
