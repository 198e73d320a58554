"""torchtitan's own interleaved loader, built from the generated configuration, batch after batch."""

import json

from given import BATCH, FACTS, FOLDER, LANGUAGES, LENGTH, answer, counts, module
from marked import tokenizer
from torchtitan.components.tokenizer import HuggingFaceTokenizer

tokenizer(FOLDER / "tokenizer", len(LANGUAGES))
words = HuggingFaceTokenizer.Config().build(tokenizer_path=str(FOLDER / "tokenizer"))
mixture, steps = module(), []
mixture.load_json = json
for stage, (_, length) in enumerate(FACTS["phases"]):
    config = mixture.dataloader(stage)
    loader = config.build(dp_world_size=1, dp_rank=0, tokenizer=words, seq_len=LENGTH, local_batch_size=BATCH)
    ids = []
    for _, (inputs, _) in zip(range(length), loader, strict=False):
        ids += inputs["input"].flatten().tolist()
    steps.append({"stage": stage, "counts": counts(ids)})
answer(steps)
