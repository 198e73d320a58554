"""Guide: the one hook through which loss weights and adaptive methods steer runs while they train.

It takes the place of the plain backward pass: weighs the losses, shows each method what it needs to see
(:class:`glotmix.mixture.adaptives.Observation`), and counts what the looking costs in FLOPs. What a method asks for is
sampled from then on by :class:`glotmix.mixture.samplers.adaptive.AdaptiveSampler`, through the loader. Runs without
weights or method may be in the same stack; a stack without any has no controller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glotmix.errors import BadInput
from glotmix.mixture.adaptives.adaptive import Adaptive, Observation
from glotmix.proxy import flops, model
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.model import Parameters, Shape
from glotmix.proxy.parallel import ALONE, Team
from glotmix.proxy.run import StackRun, steps_of
from glotmix.proxy.stack import Stack

LOOK = 4
"""Sequences of each language from which methods that read gradients estimate them."""
RECORDED = 50
"""Times in a run that a method's mixture is noted down."""


class MixtureController:
    """Steers the members of one stack. Give it to ``train_stack`` together with the batches it was made with."""

    def __init__(
        self,
        runs: Sequence[StackRun],
        batches: MixtureBatches,
        shape: Shape,
        training: ProxyConfig,
        *,
        references: Mapping[str, Parameters] | None = None,
        development: Mapping[str, np.ndarray] | None = None,
    ):
        """
        Args:
            runs: members of the stack.
            batches: what they read; draws by the methods' mixtures.
            shape: of the proxies.
            training: batch, context and the rest.
            references: run to the weights (K = 1) of its reference model, for methods that read ``excess``.
            development: language to token ids [n, T + 1] that no run is trained or judged on, for methods that read
                ``cosine``.

        Raises:
            BadInput: a method lacks its reference or development text, or one that acts on the gradients at hand
                (GradVac) shares its stack.
        """
        self.batches, self.shape, self.training, self.targets = batches, shape, training, batches.targets
        self._per_sequence = training.context * flops.per_token(shape, training.context)
        self._at_once = [run.adaptive for run in runs if run.adaptive is not None and run.adaptive.applies_at_once]
        if self._at_once and len(runs) > 1:
            raise BadInput(f"{self._at_once[0].name} in a stack of {len(runs)}", expected="a run of its own")
        self.members = [
            _Guided(k, run, self, (references or {}).get(run.run), development) for k, run in enumerate(runs)
        ]

    def backward(self, stack: Stack, step: int, tokens_KBS: Tensor, team: Team = ALONE) -> Tensor:
        """The stack's gradients of a step (from 0), weighted, and each method's update; the losses, [K].

        Of a team every process computes its part of the batch; what methods observe is put together, so that all of
        them decide alike. The gradients are still to be averaged over the team.
        """
        if self._at_once:
            return self.members[0].backward_by_language(stack, step, tokens_KBS[0], team)
        weight_KB = torch.tensor([member.weights(step) for member in self.members], dtype=torch.float32)
        part_KBS, part_KB = team.part(tokens_KBS), team.part(weight_KB).to(stack.device)
        if self.targets is None:
            loss_KBT = stack.backward_weighted(part_KBS, part_KB)
        else:
            learnt_KBT = self.targets.weights(part_KBS)
            loss_KBT = stack.backward_weighted(part_KBS, part_KB.unsqueeze(-1) * learnt_KBT) * learnt_KBT
        for member in self.members:
            if member.adaptive is not None:
                member.observe(stack, step, part_KBS[member.k], loss_KBT[member.k], team)
        return team.mean_(loss_KBT.mean((1, 2)))

    def sequence_flops(self, forward_only: float = 0.0, both: float = 0.0) -> float:
        """FLOPs of so many sequences through the model, forward or forward and backward."""
        return self._per_sequence * (both + forward_only / 3)

    def flops(self, k: int) -> float:
        """What a run's method has cost beside the training itself."""
        return self.members[k].flops

    def record(self, k: int) -> dict[str, Any]:
        """Method, its resulting mixture, its mixture and weights over the run, and its FLOPs; empty without one."""
        return self.members[k].record()

    def state(self) -> dict[str, Any]:
        """Everything that has changed since the start, as JSON."""
        return {"members": [member.state() for member in self.members], "batches": self.batches.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        for member, stored in zip(self.members, state["members"], strict=True):
            member.restore(stored)
        self.batches.restore(state["batches"])


class _Guided:
    """One run: what its method has seen since its last update."""

    def __init__(
        self,
        k: int,
        run: StackRun,
        guide: MixtureController,
        reference: Parameters | None,
        development: Mapping[str, np.ndarray] | None,
    ):
        self.k, self.run, self.guide, self.adaptive = k, run, guide, run.adaptive
        self.flops, self._number = 0.0, 0
        self._path: list[list[Any]] = []
        self._sums: dict[str, dict[str, float]] = {"loss": {}, "excess": {}, "sequences": {}}
        self._reference, self._development = reference, development or {}
        self._note_every = max(1, steps_of(run.tokens, guide.training) // RECORDED)
        if run.adaptive is not None:
            self._check(run.adaptive)

    def _check(self, adaptive: Adaptive) -> None:
        if "excess" in adaptive.needs and self._reference is None:
            raise BadInput(f"{adaptive.name} without a reference model", where=self.run.run, expected="its weights")
        missing = [name for name in adaptive.languages if not len(self._development.get(name, ()))]
        if "cosine" in adaptive.needs and missing:
            raise BadInput(
                f"{adaptive.name} without development text of {', '.join(missing)}",
                where=self.run.run,
                expected=f"at least {self.guide.training.context + 1} held-out tokens that are not measured on",
            )

    def weights(self, step: int) -> list[float]:
        """Weight of every sequence of a step, [B]."""
        weighting = self.run.weighting if self.adaptive is None else self.adaptive.weighting
        languages_B = self.guide.batches.languages_of(self.k, step)
        return [1.0] * len(languages_B) if weighting is None else [weighting[name] for name in languages_B]

    def observe(self, stack: Stack, step: int, tokens_BS: Tensor, loss_BT: Tensor, team: Team) -> None:
        """Add a step to what was seen, and let the method learn from it when its time has come."""
        assert self.adaptive is not None
        needs, every = self.adaptive.needs, self.adaptive.cost.every
        languages_B = self.guide.batches.languages_of(self.k, step)
        self._add("sequences", languages_B, [1.0] * len(languages_B))
        self._add("loss", languages_B, team.whole(loss_BT.mean(1)).tolist())
        if "excess" in needs:
            assert self._reference is not None
            # In the precision of the losses it is compared with: the excess is of the size of bf16's rounding.
            like = {name: tensor.to(stack.dtype) for name, tensor in self._reference.items()}
            reference_BT = model.token_losses(like, tokens_BS.unsqueeze(0), self.guide.shape)[0]
            if self.guide.targets is not None:
                reference_BT = reference_BT * self.guide.targets.weights(tokens_BS)
            excess_B = team.whole((loss_BT - reference_BT).clamp(min=0).mean(1))
            self._add("excess", languages_B, excess_B.tolist())
            self.flops += self.guide.sequence_flops(forward_only=len(languages_B))
        if (step + 1) % every == 0:
            looked = self._looked(stack, team) if needs & {"square_norm", "variance", "cosine"} else {}
            self._update(step, **looked)

    def backward_by_language(self, stack: Stack, step: int, tokens_BS: Tensor, team: Team) -> Tensor:
        """For a method that weighs the very gradients it saw: one backward pass per language, then their sum.

        What it sees of a language is that language's part of the batch's gradient, ``Σ_{b in l} ∇loss_b / B``.
        """
        assert self.adaptive is not None
        languages_B = self.guide.batches.languages_of(self.k, step)
        present = [name for name in self.adaptive.languages if name in languages_B]
        mine_B = team.part(torch.arange(len(languages_B)).unsqueeze(0))[0].tolist()
        parts, total = {}, torch.zeros(1, device=stack.device)
        for name in present:
            rows = [b for b in mine_B if languages_B[b] == name]
            share = len(rows) / len(mine_B)
            if rows:
                loss, gradients = self._gradients(stack, tokens_BS[rows])
                parts[name], total = [share * g.float() for g in gradients], total + share * loss
            else:  # none of this process's sequences, but some of the team's
                parts[name] = [torch.zeros_like(g, dtype=torch.float32) for g in stack.gradients]
            parts[name] = [team.mean_(g) for g in parts[name]]
        total = team.mean_(total)
        gram = {one: {other: _product(parts[one], parts[other]) for other in present} for one in present}
        self._update(step, gram=gram)
        weighting = self.adaptive.weighting
        for name in present:
            weight = 1.0 if weighting is None else weighting[name]
            stack.add([weight * g for g in parts[name]])
        return total

    def _add(self, what: str, languages_B: Sequence[str], values_B: Sequence[float]) -> None:
        sums = self._sums[what]
        for name, value in zip(languages_B, values_B, strict=True):
            sums[name] = sums.get(name, 0.0) + value

    def _update(self, step: int, **looked: Any) -> None:
        assert self.adaptive is not None
        count = self._sums["sequences"]
        loss, excess = ({n: v / count[n] for n, v in self._sums[what].items()} for what in ("loss", "excess"))
        sequences = {name: int(value) for name, value in count.items()}
        self.adaptive.update(Observation(step + 1, loss, excess, sequences, **looked))
        self._sums = {what: {} for what in self._sums}
        if (step + 1) % self._note_every < self.adaptive.cost.every:
            weighting = self.adaptive.weighting
            self._path.append([step + 1, self.adaptive.mixture.to_json(), dict(weighting) if weighting else None])

    def _looked(self, stack: Stack, team: Team) -> dict[str, Mapping[str, Any]]:
        """What gradients of ``LOOK`` fresh training sequences of each language say.

        A few sequences do not part well: every process of a team looks at all, and their mean is what all go by.
        """
        assert self.adaptive is not None
        languages, needs = self.adaptive.languages, self.adaptive.needs
        number, self._number = self._number, self._number + 1
        sample = {name: self.guide.batches.sample(self.k, name, number, LOOK) for name in languages}
        if "cosine" in needs:
            training = {name: self._seen_gradients(stack, sample[name]) for name in languages}
            held = {name: self._seen_gradients(stack, self._turn(name, number)) for name in languages}
            found_LL = _agreed([[_cosine(training[one], held[m]) for m in languages] for one in languages], team)
            return {
                "cosine": {
                    one: dict(zip(languages, row, strict=True)) for one, row in zip(languages, found_LL, strict=True)
                }
            }
        found_L2 = _agreed([self._moments(stack, sample[name]) for name in languages], team)
        return {
            what: dict(zip(languages, values, strict=True))
            for what, values in zip(("square_norm", "variance"), zip(*found_L2, strict=True), strict=True)
        }

    def _turn(self, name: str, number: int) -> np.ndarray:
        """The ``number``-th ``LOOK`` windows of a language's development text, round and round."""
        text = self._development[name]
        return text[(number * LOOK + np.arange(LOOK)) % len(text)]

    def _seen_gradients(self, stack: Stack, tokens_BS: np.ndarray) -> list[Tensor]:
        self.flops += self.guide.sequence_flops(both=len(tokens_BS))
        return self._gradients(stack, torch.from_numpy(tokens_BS.astype(np.int64)).to(stack.device))[1]

    def _gradients(self, stack: Stack, tokens_BS: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Mean loss of sequences under the run's member, [1], and its gradients in the order of the stack's tensors."""
        k, targets, tokens_KBS = self.k, self.guide.targets, tokens_BS.unsqueeze(0)
        leaves = {name: tensor[k : k + 1].detach().requires_grad_() for name, tensor in stack.parameters.items()}
        if targets is None:
            loss_K = model.loss(leaves, tokens_KBS, stack.shape)
        else:
            loss_K, _ = model.weighted_loss(leaves, tokens_KBS, targets.weights(tokens_KBS), stack.shape)
        return loss_K.detach(), list(torch.autograd.grad(loss_K.sum(), list(leaves.values())))

    def _moments(self, stack: Stack, tokens_BS: np.ndarray) -> tuple[float, float]:
        """Unbiased ``‖E g‖²`` and ``tr Cov(g)`` of single-sequence gradients."""
        n = len(tokens_BS)
        each = [self._seen_gradients(stack, row[None]) for row in tokens_BS]
        mean = [sum(tensors) / n for tensors in zip(*each, strict=True)]
        square = _product(mean, mean)
        variance = (sum(_product(one, one) for one in each) - n * square) / (n - 1)
        return square - variance / n, variance

    def record(self) -> dict[str, Any]:
        if self.adaptive is None:
            return {}
        return {
            "method": self.adaptive.name,
            "result": self.adaptive.result.to_json(),
            "path": self._path,
            "flops": self.flops,
        }

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = {"flops": self.flops, "path": self._path, "number": self._number, "sums": self._sums}
        return found | ({"adaptive": self.adaptive.state()} if self.adaptive is not None else {})

    def restore(self, state: Mapping[str, Any]) -> None:
        self.flops, self._path, self._number = float(state["flops"]), list(state["path"]), int(state["number"])
        self._sums = {what: dict(sums) for what, sums in state["sums"].items()}
        if self.adaptive is not None:
            self.adaptive.restore(state["adaptive"])


def _agreed(values: Sequence[Sequence[float]], team: Team) -> list[list[float]]:
    """Numbers that every process worked out for itself, as all of them take them."""
    agreed: list[list[float]] = team.mean_(torch.tensor(values, dtype=torch.float64, device=team.device)).tolist()
    return agreed


def _product(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    return sum(float((a.double() * b.double()).sum()) for a, b in zip(one, other, strict=True))


def _cosine(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    norms = math.sqrt(_product(one, one) * _product(other, other))
    return _product(one, other) / norms if norms > 0 else 0.0
