"""How a classifier is tuned: what a study file says of it, without torch."""

from __future__ import annotations

from pydantic import Field

from glotmix.config import Section


class Tuning(Section):
    """How a classifier is tuned."""

    epochs: int = Field(5, ge=1)
    """Passes over the training samples; a checkpoint is kept after each."""
    batch: int = Field(32, ge=1)
    """Samples of one update."""
    learning_rate: float = Field(2e-5, gt=0)
    """Peak of AdamW's learning rate."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of updates in linear warm-up; then it falls linearly to zero."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's decoupled weight decay."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    length: int = Field(128, ge=4)
    """Most tokens of a sample."""
