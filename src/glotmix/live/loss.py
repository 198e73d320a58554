"""Loss weights per language (scalarization) for any causal language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from glotmix.errors import BadInput

IGNORED = -100
"""Label of positions that are not trained on."""


def weighted_loss(
    logits_BTV: torch.Tensor,
    labels_BT: torch.Tensor,
    weight_B: torch.Tensor,
    count: torch.Tensor | float | None = None,
    ignored: int = IGNORED,
) -> torch.Tensor:
    """``Σ_b w_b Σ_t nll_bt / n``: the mean token loss with each sequence weighted by its language.

    n is the number of labels that count, or ``count``: that of a whole step where gradients are accumulated. Labels are
    shifted here, as transformers does. With weights that have mean one under the sampled mixture (what
    :class:`glotmix.mixture.weighting.Weighting` makes) the learning rate keeps its meaning. Source: Li et al.,
    "Upsample or Upweight?", arXiv 2410.04579, who weight by language too.
    """
    target_BT = labels_BT[:, 1:]
    nll_BT = functional.cross_entropy(
        logits_BTV[:, :-1].flatten(0, 1).float(), target_BT.flatten(), ignore_index=ignored, reduction="none"
    ).view_as(target_BT)
    n = (target_BT != ignored).sum().clamp(min=1) if count is None else count
    return (nll_BT.sum(dim=1) * weight_B.to(nll_BT)).sum() / n


class LossWeighting(nn.Module):
    """A transformers-style model whose loss is weighted by the language of each sequence.

    Give it batches with ``language`` (numbers in the order of ``languages``); it takes them out, calls the model
    without labels and puts the weighted loss in its output.
    """

    weight_L: torch.Tensor

    def __init__(self, model: nn.Module, weights: Mapping[str, float], languages: Sequence[str]):
        """
        Raises:
            BadInput: a language without a weight.
        """
        super().__init__()
        if missing := [language for language in languages if language not in weights]:
            raise BadInput(f"no loss weight for {', '.join(missing)}", expected="a weight for each language")
        self.model = model
        values = torch.tensor([weights[language] for language in languages], dtype=torch.float32)
        self.register_buffer("weight_L", values, persistent=False)

    def forward(
        self,
        labels: torch.Tensor,
        language: torch.Tensor,
        num_items_in_batch: torch.Tensor | float | None = None,
        **inputs: Any,
    ) -> Any:
        """The model's output with ``loss``; transformers' Trainer gives ``num_items_in_batch`` when it accumulates."""
        output = self.model(**inputs)
        output["loss"] = weighted_loss(output["logits"], labels, self.weight_L[language], num_items_in_batch)
        return output
