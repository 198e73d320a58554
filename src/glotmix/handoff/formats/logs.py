"""Logs of Megatron-LM and OLMo-core: the lines that they print of held-out losses, nats per token."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from glotmix.errors import BadInput
from glotmix.handoff.formats.format import Found, ResultFormat
from glotmix.handoff.results import Reported, metric_of, target_named

ENDINGS = frozenset({".log", ".out", ".txt", ".err"})
NUMBER = r"([-+]?(?:\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?|nan|inf))"


class Log(ResultFormat):
    """A log of one run, which its path names; lines that say nothing of losses are passed over."""

    marks: Sequence[str]
    """What stands in the log of this trainer and in no other."""

    def knows(self, found: Found) -> bool:
        if found.path.suffix not in ENDINGS:
            return False
        try:
            text = found.text()
        except BadInput:
            return False
        return any(mark in text for mark in self.marks)

    def read(self, found: Found) -> Iterator[Reported]:
        run, text = found.run(), found.text()
        text = text[: text.rfind("\n") + 1]  # a line that has no end yet may hold half a number
        for number, step, target, value in self.lines(text, found):
            where = f"{found.shown}:{number}"
            yield Reported(where=where, run=run, step=step, values={(target, "nats_per_token"): value})

    @abstractmethod
    def lines(self, text: str, found: Found) -> Iterator[tuple[int, float | None, str, float]]:
        """Number of the line, steps done, target, and loss."""


class MegatronLog(Log):
    """`` validation-0 loss at iteration 100 | lm loss value: 3.2E+00 | …``: which data set has which number is told by
    the paths in the same log (``valid_data_path``); with one data set, the log's file is named after the target."""

    title = "Megatron-LM's log"
    marks = ("lm loss value:",)
    _LINE = re.compile(
        r"validation(?:-(?P<index>\d+))? loss at iteration\s+(?P<step>\d+)(?P<name>[^|]*)\|"
        rf".*?lm loss value:\s*{NUMBER}"
    )
    _PATHS = re.compile(r"^\W*valid_data_path\s*\.*\s*(?P<list>\[.*\])\s*$", re.MULTILINE)

    def lines(self, text: str, found: Found) -> Iterator[tuple[int, float | None, str, float]]:
        named = self._targets(text, found)
        for number, line in enumerate(text.splitlines(), 1):
            if (match := self._LINE.search(line)) is None or "on test set" in match["name"]:
                continue
            index = match["index"]
            target = named.get(-1 if index is None else int(index))
            if target is None:
                what = "one data set" if index is None else f"data set {index}"
                raise BadInput(
                    f"which target {what} is, the log does not say",
                    where=f"{found.shown}:{number}",
                    expected="valid_data_path with the targets' names, or RUN.CHECKSUM/<target>.log",
                )
            yield number, float(match["step"]), target, float(match[4].replace(",", ""))

    def _targets(self, text: str, found: Found) -> dict[int, str]:
        """Number of the data set to target; -1 for the only one."""
        targets = found.about.measured
        named: dict[int, str] = {}
        if paths := self._PATHS.search(text):
            words = re.findall(r"['\"]([^'\"]+)['\"]", paths["list"])
            words = [word for word in words if not re.fullmatch(r"[\d.eE+-]+", word)]  # weights between the paths
            for index, word in enumerate(words):
                if (target := in_path(word, targets)) is not None:
                    named[index] = target
            if len(words) == 1 and 0 in named:
                named[-1] = named[0]
        if -1 not in named and (own := target_named(found.path.name.removesuffix(found.path.suffix), targets)):
            named[-1] = own
        return named


class OlmoCoreLog(Log):
    """``Finished lm evals in …. Metrics:``, then ``    <target>/CE loss=3.2``; steps from ``[step=100/1000,…]``."""

    title = "OLMo-core's log"
    marks = ("CE loss=",)
    _STEP = re.compile(r"\[step=([\d,]+)/")
    _LINE = re.compile(rf"^\W*(?:\S+ )*?\s*(?P<name>[^\s=][^=]*?)=\s*{NUMBER}\s*$")

    def lines(self, text: str, found: Found) -> Iterator[tuple[int, float | None, str, float]]:
        step, inside = None, False
        for number, line in enumerate(text.splitlines(), 1):
            if match := self._STEP.search(line):
                step, inside = float(match[1].replace(",", "")), False
            elif "evals in" in line and "Metrics" in line:
                inside = True
            elif inside and (match := self._LINE.match(line)):
                metric = metric_of(match["name"].strip(), found.about.measured)
                if metric is not None and metric[1] == "nats_per_token":
                    yield number, step, metric[0], float(match[2].replace(",", ""))


def in_path(path: str, targets: Sequence[str]) -> str | None:
    """The target whose whole name a path of data has: as a folder, or as its file without what is appended to it."""
    plain = "/" + re.sub(r"(_text_document|_text|\.bin|\.idx|\.jsonl|\.npy)+$", "", path).strip("/")
    found = [target for target in targets if f"/{target}/" in f"{plain}/"]
    own = target_named(PurePosixPath(plain).name, targets)
    found += [own] if own is not None else []
    return max(found, key=len) if found else None
