"""LitData's optimised token chunks, streamed by the combined data set of the module through its own loader."""

from pathlib import Path

import numpy as np
import torch
from given import BATCH, FACTS, LENGTH, answer, documents, module
from litdata import StreamingDataLoader, TokensLoader
from litdata.streaming.cache import Cache
from marked import FIRST_ID

for _, i, sizes, path in documents():
    Path(path).mkdir(parents=True, exist_ok=True)
    # As large as LitGPT makes them: of every chunk, what is left of the last block is never read.
    cache = Cache(path, chunk_size=(LENGTH + 1) * 8021, item_loader=TokensLoader(block_size=LENGTH + 1))
    for k, size in enumerate(sizes):
        tokens = torch.full((size,), i + FIRST_ID, dtype=torch.int32)
        tokens[-1] = 1
        cache[k] = tokens
    cache.done()
    cache.merge()

mixture, steps = module(), []
for stage, (_, length) in enumerate(FACTS["phases"]):
    combined, left, found = mixture.dataset(stage), length * BATCH, np.zeros(1000, dtype=int)
    loader = StreamingDataLoader(combined, batch_size=BATCH, num_workers=0, drop_last=True)
    while left > 0:
        for batch in loader:
            found += np.bincount(np.asarray(batch)[:, :LENGTH].ravel(), minlength=1000)
            left -= len(batch)
            if left <= 0:
                break
    steps.append({"stage": stage, "counts": found[: FIRST_ID + len(FACTS["languages"])].tolist()})
answer(steps)
