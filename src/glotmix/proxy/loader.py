"""Training data of a stack: which token ids run k reads in step s, for any k and s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture.samplers.adaptive import AdaptiveSampler
from glotmix.mixture.samplers.clones import CloneSampler
from glotmix.mixture.samplers.continued import SamplerInTwo
from glotmix.mixture.samplers.independent import IndependentSampler
from glotmix.mixture.samplers.permutation import hashed, key_of, permuted
from glotmix.mixture.samplers.scheduled import Sampler
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.pairs import PairRows, Targets
from glotmix.proxy.run import StackRun, step_at, steps_of
from glotmix.tokens.store import TokenStore

STEPS_AT_ONCE = 64
"""Steps of a run that are drawn and gathered together; one draw costs as much Python as sixty-four."""


class Tokens(Protocol):
    """What is read of a :class:`glotmix.tokens.store.TokenStore`."""

    def train(self, language: str) -> np.ndarray: ...


class _Stream:
    """Sequences of a language with tokens ``x``, ``x[sT : sT + T + 1]``: neighbours share one token, so every token but
    the first is predicted once per epoch."""

    def __init__(self, tokens: np.ndarray, context: int):
        self._tokens, self._context = tokens, context

    def __len__(self) -> int:
        return (len(self._tokens) - 1) // self._context

    def read(self, number_B: np.ndarray) -> np.ndarray:
        """Token ids, [B, T + 1]."""
        return self._tokens[number_B[:, None] * self._context + np.arange(self._context + 1)]


class MixtureBatches:
    """Batches of runs over one token store, each run by its own schedule and seed, or by its adaptive method.

    A sequence is so many tokens of a language's text, or of parallel text a pair (:mod:`glotmix.proxy.pairs`).
    """

    def __init__(
        self,
        store: Tokens,
        runs: Sequence[StackRun],
        training: ProxyConfig,
        sequences_available: Mapping[str, int] | None = None,
    ):
        """
        Args:
            store: token ids of every language.
            runs: the stack's members.
            training: batch and context.
            sequences_available: how many of a language's sequences may be read (a fixed sample of them), where that is
                fewer than there are: simulated epoching.

        Raises:
            BadInput: a language of a run has fewer tokens than one sequence needs, or fewer sequences than asked for.
        """
        self._T, self._B = training.context, training.batch
        languages = dict.fromkeys(language for run in runs for language in run.reads)
        self.targets: Targets | None = None
        """What of the rows is learnt, where they are pairs."""
        self._sequences: dict[str, PairRows] | dict[str, _Stream]
        if isinstance(store, TokenStore) and store.pairs:
            rows = {language: PairRows(store, language, self._T) for language in store.languages}
            self.targets = Targets.of(store.end_of_document, rows.values())
            self._sequences = {language: rows[language] for language in languages}
        else:
            self._sequences = {language: _Stream(store.train(language), self._T) for language in languages}
        available = {
            language: _available(language, len(there), self._T, sequences_available)
            for language, there in self._sequences.items()
        }
        self._text = getattr(store, "text", None)
        independent = training.draws == "independent"
        self._samplers = [
            _order(store, run, steps_of(run.tokens, training), self._B, available, independent) for run in runs
        ]
        # An adaptive method decides from step to step, so no step of its run is drawn before its turn.
        self._at_once = [1 if run.adaptive else STEPS_AT_ONCE for run in runs]
        self._seeds = [run.seed for run in runs]
        self.fingerprint: dict[str, Any] = {"tokens": getattr(store, "fingerprint", None), "available": available}
        """What the batches are made from besides the runs."""
        self._drawn: dict[int, tuple[int, np.ndarray, np.ndarray]] = {}

    def __call__(self, run_index: int, step: int) -> np.ndarray:
        """Token ids [B, T + 1] of one step of one run."""
        part, place = divmod(step, self._at_once[run_index])
        return self._part(run_index, part)[1][place * self._B : (place + 1) * self._B]

    def languages_of(self, run_index: int, step: int) -> list[str]:
        """Language of every sequence of the same batch, [B]."""
        part, place = divmod(step, self._at_once[run_index])
        index_B = self._part(run_index, part)[0][place * self._B : (place + 1) * self._B]
        names = self._samplers[run_index].languages
        return [names[index] for index in index_B]

    def tokens_by_language(self, run_index: int, steps: int) -> dict[str, int]:
        """Training tokens of each language in the first ``steps`` steps of a run."""
        counts = self._samplers[run_index].counts(0, steps * self._B)
        return {language: count * self._T for language, count in counts.items()}

    def first_sequences(self, language: str, count: int) -> np.ndarray:
        """Token ids [count, T + 1] of the first sequences that runs may read, the same for every run."""
        return self._read(language, np.arange(count))

    def sample(self, run_index: int, language: str, number: int, count: int) -> np.ndarray:
        """Token ids [count, T + 1] of training sequences to look at: the ``number``-th such sample of a run.

        All sequences that a run may read take their turn, in an order of their own.
        """
        size = self.fingerprint["available"][language]
        epoch, place = np.divmod(number * count + np.arange(count), size)
        keys = hashed(key_of(self._seeds[run_index], "sample", language), np.arange(epoch[0], epoch[-1] + 1))
        return self._read(language, permuted(place, size, keys, epoch - epoch[0]))

    def state(self) -> list[Any]:
        """Where the runs with an adaptive method are, as JSON; the others are where their step says."""
        return [sampler.state() if isinstance(sampler, AdaptiveSampler) else None for sampler in self._samplers]

    def restore(self, state: Sequence[Any]) -> None:
        """Go on from :meth:`state`."""
        for sampler, stored in zip(self._samplers, state, strict=True):
            if isinstance(sampler, AdaptiveSampler):
                sampler.restore(stored)

    def _part(self, run_index: int, part: int) -> tuple[np.ndarray, np.ndarray]:
        """Language indices and token ids of ``STEPS_AT_ONCE`` steps; the last part asked for is kept."""
        if run_index not in self._drawn or self._drawn[run_index][0] != part:
            sampler = self._samplers[run_index]
            at_once = self._at_once[run_index] * self._B
            language, sequence = sampler.draw(part * at_once, min(at_once, sampler.total - part * at_once))
            self._drawn[run_index] = (part, language, self._gather(sampler.languages, language, sequence))
        return self._drawn[run_index][1:]

    def _gather(self, names: Sequence[str], language: np.ndarray, sequence: np.ndarray) -> np.ndarray:
        tokens = np.empty((len(language), self._T + 1), np.int32)
        for index, name in enumerate(names):
            if (chosen := np.flatnonzero(language == index)).size:
                tokens[chosen] = self._read(name, sequence[chosen])
        return tokens

    def _read(self, name: str, sequence: np.ndarray) -> np.ndarray:
        return self._sequences[name].read(self._drawn_from(name, sequence))

    def _drawn_from(self, name: str, sequence: np.ndarray) -> np.ndarray:
        """Where the sequences lie. A language cut short (simulated epoching) is a fair sample of its text, the same
        for every run, and not its first files."""
        there = len(self._sequences[name])
        if self.fingerprint["available"][name] == there:
            return sequence
        return permuted(sequence, there, key_of("simulated epoching", self._text or name))


def _order(
    store: Tokens, run: StackRun, steps: int, batch: int, available: Mapping[str, int], independent: bool
) -> Sampler | AdaptiveSampler | CloneSampler | SamplerInTwo:
    """What decides which sequences a run reads; clones (:mod:`glotmix.tokens.clone`) read one text."""
    text, total = getattr(store, "text", None), steps * batch
    there = {language: available.get(language, 0) for language in run.schedule.languages}
    if run.adaptive is not None:
        if text is not None:
            raise BadInput(f"an adaptive method on clones of {text}", where=run.run, expected="a schedule")
        return AdaptiveSampler(run.adaptive, total, there, run.seed)
    if text is not None:
        parallel = getattr(store, "parallel", 0.0)
        return CloneSampler(run.schedule, total, min(available.values()), run.seed, text, parallel, independent)
    if run.part.before is not None and not independent:  # independent draws know no blocks, and go on by themselves
        at = step_at(run.part.begin, steps) * batch
        return SamplerInTwo(run.part.before, run.schedule.stages[-1].mixture, at, total, there, run.seed)
    return (IndependentSampler if independent else Sampler)(run.schedule, total, there, run.seed)


def _available(language: str, there: int, T: int, limits: Mapping[str, int] | None) -> int:
    if there < 1:
        raise BadInput(f"{language} has no training sequence of {T + 1} tokens", expected="one at least")
    if limits is None or language not in limits:
        return there
    if not 1 <= limits[language] <= there:
        raise BadInput(f"{limits[language]} sequences of {language} to be read", expected=f"1 to {there}")
    return limits[language]
