"""Scene: what a document of the embedded corpus says, drawn once and the same in every language."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

Value = tuple[str, object]
"""A drawn slot: how it is said (the kind), and what."""

DATA = Path(__file__).parent
UNITS = {
    "celsius": "temperature-celsius",
    "kmh": "speed-kilometer-per-hour",
    "minutes": "duration-minute",
    "kilometres": "length-kilometer",
    "metres": "length-meter",
    "kilograms": "mass-kilogram",
    "grams": "mass-gram",
    "square_metres": "area-square-meter",
}
"""Our word → CLDR's unit."""


@dataclass(frozen=True)
class Scene:
    """A kind of document."""

    name: str
    """ "weather", "train", ..."""
    slots: Mapping[str, tuple[str, ...]]
    """Slot → kind and arguments, in the order in which they are drawn."""
    sentences: tuple[str, ...]
    """Names of its sentences, in the order in which they are said."""


@dataclass(frozen=True)
class Meaning:
    """A document before it has words."""

    scene: str
    """Name of the scene."""
    sentences: tuple[str, ...]
    """Names of the sentences that are said."""
    values: Mapping[str, Value]
    """Slot → drawn value."""


@lru_cache(maxsize=1)
def scenes() -> tuple[Scene, ...]:
    """All scenes of ``scenes.toml``."""
    data = tomllib.loads((DATA / "scenes.toml").read_text(encoding="utf-8"))
    return tuple(
        Scene(name, {slot: tuple(spec.split()) for slot, spec in scene["slots"].items()}, tuple(scene["sentences"]))
        for name, scene in data.items()
    )


@lru_cache(maxsize=1)
def facts() -> Mapping[str, tuple[str, ...]]:
    """Currencies, time zones and countries of ``facts.toml``, by the names that CLDR keys them with."""
    data = tomllib.loads((DATA / "facts.toml").read_text(encoding="utf-8"))
    return {name: tuple(names.split()) for name, names in data.items()}


@lru_cache(maxsize=1)
def list_lengths() -> Mapping[str, int]:
    """Entries in each list of words; equal in every language."""
    data = tomllib.loads((DATA / "eng_Latn.toml").read_text(encoding="utf-8"))
    return {name: len(entries) for name, entries in data["words"].items()}


KEPT_MEANINGS = 1 << 13
"""Documents whose meaning is kept, the first of a corpus: languages say them one after the other."""


def draw(seed: int, k: int) -> Meaning:
    """What document ``k`` says, the same for every language."""
    return _kept(seed, k) if k < KEPT_MEANINGS else _drawn(seed, k)


def _drawn(seed: int, k: int) -> Meaning:
    rng = random.Random(f"{seed} {k}")
    scene = rng.choice(scenes())
    drawing = _Drawing(rng)
    for slot, (kind, *arguments) in scene.slots.items():
        drawing.draw(slot, kind, arguments)
    said = rng.sample(range(len(scene.sentences)), rng.randint(3, min(8, len(scene.sentences))))
    return Meaning(scene.name, tuple(scene.sentences[i] for i in sorted(said)), drawing.values)


_kept = lru_cache(maxsize=KEPT_MEANINGS)(_drawn)


class _Drawing:
    """Values of a document's slots. Nothing is drawn twice from the same list, so no person talks to themselves."""

    def __init__(self, rng: random.Random):
        self.values: dict[str, Value] = {}
        self._rng = rng
        self._currency = rng.choice(facts()["currencies"])
        self._used: dict[str, set[int]] = {}

    def draw(self, slot: str, kind: str, arguments: list[str]) -> None:
        rng = self._rng
        match kind:
            case "word":
                value: Value = "word", (arguments[0], self._unused(arguments[0], list_lengths()[arguments[0]]))
            case "words":
                chosen = [self._unused(arguments[0], list_lengths()[arguments[0]]) for _ in range(int(arguments[1]))]
                value = "words", (arguments[0], tuple(chosen))
            case "number" | "spelled" | "percent":
                value = kind, self._integer(arguments)
            case "count":
                value = (
                    f"count {arguments[0]} {rng.randrange(list_lengths()[arguments[0]])}",
                    self._integer(arguments[1:]),
                )
            case "same":
                value = self.values[arguments[0]][0], self._integer(arguments[1:])
            case "sum" | "difference" | "product" | "half":
                value = self.values[arguments[0]][0], _calculated(kind, [self.values[name][1] for name in arguments])
            case "money":
                value = f"money {self._currency}", self._integer(arguments)
            case "date" | "month_day":
                value = kind, rng.randrange(737425, 741078)  # ordinals of 2020-01-01 to 2029-12-31
            case "weekday":
                value = kind, rng.randrange(7)
            case "time":
                value = kind, 60 * self._integer(arguments) + rng.randrange(0, 60, 5)
            case "city":
                value = kind, self._fact("zones")
            case "country":
                value = kind, self._fact("countries")
            case "currency" | "tongues":
                value = kind, self.values[arguments[0]][1]
            case "phone":
                value = kind, f"{rng.randrange(100, 999)} {rng.randrange(1000, 9999)}"
            case _:
                value = f"unit {UNITS[kind]}", self._integer(arguments)
        self.values[slot] = value

    def _integer(self, arguments: list[str]) -> int:
        low, high, *step = map(int, arguments)
        return self._rng.randrange(low, high + 1, *step)

    def _fact(self, name: str) -> str:
        return facts()[name][self._unused(name, len(facts()[name]))]

    def _unused(self, name: str, length: int) -> int:
        used = self._used.setdefault(name, set())
        while (index := self._rng.randrange(length)) in used:
            pass
        used.add(index)
        return index


_RULES: Mapping[str, Callable[..., int]] = {
    "sum": lambda a, b: a + b,
    "difference": lambda a, b: a - b,
    "product": lambda a, b: a * b,
    "half": lambda a: a // 2,
}


def _calculated(rule: str, numbers: list[object]) -> int:
    return _RULES[rule](*numbers)
