"""Held-out loss of every language: nats per token inside a model, bits per byte across languages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch

from glotmix.errors import BadInput
from glotmix.proxy import model
from glotmix.proxy.model import Shape

TOKENS_AT_ONCE = 4096


class EvaluationText(Protocol):
    """Held-out text of one language: its tokens and how many bytes of UTF-8 they stand for."""

    @property
    def tokens(self) -> np.ndarray: ...
    @property
    def bytes(self) -> int: ...


class Evaluation:
    """The same held-out tokens for every run, cut into windows once.

    The stream of a language is predicted from a leading end-of-document token, in windows of ``context`` tokens that
    follow each other without overlap: every token is predicted exactly once, the first of a window from one token of
    context. (A stride shorter than the window would lower all losses a little and cost as many times more.) A
    completion is predicted from its own prompt, as much of it as fits before the completion, and prompts count nothing.
    """

    def __init__(
        self, held_out: Mapping[str, EvaluationText], context: int, *, end_of_document: int, device: str = "cpu"
    ):
        self.languages = tuple(held_out)
        self.bytes_L = np.array([held_out[language].bytes for language in self.languages], float)
        self.tokens_L = np.array([_scored(held_out[language]) for language in self.languages], float)
        for language, tokens, size in zip(self.languages, self.tokens_L, self.bytes_L, strict=True):
            if tokens == 0 or size <= 0:
                raise BadInput(f"no held-out text of {language}", expected="at least one token")
        windows, counting = [], []
        for text in held_out.values():
            own = getattr(text, "end_of_document", None)  # clones end their documents with ids of their own
            eod = end_of_document if own is None else own
            if getattr(text, "scored", None) is None:
                windows.append(_windows(text.tokens, context, eod))
                counting.append(windows[-1][:, 1:] >= 0)
            else:
                own_WS, scored_WT = _prompted(text, context, eod)
                windows.append(own_WS)
                counting.append(scored_WT)
        self.windows_WS = torch.from_numpy(np.concatenate(windows)).to(device)
        self.counts_WT = torch.from_numpy(np.concatenate(counting)).to(device)
        self.language_W = torch.from_numpy(np.repeat(np.arange(len(windows)), [len(w) for w in windows])).to(device)

    @torch.no_grad()
    def losses(self, parameters: model.Parameters, shape: Shape) -> np.ndarray:
        """Mean loss in nats per token, [K, L]."""
        K = next(iter(parameters.values())).shape[0]
        total_KL = torch.zeros(K, len(self.languages), dtype=torch.float64, device=self.windows_WS.device)
        at_once = max(1, TOKENS_AT_ONCE // shape.context)
        for start in range(0, len(self.windows_WS), at_once):
            window_BS = self.windows_WS[start : start + at_once]
            real_BT = self.counts_WT[start : start + at_once]
            tokens_KBS = window_BS.clamp(min=0).expand(K, -1, -1)
            nats_KB = (model.token_losses(parameters, tokens_KBS, shape) * real_BT).sum(-1, dtype=torch.float64)
            total_KL.index_add_(1, self.language_W[start : start + at_once], nats_KB)
        return np.asarray(total_KL.cpu().numpy() / self.tokens_L)

    def bits_per_byte(self, nats_KL: np.ndarray) -> np.ndarray:
        """Nats per token as bits per byte: nats · tokens / (bytes · ln 2)."""
        return np.asarray(nats_KL * self.tokens_L / (self.bytes_L * math.log(2)))


def _scored(text: EvaluationText) -> int:
    scored = getattr(text, "scored", None)
    return len(text.tokens) if scored is None else int(scored.sum())


def _prompted(text: Any, context: int, end_of_document: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows [W, context + 1] of texts with prompts, and which predictions count, [W, context].

    Every document has windows of its own. One that does not fit loses the beginning of its prompt; a completion that is
    longer than a window goes on in further ones.
    """
    windows, counting = [], []
    ends = np.append(text.starts[1:], len(text.tokens))
    for start, end in zip(text.starts.tolist(), ends.tolist(), strict=True):
        ids_N = np.concatenate([[end_of_document], np.asarray(text.tokens[start:end], dtype=np.int64)])
        scored_N = np.concatenate([[False], text.scored[start:end]])
        last = int(np.flatnonzero(scored_N)[-1]) + 1 if scored_N.any() else 1
        first = int(np.flatnonzero(scored_N)[0]) if scored_N.any() else 1
        begin = max(0, min(last - context - 1, first - 1))
        while begin < last - 1:
            ids, scored = ids_N[begin : begin + context + 1][: last - begin], scored_N[begin + 1 : begin + context + 1]
            scored = scored[: len(ids) - 1]
            windows.append(np.pad(ids, (0, context + 1 - len(ids)), constant_values=-1))
            counting.append(np.pad(scored, (0, context - len(scored)), constant_values=False))
            begin += context
    return np.array(windows, dtype=np.int64), np.array(counting, dtype=bool)


def _windows(tokens: np.ndarray, context: int, end_of_document: int) -> np.ndarray:
    """[W, context + 1]; the last window is filled up with -1, which counts for nothing."""
    count = -(-len(tokens) // context)
    stream = np.full(count * context + 1, -1, np.int64)
    stream[0], stream[1 : len(tokens) + 1] = end_of_document, tokens
    return np.stack([stream[i * context : (i + 1) * context + 1] for i in range(count)])
