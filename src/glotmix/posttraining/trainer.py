"""Fine-tuning any causal language model with TRL's supervised trainer and, for adapters, peft.

TRL is given token ids and labels as :mod:`glotmix.posttraining.chat` makes them, in the order of
:mod:`glotmix.posttraining.order`, so that a cell reads the same tokens whichever trainer it has. The checkpoint is
chosen by the mean validation loss per answer token, not by TRL's mean over batches.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glotmix.errors import GlotmixError, MissingExtra
from glotmix.footprint import Footprint
from glotmix.posttraining.answer import load_model
from glotmix.posttraining.chat import Encoded
from glotmix.posttraining.finetune import Choice, Finetuning, History, learning_rate
from glotmix.posttraining.likelihood import nats_of
from glotmix.posttraining.optimiser import MOMENT_BYTES, open_optimiser
from glotmix.proxy.architecture import Architecture, unchanged

IGNORED = -100
"""Label of a token that is not learnt, by transformers' convention."""
FOUR_BITS = 0.516
"""Bytes of a weight frozen in NF4: half a byte, and its scale in eight bits for every 64 weights."""
TILE = 4096, 32768
"""Positions and words of the logits that TRL's loss holds at once, which goes over both in tiles."""


def finetune_with_trl(
    base: str | Path,
    tokenizer: Any,
    train: Sequence[Encoded],
    validation: Sequence[Encoded],
    order: np.ndarray,
    settings: Finetuning,
    directory: Path,
    *,
    weights: Mapping[str, float] | None = None,
    device: str | None = None,
) -> History:
    """Fine-tune a model and write the chosen checkpoint with its tokenizer.

    Args:
        base: directory or hub name of the model.
        tokenizer: the model's, with a chat template.
        train: training samples.
        validation: samples whose loss chooses the checkpoint; none keeps the last.
        order: sample read at each place, [steps, batch].
        settings: learning rate and the rest.
        directory: where the chosen model goes, adapters merged.
        weights: loss weight of each language; None weighs all samples alike.
        device: "cpu" or "cuda"; default: the GPU where there is one.

    Raises:
        BadInput: no such model.
        GlotmixError: the training loss is no longer finite.
    """
    try:
        from datasets import Dataset, disable_progress_bars
        from transformers import PrinterCallback, ProgressCallback
        from trl import SFTConfig
    except ImportError as error:
        raise MissingExtra(str(error.name), "posttrain") from None
    disable_progress_bars()
    cuda = torch.cuda.is_available() if device is None else device.startswith("cuda")
    where = (device or "cuda") if cuda else "cpu"
    half = cuda and settings.precision == "bfloat16"
    frozen = half and settings.adapts
    model = load_model(base, where, torch.bfloat16 if frozen else torch.float32, quantised=settings.method == "qlora")
    if settings.adapts:
        model = with_adapters(model, settings)
    rows = [train[i] for i in order.ravel()]
    scratch = Path(tempfile.mkdtemp(prefix=".trl-", dir=directory.parent))
    watch = _watch(validation, settings, tokenizer.pad_token_id, len(order), half)
    try:
        trainer = _trainer_class()(
            model=model,
            args=SFTConfig(
                output_dir=str(scratch),
                per_device_train_batch_size=settings.pass_size,
                gradient_accumulation_steps=settings.batch // settings.pass_size,
                max_steps=len(order),
                logging_steps=1,
                logging_strategy="steps",
                save_strategy="no",
                report_to=[],
                max_grad_norm=settings.clip,
                max_length=None,
                train_sampling_strategy="sequential",
                dataset_kwargs={"skip_prepare_dataset": True},
                remove_unused_columns=False,
                use_cpu=not cuda,
                bf16=half,
                activation_checkpointing=cuda and settings.recompute_activations,  # only costs time on a CPU
                disable_tqdm=True,
                dataloader_pin_memory=cuda,
                seed=0,
            ),
            train_dataset=Dataset.from_list([_row(sample, weights) for sample in rows]),
            data_collator=_collated(tokenizer.pad_token_id, weighted=weights is not None),
            processing_class=tokenizer,
            optimizers=_optimiser(model, settings, len(order)),
            callbacks=[watch],
        )
        for printer in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(printer)
        trainer.train()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    losses = tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
    if not np.isfinite(losses).all():
        step = int(np.flatnonzero(~np.isfinite(losses))[0])
        raise GlotmixError(f"training loss not finite at step {step}")
    if settings.method == "qlora":  # adapters were trained on rounded weights, and are added to the exact ones
        del model, trainer.model
        write_trained(base, settings, watch.kept, directory, torch.bfloat16 if half else torch.float32)
    else:
        watch.write(trainer.model, directory)
    tokenizer.save_pretrained(directory)
    return History(losses, tuple(watch.choice.validations), watch.choice.chosen)


def _row(sample: Encoded, weights: Mapping[str, float] | None) -> dict[str, Any]:
    labels = np.where(sample.mask, sample.ids, IGNORED)
    row: dict[str, Any] = {"input_ids": sample.ids.tolist(), "labels": labels.tolist()}
    return row if weights is None else row | {"weight": weights.get(sample.language, 0.0)}


