"""FLOPs of training, counted per part; the machine's matrix-product peak; utilisation."""

from __future__ import annotations

from glotmix.proxy.model import Shape


def per_token(shape: Shape, context: int) -> float:
    """Training FLOPs per token: forward and backward (twice the forward) of every matrix product."""
    return 3.0 * sum(forward_per_token(shape, context).values())


def forward_per_token(shape: Shape, context: int) -> dict[str, float]:
    """Forward FLOPs per token of each part; a multiply-add counts two, attention over the whole context."""
    d, f, layers = shape.width, shape.feed_forward, shape.layers
    return {
        "projections": layers * 2.0 * 4 * d * d,
        "attention": layers * 2.0 * 2 * context * d,
        "feed_forward": layers * 2.0 * 3 * d * f,
        "output": 2.0 * d * shape.vocab,
    }
