"""Footprint: what a stage holds in the memory of one device, and how much it computes, told before it begins.

Every stage that trains or differentiates a model tells its own, in a function ``footprint`` beside what it does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

PARTS = ("weights", "gradients", "optimiser", "activations", "logits", "kept")
"""What the bytes of a footprint are for, in the order in which tables show them."""


@dataclass(frozen=True)
class Footprint:
    """Bytes on one device, by what they are for, and FLOPs of the whole stage on all of them."""

    stage: str
    """What is done."""
    weights: float = 0.0
    """All copies of the weights."""
    gradients: float = 0.0
    """Sums of gradients, and what a backward pass leaves before it is added to them."""
    optimiser: float = 0.0
    """The optimiser's moments."""
    activations: float = 0.0
    """What autograd keeps from the forward pass of one micro-batch."""
    logits: float = 0.0
    """Scores over the vocabulary, with whatever is as large as they are."""
    kept: float = 0.0
    """What the stage keeps besides: states, gradients of test samples, caches, text."""
    flops: float = 0.0
    """Of all of its runs together."""
    moved: float = 0.0
    """Bytes of all its runs that are read one token after the other, where reading takes longer than computing."""
    devices: int = 1
    """Devices that share the work."""
    smaller: str = ""
    """Fields that make it smaller."""

    @property
    def bytes(self) -> float:
        """All of them: what a device must have room for."""
        return float(sum(getattr(self, part) for part in PARTS))

    @property
    def largest(self) -> str:
        """What takes the most."""
        return max(PARTS, key=lambda part: getattr(self, part))


assert set(PARTS) < {field.name for field in fields(Footprint)}
