"""In-run data Shapley in anybody's training: who lowered whose held-out loss, measured while a PyTorch model trains.

The values are those of :mod:`glotmix.attribution.inrun`: ``φ = η c ⟨∇L_target / (√v̂ + ε), G_source⟩``, with the rate,
betas, epsilon and second moments that the optimiser itself holds. ``G_source`` is caught in the training's own passes
(:mod:`glotmix.attribution.by_source`), ``c`` is whatever lies between the sum of what was caught and the gradient that
the optimiser is given: clipping, the mean over processes, a scaler. Where these two do not point the same way, a layer
was misread, and that is a named error.

Over processes every figure is a sum of products of what each process holds, so only those figures travel, besides the
gradients that FSDP2 shards. See :class:`Held` for what counts how often.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.tensor import DTensor, Replicate

from glotmix.attribution.by_source import SourceGradients
from glotmix.attribution.factors import block_products
from glotmix.attribution.gradients import Loss, chosen_parameters, evaluating
from glotmix.attribution.inrun import UNSETTLED, Target, is_looked_at, values
from glotmix.attribution.samples import next_token_loss
from glotmix.errors import BadInput
from glotmix.transfer.matrix import TransferMatrix

AGREEMENT = 1e-2
"""Largest difference, by a parameter's gradient, between what the optimiser is given and what was caught. In bf16 both
are rounded."""
NEGLIGIBLE = 1e-3
"""Share of the whole gradient below which a parameter's is rounding: a key's bias, which the softmax does not see."""


@dataclass(frozen=True)
class Held:
    """A parameter, and how often the sums over processes meet what this process holds of it."""

    name: str
    """Name in the model."""
    parameter: nn.Parameter
    """The parameter."""
    group: Mapping[str, Any]
    """Its group of the optimiser: rate, betas, epsilon."""
    product: float
    """Weight of a product with the caught gradients. Data parallel processes each hold a part of these: 1. Tensor
    parallel ones hold different entries (1) or, of parameters that are not split, the same ones (1 / processes)."""
    square: float
    """Weight of a product without them, of gradients that data parallel processes hold alike: 1 / copies."""

    def gradient(self) -> Tensor:
        """What the optimiser is given, flattened, in fp32: the entries that this process holds."""
        found = getattr(self.parameter, "main_grad", None)  # where Megatron adds gradients up
        return _local(self.parameter.grad if found is None else found).float().flatten()


class InRunShapley:
    """Values of one training: :meth:`reads` before every forward pass, :meth:`before_update` before every update.

    ::

        shapley = InRunShapley(model, optimizer, targets, sources)
        for batch in loader:
            shapley.reads(batch["language"])      # of every micro-batch
            loss_of(model, batch).backward()
            clip_grad_norm_(model.parameters(), 1.0)
            shapley.before_update()
            optimizer.step()
            optimizer.zero_grad()
        shapley.matrix()

    Updates that are not looked at cost nothing, and those that are change no number of the training.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        targets: Mapping[str, Target],
        sources: Sequence[str],
        *,
        every: int = 10,
        preconditioned: bool = True,
        parameters: str | Sequence[str] = "all",
        loss: Loss = next_token_loss,
        windows: int = 8,
        updates: int = 0,
        data_group: Any = None,
        tensor_group: Any = None,
    ):
        """
        Args:
            model: that is trained; what is inside DistributedDataParallel, if it is wrapped. FSDP2 (``fully_shard``)
                changes a model in place.
            optimizer: its Adam or AdamW.
            targets: held-out text by language, :func:`glotmix.attribution.inrun.targets_of`.
            sources: names of what is trained on, in the order of the numbers that ``reads`` gets.
            every: updates between two looks, each of which stands for as many; the first five are not looked at in the
                form for Adam.
            preconditioned: the form for Adam; False is the published one, for SGD, and takes any optimiser.
            parameters: whose gradients count, see :func:`glotmix.attribution.gradients.chosen_parameters`.
            loss: of a target's windows, [B] nats per token, called with the model and ``{"input_ids": [B, S]}``.
            windows: of a target in one pass.
            updates: done before, where a training goes on.
            data_group: processes that read different sequences; default all, where torch.distributed is in use and no
                ``tensor_group`` is given.
            tensor_group: processes that hold parts of each layer. Parameters with ``tensor_model_parallel`` are split,
                as in Megatron-LM; those with ``sequence_parallel`` have gradients that are summed over the group.

        Raises:
            BadInput: nothing to measure, a wrapped model, an optimiser without Adam's second moments.
        """
        if not targets or not sources:
            raise BadInput(f"{len(targets)} targets and {len(sources)} sources", expected="at least one of each")
        if every < 1:
            raise BadInput(f"every = {every}", expected="1 or more updates")
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            raise BadInput(f"model is wrapped in {type(model).__name__}", expected="model.module")
        self.model, self.targets, self.sources, self.updates = model, dict(targets), tuple(sources), updates
        self._optimizer = getattr(optimizer, "optimizer", optimizer)  # accelerate's wrapper
        self._every, self._preconditioned, self._loss, self._windows = every, preconditioned, loss, windows
        in_use = dist.is_available() and dist.is_initialized()
        everyone = dist.group.WORLD if in_use and tensor_group is None else None
        self._groups = [group for group in (data_group or everyone, tensor_group) if group is not None]
        self._held = _held(chosen_parameters(model, parameters), self._optimizer, data_group or everyone, tensor_group)
        if preconditioned:
            _check_adam(self._optimizer)
        self._caught = SourceGradients(model, {held.name: held.parameter for held in self._held}, len(self.sources))
        self._sum_TL = np.zeros((len(self.targets), len(self.sources)))
        self._losses: list[list[float]] = []
        self._checked = False

    @property
    def looks(self) -> bool:
        """Whether the update that is being prepared is looked at."""
        return is_looked_at(self.updates, self._every, self._settled(), self._preconditioned)

    @property
    def measured(self) -> int:
        """Updates that were looked at."""
        return len(self._losses)

    def reads(self, sources: Sequence[str] | Sequence[int] | Tensor) -> None:
        """Tell the source of each sequence that the next forward pass reads, by name or number.

        Raises:
            BadInput: none of the sources.
        """
        if not self.looks:
            return
        given: list[Any] = sources.tolist() if isinstance(sources, Tensor) else list(sources)
        number: dict[Any, int] = {name: i for i, name in enumerate(self.sources)}
        number |= {i: i for i in range(len(self.sources))}
        if unknown := [x for x in given if x not in number]:
            expected = f"among {', '.join(self.sources)}, or their numbers from 0"
            raise BadInput(f"training sequences of {unknown[0]}", expected=expected)
        self._caught.reads(torch.tensor([number[x] for x in given], dtype=torch.long))

    def before_update(self) -> None:
        """Between clipping and ``optimizer.step()``: look, if this update is one that is looked at.

        Raises:
            BadInput: no sequence was told of by ``reads``, or a parameter whose gradient is not what hooks caught.
        """
        if self.looks:
            self._look(self._caught.take())
        self.updates += 1

    def matrix(self) -> TransferMatrix:
        """Held-out bits per byte that each source took off each target, to first order.

        Raises:
            BadInput: nothing was measured.
        """
        if not self._losses:
            least = UNSETTLED + self._every if self._preconditioned else self._every
            raise BadInput("no update was measured", expected=f"a training of {least} updates or more")
        loss_RT = np.array(self._losses)
        return values(tuple(self.targets), self.sources, self._sum_TL, loss_RT, self._every, self._preconditioned)

    def state_dict(self) -> dict[str, Any]:
        """What was measured so far, as plain numbers."""
        names = {"targets": list(self.targets), "sources": list(self.sources), "every": self._every}
        return names | {"updates": self.updates, "sum": self._sum_TL.tolist(), "losses": self._losses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what another process had measured.

        Raises:
            BadInput: of other targets, sources or looks.
        """
        for key, value in self.state_dict().items():
            if key in ("targets", "sources", "every") and state.get(key) != value:
                raise BadInput(f"values with {key} = {state.get(key)}", expected=f"{value}, as here")
        self.updates, self._losses = int(state["updates"]), [list(map(float, row)) for row in state["losses"]]
        self._sum_TL = np.array(state["sum"], float)

    def _settled(self) -> int:
        """Updates that the optimiser has made since its moments were zero."""
        steps = [state["step"] for state in self._optimizer.state.values() if "step" in state]
        return int(steps[0]) if steps else 0

    @torch.no_grad()
    def _look(self, caught: dict[str, Tensor]) -> None:
        if not caught:
            raise BadInput("no gradient was caught", expected="reads() before each forward pass of an uncompiled model")
        looked = [held for held in self._held if held.name in caught]
        factor = self._factor(looked, caught)
        if not np.isfinite(factor):
            return  # an update that a loss scaler is about to skip
        for held in looked:
            scale_P = held.group["lr"] * factor
            if self._preconditioned:
                scale_P = scale_P * _preconditioner(self._optimizer.state[held.parameter], held)
            caught[held.name].mul_(scale_P)
        rows = [self._target(target, looked, caught) for target in self.targets.values()]
        self._sum_TL += self._every * self._summed(np.array([value_L for value_L, _ in rows]))
        self._losses.append([loss for _, loss in rows])

    def _target(self, target: Target, looked: Sequence[Held], caught: Mapping[str, Tensor]) -> tuple[np.ndarray, float]:
        """A target's part of the values, [L], and its loss, both in bits per byte."""
        kept = [(held.parameter, held.parameter.grad) for held in self._held]
        device = next(iter(caught.values())).device
        loss = 0.0
        try:
            for parameter, _ in kept:
                parameter.grad = None
            with evaluating(self.model), torch.enable_grad():
                for tokens_BS in target.tokens_BS.split(self._windows):
                    share = len(tokens_BS) / len(target.tokens_BS)
                    mean = share * self._loss(self.model, {"input_ids": tokens_BS.to(device)}).mean()
                    mean.backward()
                    loss += float(mean.detach())
            value_L = np.zeros(len(self.sources))
            for held in looked:
                if held.parameter.grad is not None:
                    gradient_P = _local(held.parameter.grad).float().flatten()
                    value_L += held.product * block_products(caught[held.name], gradient_P).cpu().numpy()
        finally:
            for parameter, gradient in kept:
                parameter.grad = gradient
        return value_L * target.bits_per_nat, loss * target.bits_per_nat

    def _factor(self, looked: Sequence[Held], caught: Mapping[str, Tensor]) -> float:
        """``c``: what the sum of the caught gradients is multiplied with before the optimiser gets it."""
        found = np.zeros((len(looked), 4))
        for row, held in zip(found, looked, strict=True):
            gradient_P, sum_P = held.gradient(), caught[held.name].sum(0)
            # Two directions tell whether they are the same: the gradient itself, and one with signs that alternate.
            other_P = gradient_P.clone()
            other_P[::2].neg_()
            for i, direction_P in enumerate((gradient_P, other_P)):
                both_2 = block_products(torch.stack([gradient_P, sum_P]), direction_P).cpu().numpy()
                row[2 * i : 2 * i + 2] = both_2 * (held.square, held.product)
        square_P, along_P, other_P, other_along_P = self._summed(found).T
        factor = float(square_P.sum() / along_P.sum())
        if np.isfinite(factor) and not self._checked:
            least_P = np.maximum(square_P, NEGLIGIBLE**2 * square_P.sum())
            # One misread layer turns the whole factor; most layers' is right all the same.
            usual = float(np.median((square_P / along_P)[square_P == least_P]))
            off_P = np.maximum(np.abs(square_P - usual * along_P), np.abs(other_P - usual * other_along_P))
            if (off_P > AGREEMENT * least_P).any():
                worst = looked[int(np.argmax(off_P / least_P))].name
                raise BadInput(
                    "the gradient that the optimiser is given is not what its module's inputs and outputs tell",
                    where=f"parameter {worst}",
                    expected="modules called on the batch, by their own forward, and reads() before every forward pass",
                )
            self._checked = True
        return factor

    def _summed(self, values: np.ndarray) -> np.ndarray:
        """Over the processes."""
        if not self._groups:
            return values
        total = torch.from_numpy(np.ascontiguousarray(values)).to(_local(self._held[0].parameter).device)
        for group in self._groups:
            dist.all_reduce(total, group=group)
        return np.asarray(total.cpu().numpy())


def _held(parameters: Mapping[str, nn.Parameter], optimizer: Any, data_group: Any, tensor_group: Any) -> list[Held]:
    copies = 1 if data_group is None else dist.get_world_size(data_group)
    parts = 1 if tensor_group is None else dist.get_world_size(tensor_group)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    found = []
    for name, parameter in parameters.items():
        if id(parameter) not in groups:
            continue
        if isinstance(parameter, DTensor):  # whose caught gradients are summed over its mesh
            sizes = zip(parameter.placements, parameter.device_mesh.shape, strict=True)
            product = square = 1 / math.prod(size for place, size in sizes if isinstance(place, Replicate))
        else:
            split = getattr(parameter, "tensor_model_parallel", False)
            summed = split or getattr(parameter, "sequence_parallel", False)
            product = 1.0 if summed else 1 / parts
            square = 1 / copies if split else 1 / (copies * parts)
        found.append(Held(name, parameter, groups[id(parameter)], product, square))
    if not found:
        raise BadInput("the optimizer has none of the model's parameters", expected="the optimizer that trains it")
    return found


def _check_adam(optimizer: Any) -> None:
    for group in optimizer.param_groups:
        lacking = [key for key in ("betas", "eps") if key not in group]
        if lacking or group.get("amsgrad"):
            kind = type(optimizer).__name__ + (" with amsgrad" if not lacking else "")
            raise BadInput(f"{kind} does not step as Adam does", expected="Adam or AdamW, or preconditioned=False")


def _preconditioner(state: Mapping[str, Any], held: Held) -> Tensor:
    """``1 / (√v̂ + ε)`` of the update that is about to be made, with v̂ as it will be after this gradient, [P]."""
    if not isinstance(state.get("exp_avg_sq"), Tensor):
        expected = "torch's Adam or AdamW, or preconditioned=False"
        raise BadInput("the optimiser holds no second moment", where=f"parameter {held.name}", expected=expected)
    beta2, gradient_P = held.group["betas"][1], held.gradient()
    after_P = _local(state["exp_avg_sq"]).float().flatten() * beta2
    after_P.addcmul_(gradient_P, gradient_P, value=1 - beta2)
    correction = 1 - beta2 ** (int(state["step"]) + 1)
    found_P: Tensor = after_P.div_(correction).sqrt_().add_(float(held.group["eps"])).reciprocal_()
    return found_P


def _local(tensor: Any) -> Tensor:
    """What this process holds of a tensor."""
    found: Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return found
