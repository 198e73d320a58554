"""Fine-tuning: its settings, and what is remembered of it. Three trainers do the same: ``engine``, ``trainer`` and
``sharded``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, model_validator

from glotmix.config import Section
from glotmix.errors import BadInput


class Finetuning(Section):
    """How a model is fine-tuned."""

    engine: Literal["auto", "proxy", "trl", "sharded"] = "auto"
    """``proxy``: glotmix's own loop, for its proxies. ``trl``: TRL's trainer, for any model on one device. ``sharded``:
    any model, its weights, gradients and moments in parts on all devices of a run (FSDP2). ``auto``: the first where
    the base is a proxy and all weights are trained, else the third where ``sweep.devices_per_run`` is above 1, else the
    second."""
    method: Literal["full", "lora", "qlora"] = "full"
    """Train all weights, or low-rank adapters (peft), which are merged before the answers; ``qlora``: adapters on
    weights frozen in four bits (NF4 by bitsandbytes, on a GPU), merged into the weights as they were."""
    moments: Literal["float32", "bfloat16", "8bit"] = "float32"
    """Of AdamW: 8, 4 or 2 bytes for each trained weight. ``8bit`` is bitsandbytes', on a GPU."""
    batch: int = Field(64, ge=1)
    """Samples per step, unpacked."""
    micro_batch: int | None = Field(None, ge=1)
    """Samples that go through together; the gradients of a batch are summed over as many passes as that takes, with
    the result of the whole batch. Default: the whole batch."""
    learning_rate: float = Field(1e-5, gt=0)
    """AdamW's learning rate."""
    decay: Literal["constant", "cosine"] = "constant"
    """What becomes of it: constant, or a cosine to a tenth."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the steps in linear warm-up."""
    epochs: float = Field(1.0, gt=0)
    """Passes over the training samples, unless ``steps`` is given."""
    steps: int | None = Field(None, ge=1)
    """Updates, the same for every cell however many samples it has."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's decoupled weight decay, on matrices only."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    save_every: int = Field(50, ge=1)
    """Steps between two checkpoints, the one with the least validation loss being chosen."""
    context: int = Field(2048, ge=8)
    """Longest sample in tokens; a longer one is an error."""
    lora_rank: int = Field(16, ge=1)
    """Rank r of the adapters."""
    lora_alpha: int | None = Field(None, ge=1)
    """Their scale α: what they add is multiplied by α / r. Default 2 r."""
    lora_targets: list[str] = Field(default_factory=list)
    """Names of the linear layers that get adapters (``q_proj``, ``v_proj``); default all but the output matrix."""
    recompute_activations: bool = True
    """On a GPU, and where weights are sharded: keep only each layer's input for the backward pass and compute the rest
    again."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of matrix products, on a GPU. Weights that are trained stay fp32: at the rates of fine-tuning most updates
    are smaller than bf16 can tell. Frozen weights under adapters, and answers, take this precision too."""

    answers: Literal["transformers", "vllm"] = "transformers"
    """What generates the answers: transformers, or vLLM on a GPU (extra ``vllm``), whose rounding is its own."""

    @model_validator(mode="after")
    def _whole_passes(self) -> Finetuning:
        if self.batch % self.pass_size:
            raise ValueError(f"micro_batch: a batch of {self.batch} does not part into passes of {self.pass_size}")
        return self

    def determining(self) -> dict[str, Any]:
        """What of it determines a model's numbers, as a plain dict; newer fields only where they are set. ``turns``
        parts models that learnt every turn of a conversation from older ones, which learnt the last."""
        newer = {"lora_alpha", "lora_targets"}
        told = self.model_dump(mode="json", exclude={"micro_batch", "recompute_activations"})
        for name, usual in (("moments", "float32"), ("answers", "transformers")):
            if told[name] == usual:  # newer than cells that are there
                del told[name]
        return {name: value for name, value in told.items() if value or name not in newer} | {"turns": "every"}

    @property
    def pass_size(self) -> int:
        """Samples of one pass."""
        return min(self.batch, self.micro_batch or self.batch)

    @property
    def adapts(self) -> bool:
        """Whether adapters are trained and the weights frozen."""
        return self.method != "full"

    def engine_for(self, *, is_proxy: bool, devices: int) -> Literal["proxy", "trl", "sharded"]:
        """What trains a base model on so many devices.

        Raises:
            BadInput: an engine that cannot.
        """
        own = is_proxy and self.method == "full"
        if self.engine == "proxy" and not own:
            message = f"engine: proxy with {'a proxy' if is_proxy else 'a model that is no proxy'} and {self.method}"
            expected = "a glotmix proxy and method: full, or engine: auto"
            raise BadInput(message, where="finetuning.engine", expected=expected)
        if self.engine == "proxy" or (self.engine == "auto" and own):
            return "proxy"
        if self.engine == "trl" and devices > 1:
            message = f"engine: trl trains on one device, and sweep.devices_per_run is {devices}"
            raise BadInput(message, where="finetuning.engine", expected="sharded or auto, or sweep.devices_per_run: 1")
        if self.engine == "trl" or (self.engine == "auto" and devices == 1):
            return "trl"
        if self.method == "qlora":
            expected = "lora, or full; qlora on one device with engine: trl"
            raise BadInput("qlora with weights in parts", where="finetuning.method", expected=expected)
        return "sharded"

    def shared(self, devices: int) -> tuple[int, int]:
        """Samples of a batch that each of so many devices reads, and those of one pass.

        Raises:
            BadInput: a batch that does not part evenly.
        """
        if self.batch % devices:
            fits = max(n for n in range(1, devices + 1) if self.batch % n == 0)
            message = f"a batch of {self.batch} samples over {devices} devices"
            raise BadInput(message, where="finetuning.batch", expected=f"a multiple, or sweep.devices_per_run: {fits}")
        each = self.batch // devices
        together = min(each, self.pass_size)
        if each % together:
            message = f"each of {devices} devices reads {each} samples of a batch, in passes of {together}"
            raise BadInput(message, where="finetuning.micro_batch", expected=f"a divisor of {each}")
        return each, together


def refused(where: str) -> BadInput:
    """Why a field that needs bitsandbytes cannot be on a CPU, and what can."""
    return BadInput(
        "bitsandbytes computes on a GPU, and this trains on a CPU",
        where=where,
        expected="moments: float32 or bfloat16 and method: full or lora, which work everywhere, or a GPU",
    )


@dataclass(frozen=True)
class History:
    """What happened in a fine-tuning."""

    losses: tuple[float, ...]
    """Training loss of every step, nats per answer token, before its update."""
    validations: tuple[tuple[int, float], ...]
    """Step and validation loss of every checkpoint."""
    chosen: int
    """Step of the checkpoint that was kept."""


@dataclass
class Choice:
    """Which checkpoint of a fine-tuning is kept: that of the least validation loss, or the last where none is told."""

    every: int
    """Steps between two checkpoints."""
    steps: int
    """Of the whole run; its last one is a checkpoint as well."""
    validations: list[tuple[int, float]] = field(default_factory=list)
    chosen: int = 0
    least: float = float("inf")

    def due(self, step: int) -> bool:
        """Whether a checkpoint is judged after so many steps."""
        return step % self.every == 0 or step == self.steps

    def takes(self, step: int, loss: float | None) -> bool:
        """Note the validation loss after so many steps, None without samples; whether this checkpoint is the best."""
        if loss is not None:
            self.validations.append((step, loss))
        value = -float(step) if loss is None else loss
        if not value < self.least:  # a loss that is no number is none
            return False
        self.least, self.chosen = value, step
        return True


def learning_rate(step: int, steps: int, settings: Finetuning) -> float:
    """Rate of update ``step`` (from 0)."""
    warmup = math.ceil(settings.warmup * steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    if settings.decay == "constant":
        return settings.learning_rate
    progress = (step - warmup) / max(1, steps - warmup)
    return settings.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)))
