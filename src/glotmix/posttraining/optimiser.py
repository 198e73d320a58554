"""AdamW for fine-tuning, with its moments in fp32, in bf16 or in eight bits.

Weights are fp32 and so is every update; only what is kept between two updates is rounded. Moments in bf16 are those of
DeepSeek-V3 (arXiv 2412.19437, §3.3.2); with a second moment that forgets a twentieth at every update, bf16's eight bits
still see each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from glotmix.errors import MissingExtra
from glotmix.posttraining.finetune import Finetuning, refused

BETAS, EPSILON = (0.9, 0.95), 1e-8
MOMENT_BYTES = {"float32": 8.0, "bfloat16": 4.0, "8bit": 2.03}
"""Of both moments of a weight; in eight bits with a scale for every 256 of them."""
PART = 1 << 24
"""Entries that are brought to fp32 at once."""


def open_optimiser(parameters: Iterable[Tensor], settings: Finetuning) -> torch.optim.Optimizer:
    """AdamW as the proxies' engine has it, decay on matrices only.

    Args:
        parameters: what is trained; all on one device.
        settings: rate, decay, and the precision of the moments.

    Raises:
        BadInput: moments in eight bits, and no GPU.
        MissingExtra: bitsandbytes is not installed.
    """
    trained = list(parameters)
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    cuda = any(p.is_cuda for p in trained)
    if settings.moments == "8bit":
        return _in_eight_bits(groups, settings, cuda=cuda)
    if settings.moments == "bfloat16":
        return AdamWithHalfMoments(groups, settings.learning_rate)
    # Fused on a GPU: the other forms make as much again of temporary tensors as there are weights.
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=BETAS, eps=EPSILON, fused=cuda, foreach=False)


def refuse_eight_bits(where: str, *, cuda: bool) -> None:
    """Say what stands in the way of what bitsandbytes does, and what works without it.

    Raises:
        BadInput: there is no GPU.
        MissingExtra: it is not installed.
    """
    if not cuda:
        raise refused(where)
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise MissingExtra("bitsandbytes", "bitsandbytes") from None


def _in_eight_bits(groups: list[dict[str, Any]], settings: Finetuning, *, cuda: bool) -> torch.optim.Optimizer:
    refuse_eight_bits("finetuning.moments = 8bit", cuda=cuda)
    import bitsandbytes

    for group in groups:  # a shard may be empty, and blocks of nothing are refused
        group["params"] = [p for p in group["params"] if p.numel()]
    made: torch.optim.Optimizer = bitsandbytes.optim.AdamW8bit(
        groups, lr=settings.learning_rate, betas=BETAS, eps=EPSILON
    )
    return made


class AdamWithHalfMoments(torch.optim.Optimizer):
    """AdamW whose moments are kept in bf16: 4 bytes for each weight in place of 8."""

    def __init__(self, groups: Sequence[dict[str, Any]], rate: float):
        super().__init__(groups, {"lr": rate, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, group["lr"], group["weight_decay"])

    def _update(self, p: Tensor, rate: float, decay: float) -> None:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros(())
            for moment in ("first", "second"):
                state[moment] = torch.zeros_like(p, dtype=torch.bfloat16)
        state["step"] += 1
        t, (beta, gamma) = float(state["step"]), BETAS
        assert p.grad is not None
        every = (p.view(-1), p.grad.reshape(-1), state["first"].view(-1), state["second"].view(-1))
        for weight, gradient, first, second in zip(*(x.split(PART) for x in every), strict=True):
            m = first.float().lerp_(gradient.float(), 1 - beta)
            v = second.float().mul_(gamma).addcmul_(gradient.float(), gradient.float(), value=1 - gamma)
            first.copy_(m)
            second.copy_(v)
            weight.mul_(1 - rate * decay)
            weight.addcdiv_(m, v.sqrt_().div_((1 - gamma**t) ** 0.5).add_(EPSILON), value=-rate / (1 - beta**t))
