"""Fine-tuning any causal language model with its weights in parts on several devices (FSDP2).

Weights, gradients and moments lie in equal parts on all devices of a team; a layer's weights come together, in bf16 on
a GPU, where a pass is in that layer. Weights stay fp32 and so do the sums of gradients. Every process reads its part
of a batch and computes its share of the batch's loss, which is over answer tokens of all. It goes over the vocabulary
in TRL's tiles, layers are computed again in the backward pass, and a run that is killed goes on from its last state
with the same bits.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from glotmix.errors import BadInput, GlotmixError, MissingExtra
from glotmix.footprint import Footprint
from glotmix.posttraining.answer import load_model
from glotmix.posttraining.chat import Encoded, padded
from glotmix.posttraining.finetune import Choice, Finetuning, History, learning_rate
from glotmix.posttraining.optimiser import MOMENT_BYTES, open_optimiser
from glotmix.posttraining.shard_state import drop, load_part, save_part
from glotmix.posttraining.trainer import IGNORED, TILE, with_adapters, write_trained
from glotmix.proxy.architecture import Architecture, unchanged
from glotmix.proxy.parallel import Team

SEED = 0
"""Of new adapters."""


def finetune_sharded(
    base: str | Path,
    tokenizer: Any,
    train: Sequence[Encoded],
    validation: Sequence[Encoded],
    order: np.ndarray,
    settings: Finetuning,
    directory: Path,
    team: Team,
    *,
    weights: Mapping[str, float] | None = None,
    state: Path | None = None,
    made_from: object = None,
) -> History:
    """Fine-tune a model and write the chosen checkpoint with its tokenizer; every process of the team calls this.

    Args:
        base: directory or hub name of the model.
        tokenizer: the model's, with a chat template.
        train: training samples.
        validation: samples whose loss chooses the checkpoint; none keeps the last.
        order: sample read at each place, [steps, batch].
        settings: learning rate and the rest.
        directory: where the chosen model goes, adapters merged.
        team: processes that hold the model together.
        weights: loss weight of each language; None weighs all samples alike.
        state: folder of the states in mid-run, one at every validation; None keeps none.
        made_from: JSON value that must be equal for a run to go on from a state.

    Raises:
        BadInput: no such model, or a batch that does not part over the team.
        GlotmixError: the training loss is no longer finite.
        Corrupt: the state is damaged.
    """
    each, together = settings.shared(team.size)
    model, steps = Sharded(base, settings, team, tokenizer.pad_token_id), len(order)
    losses: list[float] = []
    choice, begin = Choice(settings.save_every, steps), 0
    found = None if state is None else load_part(state, team, made_from)
    if found is not None:
        begin, tensors, told = found
        model.put(tensors)
        losses, choice.validations = list(told["losses"]), [(int(s), float(v)) for s, v in told["validations"]]
        choice.chosen, least = int(told["chosen"]), told["least"]
        choice.least = float("inf") if least is None else float(least)
    for step in range(begin, steps):
        batch = [train[i] for i in order[step]]
        losses.append(model.backward(batch, each, together, weights))
        if not np.isfinite(losses[-1]):
            raise GlotmixError(f"training loss not finite at step {step}")
        model.step(learning_rate(step, steps, settings), settings.clip)
        done = step + 1
        if not choice.due(done):
            continue
        if choice.takes(done, model.loss(validation, together) if validation else None):
            model.keep()
        if state is not None and done != steps:
            progress = {"losses": losses, "validations": choice.validations}
            progress |= {"chosen": choice.chosen, "least": choice.least}
            save_part(state, team, done, model.tensors(), made_from, progress)
    model.write(directory, tokenizer)
    if state is not None:
        drop(state, team)
    return History(tuple(losses), tuple(choice.validations), choice.chosen)


class Sharded:
    """A model whose weights lie in parts on the devices of a team."""

    def __init__(self, base: str | Path, settings: Finetuning, team: Team, pad: int, *, half: bool | None = None):
        """
        Args:
            base: directory or hub name of the model.
            settings: adapters, precision, moments.
            team: processes that hold it together.
            pad: token that fills batches up.
            half: whether layers compute in bf16; default as the settings say, on a GPU.
        """
        self.base, self.settings, self.team, self.pad = base, settings, team, pad
        self.device = torch.device(team.device)
        on_gpu = self.device.type == "cuda"
        self.half = on_gpu and settings.precision == "bfloat16" if half is None else half
        if not dist.is_initialized():  # a group of one, where nobody else is there
            backend = "nccl" if on_gpu else "gloo"
            store = torch._C._distributed_c10d.HashStore()
            dist.init_process_group(backend, store=store, rank=0, world_size=team.size)
        self.model = self._sharded()
        # Held on to: while a layer's weights are together, the model shows those in place of the parts.
        self.trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.own = {name: p.to_local() for name, p in self.trained.items()}
        self.optimiser = open_optimiser(self._views(), settings)
        self.norm = 0.0
        """Of the last update's gradient over all processes, before it was clipped."""
        self.kept: dict[str, Tensor] = {}
        """This process's parts of the best checkpoint's trained weights, on the CPU."""

    def _views(self) -> list[torch.nn.Parameter]:
        """This process's parts of the trained weights, as parameters that an optimiser of plain tensors takes."""
        self.parts = {name: torch.nn.Parameter(local) for name, local in self.own.items()}
        return list(self.parts.values())

    def _sharded(self) -> Any:
        """The base model's weights, spread over the team by the process that reads them."""
        try:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
            from torch.distributed.tensor import distribute_tensor
            from transformers import AutoConfig
            from trl.trainer.utils import add_fused_lm_head
        except ImportError as error:
            raise MissingExtra(str(error.name), "posttrain") from None
        settings, team = self.settings, self.team
        # Weights that are trained are fp32, whatever the file has.
        frozen = torch.bfloat16 if self.half and settings.adapts else torch.float32
        there = None
        if team.leads:
            there = load_model(self.base, "cpu", None)
            if settings.adapts:
                torch.manual_seed(SEED)
                there = with_adapters(there, settings)
        with torch.device("meta"):
            plain = Architecture(AutoConfig.from_pretrained(str(self.base), trust_remote_code=False)).whole(frozen)
            model = with_adapters(plain, settings) if settings.adapts else plain
        add_fused_lm_head(plain)
        policy = MixedPrecisionPolicy(torch.bfloat16 if self.half else None, torch.float32)
        mesh = init_device_mesh(self.device.type, (team.size,))
        for module in layers_of(plain):
            fully_shard(module, mesh=mesh, mp_policy=policy)
        fully_shard(model, mesh=mesh, mp_policy=policy)
        model.to_empty(device=self.device)
        theirs = {} if there is None else {**dict(there.named_parameters()), **dict(there.named_buffers())}
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                whole = torch.empty(parameter.shape, dtype=parameter.dtype, device=self.device)
                if there is not None:
                    whole.copy_(theirs[name])
                parameter.to_local().copy_(distribute_tensor(whole, mesh, parameter.placements).to_local())
            for name, buffer in model.named_buffers():  # what is not in the file (frequencies, say) was computed there
                if there is not None:
                    buffer.copy_(theirs[name])
                dist.broadcast(buffer, 0)
        del there, theirs
        gc.collect()  # a model refers to itself, and this one is as large as all parts together
        if settings.recompute_activations:
            plain.activation_checkpointing_enable({"use_reentrant": False})
        return model.train()

    def nats(self, part: Sequence[Encoded], weights: Mapping[str, float] | None = None) -> Tensor:
        """Loss of some samples' learnt tokens together, weighted by language."""
        ids_BT, mask_BT = (torch.from_numpy(x).to(self.device) for x in padded(part, self.pad))
        labels_BT = ids_BT.masked_fill(~mask_BT, IGNORED)
        nats_BT = -self.model(input_ids=ids_BT, labels=labels_BT, fused_lm_head=True).log_probs
        if weights is not None:
            nats_BT = nats_BT * torch.tensor([[weights.get(sample.language, 0.0)] for sample in part]).to(nats_BT)
        total: Tensor = nats_BT.sum()
        return total

    def backward(
        self, batch: Sequence[Encoded], each: int, together: int, weights: Mapping[str, float] | None = None
    ) -> float:
        """Add the gradient of a batch's loss; the loss, nats per answer token of the whole batch.

        Args:
            batch: of all processes together.
            each: samples of each process.
            together: of those, samples that go through at once.
            weights: loss weight of each language.
        """
        learnt = sum(int(sample.mask[1:].sum()) for sample in batch)
        mine = batch[self.team.rank * each : (self.team.rank + 1) * each]
        total = 0.0
        for start in range(0, each, together):
            loss = self.nats(mine[start : start + together], weights) / learnt
            (loss * self.team.size).backward()  # gradients are averaged over the processes
            total += float(loss.detach())
        return self.team.total(total)

    @torch.no_grad()
    def loss(self, samples: Sequence[Encoded], together: int) -> float:
        """Mean loss per answer token over samples, shared out so that every process makes the same number of passes."""
        learnt = sum(int(sample.mask[1:].sum()) for sample in samples)
        self.model.eval()
        total, stride = 0.0, self.team.size * together
        nothing = Encoded(samples[0].ids, np.zeros(len(samples[0]), bool), samples[0].language)
        for start in range(0, len(samples), stride):
            begin = start + self.team.rank * together
            part = [*samples[begin : min(begin + together, start + stride)]]
            total += float(self.nats(part or [nothing]))
        self.model.reshard()  # without a backward pass what stands around the layers would stay together
        self.model.train()
        return self.team.total(total) / learnt

    @torch.no_grad()
    def step(self, rate: float, clip: float) -> None:
        """One update by the gradients that were added, clipped by their norm over all processes."""
        gradients: list[Tensor] = []
        for name, parameter in self.trained.items():
            if parameter.grad is not None:
                assert parameter.to_local().data_ptr() == self.parts[name].data_ptr()
                gradients.append(parameter.grad.to_local())
                self.parts[name].grad = gradients[-1]
        norms = torch.stack([torch.linalg.vector_norm(g, dtype=torch.float64) for g in gradients])
        self.norm = self.team.total(float(norms.square().sum())) ** 0.5
        if (scale := clip / (self.norm + 1e-6)) < 1:
            torch._foreach_mul_(gradients, scale)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        for parameter in (*self.trained.values(), *self.parts.values()):
            parameter.grad = None

    def keep(self) -> None:
        """Remember the trained weights as they are."""
        self.kept = {name: local.detach().to("cpu", copy=True) for name, local in self.own.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Everything of this process that a run goes on from."""
        found = {f"weight.{name}": local for name, local in self.own.items()}
        found |= {f"kept.{name}": local for name, local in self.kept.items()}
        for i, state in self.optimiser.state_dict()["state"].items():
            found |= {f"moment.{i}.{name}": torch.as_tensor(value) for name, value in state.items()}
        return found

    @torch.no_grad()
    def put(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` gave."""
        every = [(group, p) for group in self.optimiser.param_groups for p in group["params"]]
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "weight":
                self.own[rest].copy_(tensor)
            elif kind == "kept":
                self.kept[rest] = tensor
            else:
                # Not through load_state_dict, which would give every moment the weights' own precision.
                i, _, moment = rest.partition(".")
                group, p = every[int(i)]
                there = moment != "step" or group.get("fused")
                value = tensor.to(self.device) if there else tensor
                self.optimiser.state[p][moment] = value if value.is_floating_point() or value.ndim else int(value)

    @torch.no_grad()
    def write(self, directory: Path, tokenizer: Any) -> None:
        """Write the checkpoint that was kept: its parts come together one tensor after the other."""
        dtype = torch.bfloat16 if self.half else torch.float32  # answers are given in the same
        whole: dict[str, Tensor] = {}
        for name, parameter in self.trained.items():
            self.own[name].copy_(self.kept[name])
            tensor = parameter.full_tensor()
            if self.team.leads:
                whole[name] = tensor.to("cpu", dtype)
        if self.team.leads:
            write_trained(self.base, self.settings, whole, directory, dtype)
            tokenizer.save_pretrained(directory)
        self.team.wait()


def layers_of(model: Any) -> list[Any]:
    """Modules of a transformers model that come together as a whole: its layers."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    found = [module for module in model.modules() if type(module).__name__ in names]
    if not found:
        raise BadInput(f"{type(model).__name__} does not tell its layers", where="bases", expected="engine: trl")
    return found


def footprint(
    stage: str,
    architecture: Architecture,
    settings: Finetuning,
    devices: int,
    *,
    tokens: float,
    half: bool | None = None,
) -> Footprint:
    """What :func:`finetune_sharded` holds on each device with samples as long as the context, and computes on all.

    Args:
        stage: what it is called.
        architecture: of the model.
        settings: of the fine-tuning.
        devices: that share a model.
        tokens: that all models read, repetitions counted.
        half: whether layers compute in bf16; default as the settings say, on a GPU.

    Raises:
        BadInput: a batch that does not part over the devices.
    """
    each, samples = settings.shared(devices)
    half = settings.precision == "bfloat16" if half is None else half
    change = partial(with_adapters, settings=settings) if settings.adapts else unchanged
    every, learnt = architecture.parted(change), architecture.parted(change, trained=True)
    trained, layers = learnt.bytes(architecture.layers), architecture.layers
    frozen = every.bytes(layers) - trained
    dtype, length = torch.bfloat16 if half else torch.float32, settings.context
    recomputed = settings.recompute_activations
    size, head = dtype.itemsize, 0.0 if settings.adapts else float(architecture.vocab * architecture.width)
    state = samples * length * architecture.width * size
    held = architecture.held(samples, length, dtype, change=change)
    activations = held.bytes(layers, boundary=state if recomputed else 0)
    inputs = held.around + layers * (state if recomputed else held.layer)  # before a layer is computed again
    together = size * (every.around + 2 * every.layer)  # weights around the layers, of one layer and of the next
    again = each > samples  # a pass finds the sums of those before it
    summed = 4 * (1 + again / devices)  # gradients are copied to fp32, and this device's part of their sum comes back
    largest = max(
        # What stands around the layers comes together, once as it is sent and once in its place.
        size * (2 + (half and not settings.adapts) / devices) * every.around,
        # The loss leaves the output matrix's gradient in fp32, and as the weights are.
        together - size * every.layer + (4 + size * half) * head + inputs,
        # A layer is computed again and has its gradients, while those of the layer behind it are summed.
        together + size * (head + learnt.layer) + summed * learnt.layer + activations,
        # A table that is the output matrix too adds one gradient to the other.
        size * (every.around + (3 * head if architecture.config.tie_word_embeddings else 0)),
        # At the end gradients of what stands around the layers are summed, whose weights have parted by then.
        (size + summed) * learnt.around,
    )
    tile = min(samples * length, TILE[0]) * TILE[1] * size
    passes = (2 if settings.adapts else 3) + recomputed
    return Footprint(
        stage,
        weights=(4 * trained + (2 if half else 4) * frozen) / devices + together,
        gradients=4 * trained / devices + max(0.0, largest - together - activations),
        optimiser=MOMENT_BYTES[settings.moments] * trained / devices,
        activations=activations,
        logits=tile + 4 * samples * length * architecture.width,
        flops=passes * tokens * architecture.forward_flops(length),
        devices=devices,
        smaller="more sweep.devices_per_run, finetuning.moments: bfloat16, a smaller finetuning.micro_batch or context",
    )
