"""Callbacks of transformers' Trainer: a schedule that resumes at the right sequence, losses that are reported, and
in-run Shapley values."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from glotmix.artifact import read_json, write_json
from glotmix.attribution.inrun import Target
from glotmix.errors import BadInput
from glotmix.live.inrun import InRunShapley
from glotmix.live.reporting import losses_of_trainer, report
from glotmix.live.sampler import GlotmixSampler
from glotmix.live.stream import GlotmixIterableDataset


class MixtureCallback(TrainerCallback):
    """Sets the stream to where the checkpoint stopped, and logs the share of each language.

    The Trainer would otherwise read and throw away everything before the checkpoint; set ``ignore_data_skip=True`` and
    the stream starts there at once, in the same order as without the interruption.
    """

    def __init__(self, data: GlotmixIterableDataset | GlotmixSampler):
        self.data = data
        self._logged = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Start at the sequences that the finished steps have read."""
        if state.global_step and not args.ignore_data_skip:
            raise BadInput(
                "the Trainer would skip the data of the finished steps a second time",
                where="TrainingArguments.ignore_data_skip",
                expected="True with MixtureCallback",
            )
        self._logged = state.global_step * sequences_per_step(args)
        self.data.resume(min(self._logged, self.data.order.total))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **rest: Any) -> None:
        """Add ``share/<language>`` of the sequences read since the last log, to it and to the trainer's history."""
        now = min(state.global_step * sequences_per_step(args), self.data.order.total)
        if logs is not None and now > self._logged:
            counts = self.data.order.counts(self._logged, now)
            shares = {f"share/{language}": count / (now - self._logged) for language, count in counts.items()}
            logs.update(shares)
            # The trainer writes its history from a copy, before callbacks see the log.
            if state.log_history and state.log_history[-1].get("step") == state.global_step:
                state.log_history[-1].update(shares)
            self._logged = now


class ReportCallback(TrainerCallback):
    """Reports the loss of every data set of ``eval_dataset={target: …}``, where `glotmix run` looks for it."""

    def __init__(self, run: str | None = None, results: str | None = None):
        """
        Args:
            run: its full name, with the checksum; default ``GLOTMIX_RUN``, which the handoff's scripts set.
            results: folder of results; default ``GLOTMIX_RESULTS``.
        """
        self.run, self.results = run, results

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **rest: Any
    ) -> None:
        """Called once for each data set, or once for all."""
        losses = losses_of_trainer(metrics or {})
        if losses and state.is_world_process_zero:
            report(self.run, state.global_step, losses, results=self.results)


class InRunShapleyCallback(TrainerCallback):
    """In-run Shapley values of a Trainer's run (:class:`glotmix.live.InRunShapley`), whose batches hold ``language``.

    That is what ``GlotmixIterableDataset(..., with_language=True)`` gives: the number of each sequence's source. It is
    taken out before the model sees it. Values are kept with every checkpoint and, at the end, as
    ``in_run_shapley.json`` in the Trainer's output directory; :meth:`matrix` gives them.
    """

    FILE, STATE = "in_run_shapley.json", "in_run_shapley_state.json"

    def __init__(self, targets: Mapping[str, Target], sources: Sequence[str], *, key: str = "language", **options: Any):
        """
        Args:
            targets: held-out text by language, :func:`glotmix.attribution.inrun.targets_of`.
            sources: names in the order of the batches' numbers.
            key: of a batch's numbers.
            options: further ones of ``InRunShapley``: ``every``, ``preconditioned``, ``loss``, ``windows``.
        """
        self.targets, self.sources, self.key, self.options = targets, sources, key, options
        self.shapley: InRunShapley | None = None
        self._hook: Any = None

    def matrix(self) -> Any:
        """The ``TransferMatrix`` so far.

        Raises:
            BadInput: nothing was measured.
        """
        if self.shapley is None:
            raise BadInput("no training has begun", expected="Trainer.train() with this callback")
        return self.shapley.matrix()

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
        """Watch the model, and go on from a checkpoint's values.

        Raises:
            BadInput: the Trainer would drop the sources, or copies the model over devices within one process.
        """
        if args.remove_unused_columns:
            where = "TrainingArguments.remove_unused_columns"
            raise BadInput(f"the Trainer would drop {self.key!r}", where=where, expected="False with this callback")
        if args.n_gpu > 1:
            raise BadInput(f"{args.n_gpu} GPUs in one process", expected="a process for each, by torchrun")
        self.shapley = InRunShapley(
            model, rest["optimizer"], self.targets, self.sources, updates=state.global_step, **self.options
        )
        before = Path(args.output_dir) / f"checkpoint-{state.global_step}" / self.STATE
        if state.global_step and before.is_file():
            self.shapley.load_state_dict(read_json(before))
        wants = self.key in inspect.signature(model.forward).parameters  # LossWeighting does
        shapley, key = self.shapley, self.key

        def told(module: Any, inputs: tuple[Any, ...], given: dict[str, Any]) -> Any:
            if key in given and module.training and torch.is_grad_enabled():
                shapley.reads(given[key])
            return None if wants else (inputs, {name: value for name, value in given.items() if name != key})

        self._hook = model.register_forward_pre_hook(told, with_kwargs=True)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Look, if this update is one that is looked at."""
        if self.shapley is not None:
            self.shapley.before_update()

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Keep the values with the checkpoint."""
        if self.shapley is not None and state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_json(folder / self.STATE, self.shapley.state_dict())

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Write the matrix; the model is as it was."""
        self._hook.remove()
        if self.shapley is not None and self.shapley.measured and state.is_world_process_zero:
            write_json(Path(args.output_dir) / self.FILE, self.shapley.matrix().to_json())


def sequences_per_step(args: Any) -> int:
    """Sequences of an optimiser step over all devices."""
    return int(args.train_batch_size * args.gradient_accumulation_steps * args.world_size)
