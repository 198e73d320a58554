"""Shape rehearsal: every stage of a study at its true shapes, before a device is paid for.

A stage is built as it will be - its plan made, its models on tensors without memory - and tells what it holds and how
much it computes (:class:`glotmix.footprint.Footprint`). A stage that refuses its own settings, or that a device has no
room for, is a problem like any other; all of them are told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glotmix.errors import BadInput, refuse
from glotmix.footprint import PARTS, Footprint
from glotmix.notebook import Shown
from glotmix.proxy.config import ProxyConfig
from glotmix.study.preflight import contradictions, noting
from glotmix.sweep.config import SweepConfig
from glotmix.tokens.config import TokensConfig
from glotmix.wording import duration

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table

DEVICE_GB = 80.0
"""Memory of a device, in 10⁹ bytes, unless another is told."""
THROUGHPUT = 2e14
"""FLOP/s that one device keeps up, unless another is told: about two fifths of an H100's peak in bf16."""
BANDWIDTH = 2e12
"""Bytes a second that a device reads from its memory: about three fifths of an H100's peak."""
Stages = Mapping[str, Callable[[], Sequence[Footprint]]]
"""Name of a part of a study to what builds it and tells its footprints; it raises BadInput where it is refused."""


@dataclass(frozen=True, repr=False)
class Rehearsal(Shown):
    """What every stage of a study would hold and compute."""

    footprints: tuple[Footprint, ...]
    """Of all stages that could be built, in order."""
    refused: tuple[BadInput, ...]
    """Why others could not."""
    device_gb: float = DEVICE_GB
    """Memory of a device in 10⁹ bytes."""
    throughput: float = THROUGHPUT
    """FLOP/s of a device."""

    def hours(self, one: Footprint) -> float:
        """Time of a stage on its devices: what it computes, and what it reads token by token."""
        return (one.flops / self.throughput + one.moved / BANDWIDTH) / one.devices / 3600

    def fits(self, one: Footprint) -> bool:
        """Whether a device has room for a stage."""
        return one.bytes <= self.device_gb * 1e9

    def problems(self) -> list[BadInput]:
        """Stages that are refused, and stages that do not fit; empty where the study can run."""
        too_large = [
            BadInput(
                f"takes {one.bytes / 1e9:,.1f} GB of a device, most of it {one.largest}",
                where=one.stage,
                expected=f"{self.device_gb:g} GB or less" + (f"; {one.smaller}" if one.smaller else ""),
            )
            for one in self.footprints
            if not self.fits(one)
        ]
        return [*self.refused, *too_large]

    def to_json(self) -> dict[str, Any]:
        """A plain dict: stages with bytes, FLOPs, hours and whether they fit, and what is refused."""
        stages = [
            asdict(one) | {"bytes": one.bytes, "hours": self.hours(one), "fits": self.fits(one)}
            for one in self.footprints
        ]
        told = {"device_gb": self.device_gb, "throughput": self.throughput, "stages": stages}
        return told | {"refused": [str(one) for one in self.refused]}

    def to_polars(self) -> pl.DataFrame:
        """One row per stage: ``stage``, bytes of ``weights``, ``gradients``, ``optimiser``, ``activations``,
        ``logits``, ``kept`` and ``bytes`` in all, ``flops``, ``hours``, ``devices``, and whether it ``fits``."""
        import polars as pl

        columns = ("stage", *PARTS, "bytes", "flops", "hours", "devices", "fits")
        return pl.DataFrame([{name: row[name] for name in columns} for row in self.to_json()["stages"]])

    def table(self) -> Table:
        """For a terminal."""
        from rich.markup import escape
        from rich.table import Table

        title = f"On each device, of {self.device_gb:g} GB; time at {self.throughput:.3g} FLOP/s of a device"
        table = Table(title=title, title_justify="left")
        table.add_column("stage", overflow="fold", min_width=16)
        table.add_column("GB", justify="right", no_wrap=True)
        table.add_column("for")
        table.add_column("time", justify="right")
        table.add_column("verdict")
        for one in self.footprints:
            parts = sorted(PARTS, key=lambda part: -getattr(one, part))
            told = ", ".join(f"{part} {_gigabytes(getattr(one, part))}" for part in parts if getattr(one, part))
            devices = f" on {one.devices}" if one.devices > 1 else ""
            seconds = 3600 * self.hours(one)
            time = duration(seconds) + devices if seconds >= 1 else "< 1 s"
            verdict = "fits" if self.fits(one) else "does not fit"
            table.add_row(escape(one.stage), _gigabytes(one.bytes), told, time, verdict)
        for error in self.refused:
            table.add_row(escape(str(error.where or "")), "", "", "", "refused")
        return table


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.1f}" if count >= 1e9 else f"{count / 1e9:.2g}" if count >= 1e6 else f"{count / 1e9:.0e}"


def rehearse(stages: Callable[[], Stages], device_gb: float = DEVICE_GB, throughput: float = THROUGHPUT) -> Rehearsal:
    """Build every stage; one that is refused keeps none of the others from being told."""
    found: list[Footprint] = []
    refused: list[BadInput] = []
    with noting(refused, "rehearsal"):
        for name, build in stages().items():
            with noting(refused, name):
                found += build()
    told = {str(one): one for one in refused}
    return Rehearsal(tuple(found), tuple(told.values()), device_gb, throughput)


def training(
    stage: str, proxy: ProxyConfig, sweep: SweepConfig, vocab: int, *, tokens: float, evaluated: float = 0.0
) -> Footprint:
    """Training proxies of one shape, in the stacks and on the devices of a sweep.

    Args:
        stage: what it is called.
        proxy: shape and training, the size worked out.
        sweep: ``stack`` and ``devices_per_run``; a stack that is measured is as large as fits, and one model at least.
        vocab: ids of the tokenizer.
        tokens: training tokens of all runs together.
        evaluated: held-out tokens that losses are measured on.

    Raises:
        BadInput: settings that contradict each other.
    """
    from glotmix.proxy.model import Shape
    from glotmix.proxy.stack import footprint

    refuse(contradictions(proxy, sweep))
    K, devices = sweep.stack or 1, sweep.devices_per_run
    return footprint(stage, Shape.of(proxy, vocab), proxy, tokens=tokens, K=K, devices=devices, evaluated=evaluated)


def vocabulary(tokens: TokensConfig, base: Path) -> int:
    """Ids of a study's tokenizer, before it is trained or fetched.

    Raises:
        BadInput: a tokenizer of the hub, without ``tokens.vocab_size``.
    """
    if tokens.tokenizer == "train" or "vocab_size" in tokens.model_fields_set:
        return tokens.vocab_size
    if not (base / tokens.tokenizer).exists():
        raise BadInput(
            f"how many ids {tokens.tokenizer} has is not known here",
            where="tokens.vocab_size",
            expected="their number, or a tokenizer that is a file",
        )
    from glotmix.tokens.tokenizer import load_tokenizer

    return load_tokenizer(tokens.tokenizer, base).vocab_size
