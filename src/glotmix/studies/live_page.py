"""The live page: how far a study is and what its finished runs say, in a file that is rewritten and reloads itself.

No server: a browser, a notebook's frame or a copy over SSH shows ``live.html``, which leads to the report when that is
there. It is written from the study's directory alone, so it works beside any executor and from another machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from glotmix.artifact import read_json, write_text
from glotmix.errors import GlotmixError
from glotmix.measurements import Measurements, from_tables
from glotmix.mixture.design import PlannedRun
from glotmix.report.components import lines, panels
from glotmix.report.evidence import Evidence
from glotmix.report.figures.panels import shares
from glotmix.report.html import Html, el, join
from glotmix.report.page import assemble
from glotmix.report.runs import about_groups
from glotmix.study.directory import REPORT, configuration_in
from glotmix.study.status import ARMS, Status, duration_left, status_of
from glotmix.sweep.sweep import RUN
from glotmix.wording import counted

LIVE = "live.html"
EVERY = 10.0
"""Seconds between two versions of the page, and between two looks of a browser at it."""
LONGEST_LIST = 12
"""Jobs under way, or runs that failed, that are named."""


class LivePage:
    """Writes the page of one study; runs that are complete are read once."""

    def __init__(self, directory: Path):
        """
        Args:
            directory: of the study, of any kind.

        Raises:
            BadInput: no study lies there.
        """
        self.path = directory / LIVE
        self._directory = directory
        self._config: Mapping[str, Any] = read_json(configuration_in(directory))
        self._results: dict[str, Mapping[str, Any]] = {}

    def write(self, *, ended: bool = False) -> Status:
        """Write the page as the study is now, and say how far that is.

        Args:
            ended: nobody works on it any more: the page stays as it is, or leads to the report.
        """
        status = status_of(self._directory)
        done = status.report is not None and not status.is_worked_on
        again = f"0; url={REPORT}" if done else None if ended else f"{EVERY:g}"
        refresh = None if again is None else Html(f'<meta http-equiv="refresh" content="{again}">')
        bodies = [("far", "How far it is", _how_far(status)), ("runs", "What has come in", self._runs())]
        title, question = (str(self._config.get(name, "")) for name in ("name", "description"))
        write_text(self.path, assemble(title, question, bodies, head=refresh), durable=False)
        return status

    def _runs(self) -> Html | None:
        """Losses of the finished runs, for each place where the study sweeps."""
        places = {"": self._directory} | {one.name: one for one in sorted(self._directory.glob(f"{ARMS}/*"))}
        parts = []
        for number, (name, place) in enumerate(places.items()):
            runs = self._measured(place)
            if runs is None:
                continue
            names = about_groups(runs.targets)
            figures = shares(Evidence(name, about=names, measurements=runs, unit="bpb"))
            title = f"Loss against share{f': {name}' if name else ''}"
            text = f"{counted(len(runs.runs), 'run')} so far; nothing is decided before the laws are fitted."
            keyed = [replace(figure, key=f"{figure.key}-{number}") for figure in figures]
            parts.append(panels(keyed, title, text, small=True))
        return join(*parts) if parts else el("p", "No run is complete yet.")

    def _measured(self, place: Path) -> Measurements | None:
        """The complete runs of a sweep; None where there are none."""
        planned = [run for path in sorted(place.glob("*plan.json")) for run in read_json(path)]
        rows: list[dict[str, Any]] = []
        losses: list[dict[str, Any]] = []
        for run in {one["run"]: one for one in planned}.values():
            result = self._result(place / "runs" / PlannedRun.from_json(run).run / RUN)
            if result is None or result["status"] != "complete":
                continue
            total = sum(result["tokens"].values()) or 1
            row = {name: result[name] for name in ("run", "N", "D", "status")}
            rows.append(row | {f"p/{name}": count / total for name, count in result["tokens"].items()})
            losses += [{"run": result["run"], **loss} for loss in result["losses"]]
        if not losses:
            return None
        floats = dict.fromkeys(("N", "D"), pl.Float64)
        table = pl.DataFrame(rows, schema_overrides=floats, infer_schema_length=None)
        return from_tables(table.with_columns(pl.col("^p/.*$").fill_null(0.0)), pl.DataFrame(losses))

    def _result(self, path: Path) -> Mapping[str, Any] | None:
        key = str(path)
        if key not in self._results and path.is_file():
            self._results[key] = read_json(path)
        return self._results.get(key)


def _how_far(status: Status) -> Html:
    facts = {"complete": f"{status.complete} of {status.planned}" if status.planned else "nothing is planned yet"}
    if status.seconds_left is not None:
        facts["left of this stage"] = duration_left(status.seconds_left)
    if status.flops_planned:
        facts["computed"] = f"{100 * status.flops / status.flops_planned:.0f} % of what is planned so far"
    for what, names in (("diverged", status.diverged), ("failed", tuple(status.failed)), ("at work", _at_work(status))):
        if names:
            more = f" and {len(names) - LONGEST_LIST} more" if len(names) > LONGEST_LIST else ""
            facts[what] = f"{', '.join(names[:LONGEST_LIST])}{more}"
    bar = el("progress", value=status.complete, max=max(status.planned, 1), aria_label="runs complete")
    return join(el("p", bar), lines(facts))


def _at_work(status: Status) -> tuple[str, ...]:
    return tuple(f"{job} ({share:.0%})" for job, share in status.running.items())


def follow(directory: Path) -> Path:
    """Keep the page of a study up to date until no process works on it; return its path.

    Raises:
        BadInput: no study lies there.
    """
    page = LivePage(directory)
    while page.write().is_worked_on:
        time.sleep(EVERY)
    page.write(ended=True)
    return page.path


@contextmanager
def live(directory: Path) -> Iterator[None]:
    """Keep the page of a study up to date while it is worked on in this process.

    What goes wrong with the page never stops the study.
    """
    over = threading.Event()

    def keep() -> None:
        page: LivePage | None = None
        while not over.wait(EVERY):
            page = _written(directory, page, ended=False)
        _written(directory, page, ended=True)

    thread = threading.Thread(target=keep, name="live page", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _written(directory: Path, page: LivePage | None, *, ended: bool) -> LivePage | None:
    with suppress(GlotmixError, OSError):  # not begun yet, or the disk is full: the study says so itself
        page = page or LivePage(directory)
        page.write(ended=ended)
    return page
