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
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "INR", "BRL")
ZONES = tuple(
    "Europe/Paris Europe/London Europe/Berlin Europe/Rome Europe/Madrid Europe/Lisbon Europe/Vienna Europe/Warsaw "
    "Europe/Prague Europe/Budapest Europe/Athens Europe/Moscow Europe/Kiev Europe/Stockholm Europe/Oslo "
    "Europe/Copenhagen Europe/Helsinki Europe/Brussels Europe/Amsterdam Europe/Dublin Europe/Istanbul Europe/Bucharest "
    "Europe/Sofia Europe/Belgrade Europe/Zagreb Europe/Riga Europe/Vilnius Europe/Tallinn Europe/Minsk Europe/Zurich "
    "Africa/Cairo Africa/Nairobi Africa/Lagos Africa/Tunis Africa/Algiers Africa/Casablanca Africa/Johannesburg "
    "Africa/Accra Africa/Kampala Africa/Tripoli Africa/Khartoum America/New_York America/Chicago America/Los_Angeles "
    "America/Toronto America/Vancouver America/Mexico_City America/Havana America/Lima America/Bogota America/Caracas "
    "America/Sao_Paulo America/Santiago America/Montevideo America/La_Paz America/Panama Asia/Tokyo Asia/Seoul "
    "Asia/Shanghai Asia/Hong_Kong Asia/Singapore Asia/Bangkok Asia/Jakarta Asia/Manila Asia/Calcutta Asia/Karachi "
    "Asia/Dhaka Asia/Tehran Asia/Baghdad Asia/Jerusalem Asia/Damascus Asia/Beirut Asia/Riyadh Asia/Dubai Asia/Baku "
    "Asia/Tbilisi Asia/Yerevan Asia/Tashkent Asia/Almaty Asia/Katmandu Asia/Kabul Australia/Sydney Australia/Melbourne "
    "Pacific/Auckland".split()
)
"""Time zones that CLDR knows by the name of a city."""
COUNTRIES = tuple(
    "AD AE AL AM AO AR AT AU AZ BD BE BG BH BO BR BW BY CA CH CL CM CN CO CR CU CY CZ DE DK DO DZ EC EE EG ES ET FI FR "
    "GB GE GH GR GT HN HR HU ID IE IL IN IQ IR IS IT JM JO JP KE KG KH KR KW KZ LA LB LK LT LU LV LY MA MD ME MG MK ML "
    "MM MN MT MX MY MZ NA NE NG NI NL NO NP NZ OM PA PE PH PK PL PT PY QA RO RS RU RW SA SD SE SG SI SK SN SO SV SY TH "
    "TN TR TZ UA UG US UY UZ VE VN YE ZA ZM ZW".split()
)
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
def list_lengths() -> Mapping[str, int]:
    """Entries in each list of words; equal in every language."""
    data = tomllib.loads((DATA / "eng_Latn.toml").read_text(encoding="utf-8"))
    return {name: len(entries) for name, entries in data["words"].items()}


def draw(seed: int, k: int) -> Meaning:
    """What document ``k`` says, the same for every language."""
    rng = random.Random(f"{seed} {k}")
    scene = rng.choice(scenes())
    drawing = _Drawing(rng)
    for slot, (kind, *arguments) in scene.slots.items():
        drawing.draw(slot, kind, arguments)
    said = rng.sample(range(len(scene.sentences)), rng.randint(3, min(8, len(scene.sentences))))
    return Meaning(scene.name, tuple(scene.sentences[i] for i in sorted(said)), drawing.values)


class _Drawing:
    """Values of a document's slots. Nothing is drawn twice from the same list, so no person talks to themselves."""

    def __init__(self, rng: random.Random):
        self.values: dict[str, Value] = {}
        self._rng = rng
        self._currency = rng.choice(CURRENCIES)
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
                value = kind, ZONES[self._unused(kind, len(ZONES))]
            case "country":
                value = kind, COUNTRIES[self._unused(kind, len(COUNTRIES))]
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
