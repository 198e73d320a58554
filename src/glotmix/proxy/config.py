"""The section `proxy` of a study: the small models that stand in for the target."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from glotmix.config import Section


class Architecture(Section):
    """What a model that proxies start from has in other ways than a proxy of our own; read from its ``config.json``."""

    vocabulary: int | None = Field(None, ge=1)
    """Rows of the embedding, where there are more than the tokenizer has ids."""
    kv_heads: int | None = Field(None, ge=1)
    """Heads of keys and values, shared by the heads of queries."""
    head_size: int | None = Field(None, ge=2)
    """Width of an attention head, where it is not the width by the heads."""
    rope_base: float = Field(10_000.0, gt=1)
    """Base of the rotary frequencies."""
    rope_scaling: tuple[float, float, float, float] | None = None
    """Llama 3.1's stretching of low frequencies: factor, low and high frequency factor, original context."""
    epsilon: float = Field(1e-5, gt=0)
    """ε of the norms."""
    biases: bool = False
    """Whether queries, keys and values have biases."""
    head_norms: bool = False
    """Whether queries and keys are normalised head by head."""


class ProxyConfig(Section):
    """The small models that stand in for the target."""

    base: str | None = None
    """Model that proxies go on from, in place of random weights: a folder with ``config.json``, safetensors and the
    tokenizer, relative to the study file, or a name on the Hugging Face hub, which uses the network. Llama and what
    differs from it in details (Mistral, Qwen 2 and 3). Its shape and tokenizer are theirs."""
    architecture: Architecture | None = None
    """Where the shape of ``base`` is not that of a proxy of our own; worked out from it."""
    size: str | None = None
    """Non-embedding parameters ("1M"): width, layers, heads, batch, learning rate and tokens follow from it by the
    ladder's published rules, except those that the file sets itself."""
    width: int = Field(64, ge=16)
    """Model width d."""
    layers: int = Field(3, ge=1)
    """Transformer blocks."""
    heads: int = Field(4, ge=1)
    """Attention heads; divides the width."""
    feed_forward: int | None = None
    """Width of the SwiGLU layer; default 8/3 of the width, rounded up to a multiple of 16."""
    tied: bool = True
    """Whether the output matrix is the input embedding."""
    tokens: float = Field(1e6, gt=0)
    """Training tokens D of a proxy."""
    context: int = Field(128, ge=8)
    """Tokens per sequence T."""
    batch: int = Field(16, ge=1)
    """Sequences per step."""
    learning_rate: float = Field(4e-3, gt=0)
    """Peak of AdamW's learning rate."""
    final_learning_rate: float = Field(0.1, ge=0, le=1)
    """Learning rate at the end of the run, as a share of the peak."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of steps in linear warm-up."""
    decay: float | None = Field(None, gt=0, lt=1)
    """Share of steps in which the learning rate falls, in a line, after being constant; default a cosine from the end
    of the warm-up on."""
    weight_decay: float = Field(0.1, ge=0)
    """AdamW's decoupled weight decay, on matrices only."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    evaluations: int = Field(1, ge=1)
    """How many times in a run held-out losses are measured (the last one at the end)."""
    simulate_epochs: bool = True
    """Give a proxy so little of each language that it repeats it as often as the target run would."""
    draws: Literal["exact", "independent"] = "exact"
    """How the languages of a batch's sequences come about. ``exact``: shares hold to a sequence in every 1,024;
    ``independent``: each is drawn by itself, as trainers that mix at random do, and batches are noisier."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the matrix products. ``auto``: decided by the kind of machine when a study begins, and kept."""
    recompute_activations: bool = False
    """Keep only each block's input for the backward pass and compute the rest again: a third more compute, a fraction
    of the memory, for proxies whose activations do not fit."""
    keep_checkpoints: bool | Literal["with_optimiser"] = False
    """Whether the weights are kept (safetensors, loadable as a transformers Llama). ``with_optimiser``: so that another
    study can go on from them too (``first_phase``), for three times the space."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> ProxyConfig:
        own = self.architecture
        if (own is None or own.head_size is None) and self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is no multiple of twice the heads ({self.heads})")
        return self
