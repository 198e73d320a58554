"""Run any schedule inside your own PyTorch training: a sampler, a stream, loss weights, Trainer callbacks,
in-run values, reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glotmix.registry import load

if TYPE_CHECKING:
    from glotmix.live.callback import InRunShapleyCallback, MixtureCallback, ReportCallback
    from glotmix.live.inrun import InRunShapley
    from glotmix.live.loss import LossWeighting, weighted_loss
    from glotmix.live.reporting import report
    from glotmix.live.sampler import GlotmixSampler
    from glotmix.live.stream import GlotmixIterableDataset, TokenSequences

__all__ = [
    "GlotmixIterableDataset",
    "GlotmixSampler",
    "InRunShapley",
    "InRunShapleyCallback",
    "LossWeighting",
    "MixtureCallback",
    "ReportCallback",
    "TokenSequences",
    "report",
    "weighted_loss",
]
PLACES = {
    "GlotmixIterableDataset": "glotmix.live.stream:GlotmixIterableDataset",
    "GlotmixSampler": "glotmix.live.sampler:GlotmixSampler",
    "InRunShapley": "glotmix.live.inrun:InRunShapley",
    "InRunShapleyCallback": "glotmix.live.callback:InRunShapleyCallback",
    "LossWeighting": "glotmix.live.loss:LossWeighting",
    "MixtureCallback": "glotmix.live.callback:MixtureCallback",
    "ReportCallback": "glotmix.live.callback:ReportCallback",
    "TokenSequences": "glotmix.live.stream:TokenSequences",
    "report": "glotmix.live.reporting:report",
    "weighted_loss": "glotmix.live.loss:weighted_loss",
}
"""Name to place: nothing is imported before it is asked for, so that ``report`` works where there is no torch."""


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load(PLACES[name])
