"""Scored: a target that is a score and no loss. Inside, its error stands for the loss; what is shown is the score.

One place turns it round. What is measured becomes the **error** (one minus the score) at the door, so that lower is
better wherever losses are: in games, objectives, gains. A law is fitted on the logit: to the **loss that stands for a
score**, ``L = 1 + ln((1 - s) / (s - c)) / 8`` with chance ``c``, so that a score is a sigmoid of it and lies between
chance and one whatever a law predicts. From nearly chance (1.5) to nearly one (0.5) it spans what losses in bits per
byte span, which is what the forms and priors of laws are made for. Pages, tables and files say the score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from glotmix.errors import BadInput
from glotmix.estimate import Estimate

SLOPE, LEAST = 8.0, 0.02
"""Log odds per unit of the loss that stands for a score; and the least such loss (a score of 0.9996)."""
FAR = 12.0
"""Log odds beyond which the noise of a score is taken to be that at this place."""
FAR_OFF = 30.0
"""How far a response may lie from the fit, in log odds: a handful of questions near chance says next to nothing."""


@dataclass(frozen=True)
class Scored:
    """What a score means. Scores lie between 0 and 1."""

    higher_is_better: bool = True
    """False for an error rate."""
    chance: float | None = None
    """Score of guessing; None for 0, or 1 where lower is better."""
    questions: float | None = None
    """How many questions it is the mean of; None where nobody told."""

    def __post_init__(self) -> None:
        if not 0 < self.most <= 1:
            expected = "at least 0 and below 1" if self.higher_is_better else "above 0 and at most 1"
            raise BadInput(f"chance of {self.chance:g}", expected=expected)
        if self.questions is not None and not self.questions >= 1:
            raise BadInput(f"{self.questions:g} questions", expected="at least 1")

    @property
    def most(self) -> float:
        """Error of guessing: no law predicts a larger one."""
        if self.chance is None:
            return 1.0
        return 1 - self.chance if self.higher_is_better else self.chance

    def turned(self, x: Any) -> Any:
        """From score to error, or back: the same step."""
        return 1 - x if self.higher_is_better else x

    @property
    def column(self) -> str:
        """What it is called in front of a target's name in a table."""
        return "score" if self.higher_is_better else "error"

    def ends(self, low: Any, high: Any) -> tuple[Any, Any]:
        """Ends of an interval of scores, from those of errors, or back."""
        return (1 - high, 1 - low) if self.higher_is_better else (low, high)

    def shown(self, error: Estimate) -> Estimate:
        """The score of an error with its interval, or back."""
        if error.low is None or error.high is None:
            return Estimate(self.turned(error.value))
        return Estimate(self.turned(error.value), *self.ends(error.low, error.high))

    def error_of(self, loss: np.ndarray) -> np.ndarray:
        """Errors, from losses that stand for the score."""
        return self.error_at(SLOPE * (loss - 1))

    def loss_for(self, error: np.ndarray) -> np.ndarray:
        """The loss that stands for an error; never below ``LEAST``."""
        return np.asarray(np.maximum(1 + self.log_odds(self.inside(error)) / SLOPE, LEAST))

    def by_loss(self, error: np.ndarray) -> np.ndarray:
        """Change of the error with the loss that stands for the score."""
        return SLOPE * self.slope(error)

    def response_loss(self, error: np.ndarray, log_fitted: np.ndarray) -> np.ndarray:
        """What a fit takes for the measured loss, from the log of the fitted one; see :meth:`response`."""
        log_odds = self.response(error, SLOPE * (np.exp(log_fitted) - 1))
        return np.asarray(np.maximum(1 + log_odds / SLOPE, LEAST))

    def spread_loss(self, log_loss: np.ndarray | float) -> np.ndarray:
        """Standard deviation of the log of the loss that stands for a score of one question."""
        loss = np.exp(log_loss)
        return np.asarray(self.spread(SLOPE * (loss - 1)) / (SLOPE * loss))

    def least_square(self, log_loss: float) -> float:
        """Variance of that log for the number of its questions: none is known to be below; 0 where nobody told it."""
        return 0.0 if self.questions is None else float(self.spread_loss(log_loss)) ** 2 / self.questions

    def error_at(self, log_odds: np.ndarray) -> np.ndarray:
        """Errors, from the logarithm of the odds against."""
        return np.asarray(self.most * expit(log_odds))

    def log_odds(self, error: np.ndarray) -> np.ndarray:
        """Logarithm of the odds against, from errors between 0 and ``most``; infinite at either end."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(error) - np.log(self.most - error))

    def slope(self, error: np.ndarray) -> np.ndarray:
        """Change of the error with the logarithm of the odds."""
        return np.asarray(error * (1 - error / self.most))

    def inside(self, error: np.ndarray) -> np.ndarray:
        """Errors by half a question at least away from both ends, so that their odds are finite."""
        step = 0.5 / (self.questions or 500)
        return np.asarray(np.clip(error, min(step, self.most / 4), self.most - min(step, self.most / 4)))

    def response(self, error: np.ndarray, log_fitted: np.ndarray) -> np.ndarray:
        """What a fit takes for the measured log odds: the fitted ones and the rest of the error over its slope there.

        So a score of 0 or 1, or one below chance, is what it is, and no run counts more because chance favoured it.
        Source: the working response of a generalised linear model (Nelder & Wedderburn 1972).
        """
        fitted = self.error_at(np.clip(log_fitted, -FAR, FAR))
        away = (error - fitted) / self.slope(fitted)
        return np.asarray(log_fitted + np.clip(away, -FAR_OFF, FAR_OFF))

    def spread(self, log_odds: np.ndarray | float) -> np.ndarray:
        """Standard deviation of the log odds of a score of one question: the binomial's, over the slope."""
        error = self.error_at(np.clip(log_odds, -FAR, FAR))
        return np.asarray(np.sqrt(error * (1 - error)) / self.slope(error))

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return {"higher_is_better": self.higher_is_better, "chance": self.chance, "questions": self.questions}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scored:
        """Read what :meth:`to_json` wrote."""
        chance, questions = (None if data.get(name) is None else float(data[name]) for name in ("chance", "questions"))
        return cls(bool(data.get("higher_is_better", True)), chance, questions)


def all_to_json(scored: Mapping[str, Scored]) -> dict[str, Any]:
    """Field ``scored`` of a file: target to what its score means; nothing where all targets are losses."""
    return {"scored": {target: one.to_json() for target, one in scored.items()}} if scored else {}


def all_from_json(data: Mapping[str, Any] | None) -> dict[str, Scored]:
    """Read what :func:`all_to_json` wrote under ``scored``.

    Raises:
        BadInput: a chance or a number of questions that cannot be.
    """
    return {target: Scored.from_json(one) for target, one in (data or {}).items()}


def smallest_step(score: Iterable[float]) -> float | None:
    """Questions that a column of scores is told by at least: one over the least difference between two of them."""
    seen = np.unique(np.round(np.array([x for x in score if math.isfinite(x)]), 9))
    gaps = np.diff(seen)
    gaps = gaps[gaps > 1e-6]
    return None if not len(gaps) else min(1 / float(gaps.min()), 5000.0)
