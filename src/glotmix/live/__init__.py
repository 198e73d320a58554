"""Run any schedule inside your own PyTorch training: a sampler, a stream, loss weights and a Trainer callback."""

from glotmix.live.loss import LossWeighting, weighted_loss
from glotmix.live.sampler import GlotmixSampler
from glotmix.live.stream import GlotmixIterableDataset, TokenSequences

__all__ = ["GlotmixIterableDataset", "GlotmixSampler", "LossWeighting", "TokenSequences", "weighted_loss"]
