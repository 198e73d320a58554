"""Callbacks of transformers' Trainer: a schedule that resumes at the right sequence, and losses that are reported."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from glotmix.errors import BadInput
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


def sequences_per_step(args: Any) -> int:
    """Sequences of an optimiser step over all devices."""
    return int(args.train_batch_size * args.gradient_accumulation_steps * args.world_size)