def _collated(pad: int, *, weighted: bool) -> Any:
    """TRL's own collator, with each sample's weight carried along."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    inner = DataCollatorForLanguageModeling(pad_token_id=pad)
    if not weighted:
        return inner

    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        weight_B = torch.tensor([row["weight"] for row in rows])
        return {**inner([{k: row[k] for k in ("input_ids", "labels")} for row in rows]), "weight": weight_B}

    return collate


def _trainer_class() -> Any:
    from trl import SFTTrainer

    class WeightedTrainer(SFTTrainer):
        """TRL's trainer; where samples have weights, each answer token's loss is multiplied by its sample's."""

        def compute_loss(
            self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            weight_B = inputs.pop("weight", None)
            if weight_B is None:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            outputs = model(**inputs, use_cache=False, fused_lm_head=True)
            learnt = outputs.label_mask.sum() if num_items_in_batch is None else num_items_in_batch
            loss = -(outputs.log_probs * weight_B[:, None]).sum() / learnt
            return loss if num_items_in_batch is None else loss * self.accelerator.num_processes

    return WeightedTrainer


def _optimiser(model: Any, settings: Finetuning, steps: int) -> tuple[Any, Any]:
    """AdamW, and the learning rate of every step."""
    optimiser = open_optimiser((p for p in model.parameters() if p.requires_grad), settings)
    rate = [learning_rate(step, steps, settings) / settings.learning_rate for step in range(steps + 1)]
    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate[min(step, steps)])


def with_adapters(model: Any, settings: Finetuning) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise MissingExtra("peft", "posttrain") from None
    wanted = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha or 2 * settings.lora_rank,
        target_modules=settings.lora_targets or "all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, wanted)


def write_trained(
    base: str | Path, settings: Finetuning, trained: Mapping[str, Tensor], directory: Path, dtype: torch.dtype
) -> None:
    """Write the base model with its trained weights, adapters merged, on the CPU.

    Args:
        base: directory or hub name of the model.
        settings: of the fine-tuning.
        trained: the weights that were trained, by the names that the model with its adapters has for them.
        directory: where it goes.
        dtype: of what is written.
    """
    model = load_model(base, "cpu", dtype)
    if settings.adapts:
        model = with_adapters(model, settings)
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in trained.items():
            own[name].copy_(tensor)
    (model.merge_and_unload() if settings.adapts else model).save_pretrained(directory)


def validation_loss(model: Any, samples: Sequence[Encoded], pad: int, *, half: bool = False) -> float:
    """Mean loss per answer token, the matrix products in bf16 where ``half``."""
    total = float(nats_of(model, samples, pad, half=half).sum())
    model.train()
    return total / sum(int(sample.mask[1:].sum()) for sample in samples)


def _watch(validation: Sequence[Encoded], settings: Finetuning, pad: int, steps: int, half: bool) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        """Measures the validation loss now and then, and remembers the weights where it was least."""

        def __init__(self) -> None:
            self.choice = Choice(settings.save_every, steps)
            self.kept: dict[str, Tensor] = {}

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            step = int(state.global_step)
            if not self.choice.due(step):
                return
            if self.choice.takes(step, validation_loss(model, validation, pad, half=half) if validation else None):
                trained = {name for name, p in model.named_parameters() if p.requires_grad}
                self.kept = {
                    name: tensor.detach().to("cpu", copy=True)
                    for name, tensor in model.state_dict().items()
                    if name in trained
                }

        def write(self, model: Any, directory: Path) -> None:
            if self.kept:
                model.load_state_dict(self.kept, strict=False)
            merged = model.merge_and_unload() if settings.adapts else model
            merged.save_pretrained(directory)

    return Watch()


def footprint(stage: str, architecture: Architecture, settings: Finetuning, *, tokens: float) -> Footprint:
    """What :func:`finetune_with_trl` holds on a GPU with samples as long as the context, and computes.

    Args:
        stage: what it is called.
        architecture: of the model.
        settings: of the fine-tuning.
        tokens: that all models read, repetitions counted.
    """
    lora, half = settings.adapts, settings.precision == "bfloat16"
    dtype = torch.bfloat16 if lora and half else torch.float32
    change = partial(with_adapters, settings=settings) if lora else unchanged
    trained = architecture.counted(change, trained=True)
    frozen = architecture.counted(change) - trained
    samples, length = settings.pass_size, settings.context
    again = settings.recompute_activations
    state = samples * length * architecture.width * (2 if dtype == torch.bfloat16 else 4)
    held = architecture.held(samples, length, dtype, change=change, autocast=half)
    copies = 2 * trained if half and again else 0  # of one layer at a time, all of which are cached until the loss is
    tile = min(samples * length, TILE[0]) * TILE[1] * (2 if half else 4)
    by_loss = tile + (0 if lora else 4 * architecture.vocab * architecture.width)
    passes = (2 if lora else 3) + again
    return Footprint(
        stage,
        weights=(FOUR_BITS if settings.method == "qlora" else dtype.itemsize) * frozen + 4 * trained + copies,
        gradients=4 * trained,
        optimiser=MOMENT_BYTES[settings.moments] * trained,
        activations=held.bytes(architecture.layers, boundary=state if again else 0),
        logits=by_loss + 4 * samples * length * architecture.width,
        flops=passes * tokens * architecture.forward_flops(length),
        smaller="a smaller finetuning.micro_batch, finetuning.context, or finetuning.method: lora",
    )
