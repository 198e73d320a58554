"""Samples whose influence is asked: token ids with their language, label and identity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from glotmix.errors import BadInput


@dataclass(frozen=True)
class Samples:
    """N samples, padded on the right."""

    inputs: Mapping[str, Tensor]
    """What the model is called with, each [N, ...]: ``input_ids``, ``attention_mask``, ``labels``, ..."""
    languages: tuple[str, ...]
    """Language of every sample."""
    ids: tuple[str, ...] | None = None
    """Identity of every sample; samples of several languages with the same id are translations of each other."""
    labels: tuple[str | int, ...] | None = None
    """Class of every sample, which nulls of the same label need; None where there are no classes."""

    def __post_init__(self) -> None:
        if not self.languages:
            raise BadInput("no samples")
        for name, tensor in self.inputs.items():
            if len(tensor) != len(self):
                raise BadInput(f"{len(tensor)} rows for {len(self)} languages", where=f"samples.{name}")
        for field, values in (("ids", self.ids), ("labels", self.labels)):
            if values is not None and len(values) != len(self):
                raise BadInput(f"{len(values)} {field} for {len(self)} languages", where=f"samples.{field}")

    def __len__(self) -> int:
        return len(self.languages)

    def take(self, chosen: Sequence[int]) -> Samples:
        """The samples at these places, in this order."""
        if not len(chosen):
            raise BadInput("no samples are left")
        index = torch.as_tensor([int(i) for i in chosen])
        return Samples(
            {name: tensor[index] for name, tensor in self.inputs.items()},
            tuple(self.languages[i] for i in chosen),
            None if self.ids is None else tuple(self.ids[i] for i in chosen),
            None if self.labels is None else tuple(self.labels[i] for i in chosen),
        )

    def of(self, language: str) -> Samples:
        """The samples of one language; none is a named error."""
        chosen = [i for i, name in enumerate(self.languages) if name == language]
        if not chosen:
            raise BadInput(f"no samples of {language}", expected=f"one of {', '.join(dict.fromkeys(self.languages))}")
        return self.take(chosen)

    def batches(self, size: int, device: torch.device | str = "cpu") -> Iterator[tuple[slice, dict[str, Tensor]]]:
        """Places and inputs of consecutive batches; columns that are padding for all of a batch are cut off."""
        for start in range(0, len(self), size):
            some = slice(start, start + size)
            batch = {name: tensor[some] for name, tensor in self.inputs.items()}
            mask = batch.get("attention_mask")
            if mask is not None and mask.ndim == 2:
                width = max(1, int(mask.any(0).nonzero().max()) + 1) if mask.any() else 1
                batch = {n: t[:, :width] if t.shape[1:2] == mask.shape[1:] else t for n, t in batch.items()}
            yield some, {name: tensor.to(device) for name, tensor in batch.items()}

    def check_fit(self, model: nn.Module, where: str) -> None:
        """
        Raises:
            BadInput: a sample longer than the model's context, or a token that is not in its vocabulary.
        """
        ids = self.inputs.get("input_ids")
        config = getattr(model, "config", None)
        if ids is None or config is None:
            return
        mask = self.inputs.get("attention_mask", torch.ones_like(ids))
        place = torch.arange(1, ids.shape[1] + 1)
        length = (mask.cpu() * place).amax(1)
        if (context := context_of(config)) is not None and (length > context).any():
            i = int((length > context).nonzero()[0, 0])
            raise BadInput(
                f"sample {i} has {int(length[i])} tokens", where=where, expected=f"at most {context}, the context"
            )
        vocabulary = getattr(config, "vocab_size", None)
        if vocabulary is not None and ((ids < 0) | (ids >= vocabulary)).any():
            i, t = ((ids < 0) | (ids >= vocabulary)).nonzero()[0].tolist()
            raise BadInput(f"sample {i} has token {int(ids[i, t])}", where=where, expected=f"0 to {vocabulary - 1}")


def context_of(config: Any) -> int | None:
    """Longest sequence of a transformers model; RoBERTa's family counts positions from behind its padding index."""
    longest = getattr(config, "max_position_embeddings", None)
    if longest is None:
        return None
    shifted = getattr(config, "model_type", "") in {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert"}
    return int(longest) - (int(config.pad_token_id) + 1 if shifted else 0)


def classification_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Cross-entropy in nats of every sample's class, [B], for a transformers classifier; ``labels`` holds classes."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    return cross_entropy(model(**inputs).logits, batch["labels"], reduction="none")


def next_token_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Mean cross-entropy in nats per token of every sample, [B], for a transformers decoder.

    ``labels`` says which tokens count (-100: not); without it all tokens that are not padding do.
    """
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    labels = batch.get("labels")
    if labels is None:
        mask = batch.get("attention_mask")
        labels = batch["input_ids"] if mask is None else batch["input_ids"].masked_fill(mask == 0, -100)
    logits_BTV = model(**inputs, use_cache=False).logits[:, :-1]
    loss_BT = cross_entropy(logits_BTV.transpose(1, 2), labels[:, 1:], reduction="none", ignore_index=-100)
    return loss_BT.sum(1) / (labels[:, 1:] != -100).sum(1).clamp(min=1)
