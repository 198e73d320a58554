"""Numbers as a reader wants them: units, a true minus sign, no false precision."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glotmix.estimate import Estimate

OF_THE_LAW = "95 % interval of the law"
"""What the law would have said of resampled runs: how far its mean may be off."""
OF_A_RUN = "95 % interval of a new run"
"""The same with the noise of a single run added, as ``glotmix predict`` writes it."""
NBSP = "\u202f"
"""A narrow space that never breaks, between a number and its unit."""


def number(x: float, digits: int = 3) -> str:
    """A fixed number of decimals with a true minus sign; "–" for NaN."""
    if not math.isfinite(x):
        return "–" if math.isnan(x) else ("∞" if x > 0 else "−∞")
    text = f"{x:.{digits}f}"
    return "−" + text[1:] if text.startswith("-") and float(text) != 0 else text.lstrip("-")


def signed(x: float, digits: int = 3) -> str:
    """As :func:`number`, with "+" in front of a positive number."""
    text = number(x, digits)
    return f"+{text}" if x > 0 and float(f"{x:.{digits}f}") != 0 else text


def share(x: float) -> str:
    """A share as per cent: "31.0 %", "4.2 %", "0.03 %", "0 %"."""
    percent = 100 * x
    if percent == 0:
        return f"0{NBSP}%"
    if percent < 0.005:
        return f"<{NBSP}0.01{NBSP}%"
    return f"{percent:.{1 if percent >= 0.95 else 2}f}{NBSP}%"


def interval(estimate: Estimate, digits: int = 3) -> str:
    """ "1.312 (1.305 to 1.320)"; the value alone where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return number(estimate.value, digits)
    return f"{number(estimate.value, digits)} ({number(estimate.low, digits)} to {number(estimate.high, digits)})"


def large(x: float) -> str:
    """ "950", "12.4 thousand", "3.1 million", "2.0 billion", then powers of ten."""
    for size, word in ((1e12, ""), (1e9, "billion"), (1e6, "million"), (1e4, "thousand")):
        if x >= size:
            return scientific(x) if not word else f"{_three(x / (1e3 if size == 1e4 else size))}{NBSP}{word}"
    return f"{x:,.0f}".replace(",", NBSP) if x == int(x) else _three(x)


def scientific(x: float) -> str:
    """ "3.4 × 10¹⁵"."""
    if x == 0:
        return "0"
    exponent = math.floor(math.log10(abs(x)))
    mantissa = x / 10**exponent
    if round(mantissa, 1) >= 10:
        mantissa, exponent = mantissa / 10, exponent + 1
    return f"{mantissa:.1f}{NBSP}×{NBSP}10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def duration(seconds: float) -> str:
    """ "42 s", "3 min 20 s", "5 h 12 min", "3 d 4 h"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NBSP}s" if seconds >= 1 else f"{seconds:.1f}{NBSP}s"
    for size, big, small_size, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size}{NBSP}{big}" + (f" {rest}{NBSP}{small}" if rest else "")
    raise AssertionError("unreachable: every whole number of seconds from 60 up has a unit")


def rounded_up(value: float) -> float:
    """Two digits, not below a positive value: for advice that must be enough."""
    short = float(f"{value:.1e}")
    return short if short >= value else float(f"{value * 1.05:.1e}")


def rounded_down(value: float) -> float:
    """Two digits, not above a positive value."""
    short = float(f"{value:.1e}")
    return short if short <= value else float(f"{value * 0.95:.1e}")


def listed(words: Sequence[str], most: int = 6) -> str:
    """ "a, b and c"; beyond ``most``: "a, b, c and 7 more"."""
    words = list(words)
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def unbroken(text: str) -> str:
    """The same with spaces at which no line is broken: a verdict goes below its interval, and neither is torn."""
    return text.replace(" ", "\u00a0")


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """ "1 run", "3 runs"."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def _three(x: float) -> str:
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"
