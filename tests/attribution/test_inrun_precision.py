"""In-run values of a training in bf16 are those of the same training in fp32."""

import numpy as np
from scipy import stats

from glotmix.proxy.train import train_stack
from tests.attribution.test_inrun import SHAPE, TRAINING, batch, in_run, runs


def test_the_values_of_both_precisions_are_the_same_within_a_tenth():
    found = {}
    for name in ("float32", "bfloat16"):
        observer = in_run(every=1)
        training = TRAINING.model_copy(update={"precision": name})
        train_stack(runs(), batch, SHAPE, training, on_batch=observer.on_batch)
        found[name] = np.stack([matrix.value_TL for matrix in observer.matrices()])
    off = np.abs(found["bfloat16"] - found["float32"]).max()
    assert off < 0.1 * np.abs(found["float32"]).max()  # with the training's own bf16 gradient: ten times and more
    assert stats.spearmanr(found["bfloat16"].ravel(), found["float32"].ravel()).statistic > 0.98
