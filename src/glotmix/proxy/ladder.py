"""One dial from a size to everything a proxy needs: shape, batch, learning rate, tokens.

Losses are comparable over N only if every rung is near its own optimum, so all of it follows from published rules:

- **Shape.** Depth and width from ``N ≈ 12 · layers · width²`` with ``width / layers = 21 (N / 150k)^0.18``: 64 × 3 at
  0.15M, near 100 at 1B where published Llamas lie. Loss is flat in this ratio (Kaplan et al. 2020, arXiv 2001.08361,
  §3.1).
- **Batch.** ``160 · (N / 108M)^(2/3)`` sequences of 2,048 tokens, and **learning rate**
  ``0.0047 · (N / 108M)^(-1/3)``: the fit of Porian et al. 2024 (arXiv 2406.19146) as the OLMo ladder uses it (Bhagia et
  al. 2024, arXiv 2412.04403). The fit covers 5M to 900M parameters; below, the rate is capped at ``LARGEST_RATE``, see
  docs/engine.md for what was measured.
- **Tokens.** 20 per parameter (Hoffmann et al. 2022, arXiv 2203.15556), times ``overtrain``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from glotmix.errors import BadInput
from glotmix.proxy import flops
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Shape
from glotmix.proxy.stack import TOKENS_AT_ONCE

SIZES = ("0.1M", "1M", "5M", "15M", "60M", "150M", "400M", "1B")
"""Rungs that have a name; any number works."""
REFERENCE = 108e6
LARGEST_RATE = 1e-2
FEWEST_STEPS = 200
"""The batch is made smaller where the run would have fewer steps than this."""
TOKENS_PER_PARAMETER = 20


@dataclass(frozen=True)
class Rung:
    """A size of the ladder, and what a run of it will cost."""

    name: str
    """The dial's setting."""
    shape: Shape
    """Width, layers, heads and the rest."""
    batch: int
    """Sequences per step."""
    learning_rate: float
    """Peak of the schedule."""
    tokens: int
    """Training tokens D."""

    @property
    def C(self) -> float:  # noqa: N802 — the papers' symbol
        """Training compute in FLOPs."""
        return self.tokens * flops.per_token(self.shape, self.shape.context)

    def memory(self, bytes_per_number: int = 4) -> int:
        """Bytes that training one model on a CPU takes: weights, gradient, two moments, activations of one pass.

        Activations per token and layer: about 14 widths and 4 feed-forward widths are kept for the backward pass.
        """
        shape = self.shape
        per_token = shape.layers * (14 * shape.width + 4 * shape.feed_forward) + 6 * shape.width
        weights = 4 * shape.parameters * (3 if bytes_per_number == 4 else 4)
        activations = min(self.batch * shape.context, TOKENS_AT_ONCE[True]) * per_token
        return weights + bytes_per_number * (shape.parameters + activations)

    def seconds(self, flops_per_second: float) -> float:
        """Expected time of one run at a measured speed (see :mod:`glotmix.proxy.pack`)."""
        return self.C / flops_per_second

    def training(self, base: ProxyConfig) -> ProxyConfig:
        """``base`` with this rung's shape, batch, learning rate and tokens."""
        shape = self.shape
        return base.model_copy(
            update={
                "width": shape.width,
                "layers": shape.layers,
                "heads": shape.heads,
                "feed_forward": shape.feed_forward,
                "tied": shape.tied,
                "context": shape.context,
                "batch": self.batch,
                "learning_rate": self.learning_rate,
                "tokens": float(self.tokens),
            }
        )

    def describe(self, flops_per_second: float | None = None) -> str:
        """One line: what this rung is and costs."""
        shape = self.shape
        text = (
            f"{self.name}: {shape.layers} layers × {shape.width}, N = {shape.N:,} "
            f"({shape.parameters:,} with embeddings), "
            f"D = {self.tokens:,}, batch {self.batch} × {shape.context}, learning rate {self.learning_rate:.2g}, "
            f"C = {self.C:.2e} FLOP, {self.memory() / 1e6:,.0f} MB"
        )
        return text if flops_per_second is None else f"{text}, {self.seconds(flops_per_second):,.0f} s"


def rung(
    size: str | float, *, vocab: int = 2048, context: int = 128, tied: bool = True, overtrain: float = 1.0
) -> Rung:
    """The rung of a size: a name such as "5M", or a number of non-embedding parameters.

    Args:
        vocab: vocabulary of the tokenizer.
        context: tokens per sequence.
        tied: whether output and input embedding are one.
        overtrain: tokens as a multiple of 20 per parameter.

    Raises:
        BadInput: a size that is no number, or outside 50k to 3B.
    """
    name, wanted = _parse(size)
    shape = _shape(wanted, vocab, context, tied)
    tokens = round(TOKENS_PER_PARAMETER * overtrain * shape.N)
    batch = 160 * 2048 * (shape.N / REFERENCE) ** (2 / 3) / context
    batch = max(1, min(round(batch), tokens // (FEWEST_STEPS * context)))
    rate = min(LARGEST_RATE, 0.0047 * (shape.N / REFERENCE) ** (-1 / 3))
    return Rung(name, shape, batch, rate, tokens)


def _parse(size: str | float) -> tuple[str, float]:
    text = str(size).strip()
    match = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?)([kMB]?)", text)
    try:
        number = float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "B": 1e9}[match[2]] if match else 0.0
    except ValueError:
        number = 0.0
    if not 5e4 <= number <= 3e9:
        raise BadInput(f"size {text!r}", expected=f"{', '.join(SIZES)}, or a number of parameters from 50k to 3B")
    return text, number


def _shape(wanted: float, vocab: int, context: int, tied: bool) -> Shape:
    """The shape with about ``wanted`` parameters, nearest to the rule's ratio of width to layers."""
    ratio = 21 * (wanted / 150e3) ** 0.18
    ideal = (wanted * ratio / 12) ** (1 / 3)
    head_width = 16 if ideal < 112 else 32 if ideal < 224 else 64
    candidates = []
    for width in {max(1, round(ideal / head_width) + offset) * head_width for offset in (-1, 0, 1)}:
        layers = max(1, round(wanted / (12 * width * width)))
        shape = Shape(width, layers, width // head_width, 16 * -(-width * 8 // 48), vocab, tied, context)
        # Size against ratio: 10 % off in N counts like 40 % off in width / layers.
        off = abs(math.log(shape.N / wanted)) + 0.25 * abs(math.log(width / layers / ratio))
        candidates.append((off, width, shape))
    return min(candidates, key=lambda candidate: candidate[:2])[2]
