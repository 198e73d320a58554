"""Architecture: a transformers model without its weights, for what can be known of a model before it is fetched.

It is read from a model's ``config.json``, or told in the study file by the same fields. Models of one
layer and of two, on tensors without memory, then say what a layer has and holds, and what stands around the layers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from glotmix.errors import BadInput, MissingExtra
from glotmix.proxy import held
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.held import Depth, without_memory
from glotmix.proxy.model import Shape

Head = Literal["words", "classes"]
Change = Callable[[Any], Any]
"""What is done to a model before it is trained."""


def unchanged(model: Any) -> Any:
    """The model as it is."""
    return model


@dataclass(frozen=True)
class Architecture:
    """What a transformers model is, without its weights."""

    config: Any
    """Its ``PretrainedConfig``."""
    head: Head = "words"
    """A causal language model, or a classifier."""

    @classmethod
    def of(cls, model: str, told: Mapping[str, Any], root: Path, head: Head = "words", *, where: str) -> Architecture:
        """Of a directory, of a model that was fetched before, or as told; nothing is fetched.

        Args:
            model: directory (relative to ``root``) or name on the hub.
            told: fields of ``config.json``, ``model_type`` among them; they come first.
            root: directory that relative paths start from.
            head: what stands behind the last layer.
            where: field of the study file, for the message.

        Raises:
            BadInput: nothing is known of it here, or no such architecture.
            MissingExtra: transformers is not installed.
        """
        try:
            from transformers import AutoConfig
        except ImportError:
            raise MissingExtra("transformers", "posttrain") from None
        fields = dict(told)
        try:
            if fields:
                return cls(AutoConfig.for_model(fields.pop("model_type", None), **fields), head)
            place = str(root / model) if (root / model).is_dir() else model
            found = AutoConfig.from_pretrained(place, local_files_only=True, trust_remote_code=False)
            return cls(found, head)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0]
            message = f"architecture of {model}: {reason}" if fields or told else f"{model} is not on this machine"
            expected = "{model_type, hidden_size, num_hidden_layers, …} as in its config.json"
            raise BadInput(message, where=f"{where}.architecture", expected=expected) from None

    @classmethod
    def of_proxy(cls, proxy: ProxyConfig, vocab: int, head: Head = "words") -> Architecture:
        """Of a proxy as transformers opens its checkpoint."""
        shape = Shape.of(proxy, vocab)
        told = {
            "hidden_size": shape.width,
            "intermediate_size": shape.feed_forward,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "vocab_size": shape.vocab,
            "tie_word_embeddings": shape.tied,
        }
        return cls.of("llama", {"model_type": "llama", **told}, Path(), head, where="proxy")

    @cached_property
    def layers(self) -> int:
        """Its layers."""
        return int(self.config.num_hidden_layers)

    @property
    def width(self) -> int:
        """Of the residual stream."""
        return int(self.config.hidden_size)

    @property
    def vocab(self) -> int:
        """Rows of the embedding."""
        return int(self.config.vocab_size)

    def cut(self, layers: int, dtype: torch.dtype = torch.float32) -> nn.Module:
        """The model cut down to so many layers, on whatever device is torch's default."""
        from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

        config = copy.deepcopy(self.config)
        config.num_hidden_layers = layers
        if getattr(config, "layer_types", None):
            config.layer_types = list(config.layer_types)[:layers]
        if config.pad_token_id is None:  # a classifier reads the last token that is no padding
            config.pad_token_id = 0
        kind = AutoModelForCausalLM if self.head == "words" else AutoModelForSequenceClassification
        model: nn.Module = kind.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
        return model.train()

    def whole(self, dtype: torch.dtype = torch.float32) -> Any:
        """The model with all its layers, on whatever device is torch's default."""
        return self.cut(self.layers, dtype)

    def _empty(self, layers: int, dtype: torch.dtype = torch.float32, change: Change = unchanged) -> Any:
        """The same after a change, on the device ``meta``."""
        with torch.device("meta"):
            return change(self.cut(layers, dtype))

    def counted(self, change: Change = unchanged, *, trained: bool = False) -> float:
        """Parameters after a change (adapters, say), tied ones once; with ``trained`` those that have gradients."""
        return self.parted(change, trained=trained).bytes(self.layers)

    def parted(self, change: Change = unchanged, *, trained: bool = False) -> Depth:
        """The same of one layer, and of everything around the layers."""

        def at(layers: int) -> float:
            every = self._empty(layers, change=change).parameters()
            return float(sum(p.numel() for p in every if p.requires_grad or not trained))

        return Depth.of(at)

    def summed(self, count: Callable[[Any], float]) -> float:
        """The sum of something over all parameters, tied ones once, which are shown without memory."""

        def at(layers: int) -> float:
            with without_memory():
                return float(sum(map(count, self.cut(layers).parameters())))

        return Depth.of(at).bytes(self.layers)

    @cached_property
    def parameters(self) -> float:
        """All parameters, tied ones once."""
        return self.counted()

    def activations(self, samples: int, length: int) -> float:
        """Bytes of all layers in fp32 (see :meth:`held`)."""
        return self.held(samples, length).bytes(self.layers)

    def at_outputs(self, samples: int, length: int) -> float:
        """Bytes in fp32 of the gradients by the outputs of all modules that have parameters of their own."""

        def at(layers: int) -> float:
            return sum(map(_outputs, self._empty(layers).modules()))

        return 4 * samples * length * Depth.of(at).bytes(self.layers)

    @cached_property
    def in_products(self) -> float:
        """Parameters that every token is multiplied with: all but tables that are only looked up."""
        model: Any = self._empty(1)
        tables = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Embedding))
        head: Any = getattr(model, "lm_head", None)
        tied = head is not None and head.weight is model.get_input_embeddings().weight
        return self.parameters - tables + (self.vocab * self.width if tied else 0)

    def held(
        self,
        samples: int,
        length: int,
        dtype: torch.dtype = torch.float32,
        *,
        change: Change = unchanged,
        autocast: bool = False,
    ) -> Depth:
        """Bytes that a pass over some samples keeps for its backward pass, without what depends on the vocabulary.

        Args:
            samples: of one micro-batch.
            length: tokens of each, padding included.
            dtype: of the weights.
            change: what is done to the model before (adapters, say).
            autocast: whether products run in bf16 on weights of another type, whose copies in bf16 are kept too.
        """

        def at(layers: int) -> float:
            with without_memory(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                model = with_fake_tensors(self._empty(layers, dtype, change))
                body = model.base_model if self.head == "words" and change is unchanged else model
                ids = torch.zeros(samples, length, dtype=torch.long)
                return held.held(lambda: body(input_ids=ids), model.parameters())

        return Depth.of(at)

    def cache_per_token(self, dtype: torch.dtype) -> float:
        """Bytes of keys and values that a token of an answer or its prompt leaves."""
        heads = int(self.config.num_attention_heads)
        own = int(getattr(self.config, "num_key_value_heads", None) or heads)
        head_width = int(getattr(self.config, "head_dim", None) or self.width // heads)
        return 2 * self.layers * own * head_width * dtype.itemsize

    def forward_flops(self, length: int) -> float:
        """FLOPs of a token in a forward pass over texts of so many tokens, counted as a proxy's (:mod:`.flops`)."""
        return 2.0 * self.in_products + 4.0 * self.layers * length * self.width


def _outputs(module: nn.Module) -> int:
    """Width of what a module puts out, where it has parameters of its own."""
    if isinstance(module, nn.Embedding):
        return module.embedding_dim
    own = [p for _, p in module.named_parameters(recurse=False)]
    return int(own[0].shape[0]) if own else 0


def with_fake_tensors(model: nn.Module) -> Any:
    """A model on ``meta`` with fake tensors on the CPU in place of its own (libraries that add adapters cannot move
    fake ones); to be called where tensors have no memory."""
    made: dict[int, nn.Parameter] = {}  # tied ones stay tied
    for module in list(model.modules()):
        for name, own in list(module.named_parameters(recurse=False)):
            if id(own) not in made:
                made[id(own)] = nn.Parameter(torch.zeros(own.shape, dtype=own.dtype), requires_grad=own.requires_grad)
            setattr(module, name, made[id(own)])
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.zeros(buffer.shape, dtype=buffer.dtype))
    return model
