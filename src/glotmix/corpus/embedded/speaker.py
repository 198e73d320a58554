"""Speaker: how one language says a drawn scene, with our words and CLDR's names, dates, units and plurals."""

from __future__ import annotations

import datetime
import re
import tomllib
from functools import lru_cache
from typing import Any

from glotmix.corpus.embedded.scene import DATA, Meaning
from glotmix.errors import BadInput, MissingExtra
from glotmix.language import Language

_SLOT = re.compile(r"\{(\^?)(\w+)(?:\.(\d))?\}")
_Part = tuple[str, bool, int]  # slot (or, with form -1, plain text), capital first letter, form


def embedded_languages() -> tuple[str, ...]:
    """Tags of the languages that the embedded corpus speaks."""
    return tuple(sorted(path.stem for path in DATA.glob("*_*.toml")))


@lru_cache(maxsize=64)
def speaker_of(language: str) -> Speaker:
    """The speaker of a language, one for all readers: what it has said once it need not work out again."""
    return Speaker(language)


class Speaker:
    """One language. ``say`` is a pure function of what is said."""

    def __init__(self, language: str):
        if language not in embedded_languages():
            raise BadInput(
                f"the embedded corpus does not speak {language}",
                where="corpus.reader",
                expected=" | ".join(embedded_languages()),
            )
        try:
            import babel
            import num2words
        except ImportError as error:
            raise MissingExtra(str(error.name), "train") from None
        with open(DATA / f"{language}.toml", "rb") as file:
            data = tomllib.load(file)
        tag = Language.resolve(language).bcp47
        self.locale = babel.Locale.parse(data.get("locale", tag), sep="-")
        self._turkic = language.startswith("tur")
        self._between: str = data.get("between", " ")
        self._plural: list[str] = data["plural"]
        self._number_words = data.get("number_words", self.locale.language)
        self._units: dict[str, str] = data.get("units", {})
        self._num2words = num2words.num2words
        self.words: dict[str, list[tuple[str, ...]]] = {
            name: [tuple(entry.split("|")) for entry in entries] for name, entries in data["words"].items()
        }
        self.sentences: dict[str, dict[str, str]] = data["sentences"]
        self._parsed = {
            (scene, name): _parse(sentence) for scene, said in self.sentences.items() for name, sentence in said.items()
        }
        self._cached = lru_cache(maxsize=1 << 16)(self._say)

    def say(self, meaning: Meaning) -> str:
        """The document in this language."""
        return self._between.join(self.said(meaning))

    def said(self, meaning: Meaning) -> list[str]:
        """Its sentences."""
        return [
            "".join(self._part(part, meaning) for part in self._parsed[meaning.scene, name])
            for name in meaning.sentences
        ]

    def _part(self, part: _Part, meaning: Meaning) -> str:
        text, capital, form = part
        if form < 0:
            return text
        said = self._cached(*meaning.values[text], form)
        return self._capital(said) if capital else said

    def _capital(self, text: str) -> str:
        first = "İ" if self._turkic and text[:1] == "i" else text[:1].upper()
        return first + text[1:]

    def _say(self, kind: str, value: Any, form: int) -> str:
        """A value in words. ``kind`` may carry arguments after a space ("money EUR", "unit mass-gram")."""
        from babel import dates, lists, numbers, units

        locale, (kind, *arguments) = self.locale, kind.split()
        match kind:
            case "word":
                return str(self.words[value[0]][value[1]][form])
            case "words":
                return lists.format_list([self.words[value[0]][i][0] for i in value[1]], locale=locale)
            case "number":
                return numbers.format_decimal(value, locale=locale)
            case "spelled":
                return self._spelled(value)
            case "count":
                noun = self.words[arguments[0]][int(arguments[1])]
                return f"{value} {noun[self._plural.index(self._category(value))]}"
            case "money":
                return numbers.format_currency(value / 100, arguments[0], locale=locale, group_separator=True)
            case "unit":
                if arguments[0] in self._units:
                    return self._units[arguments[0]].format(value)
                return units.format_unit(value, arguments[0], "long", locale=locale)
            case "percent":
                return numbers.format_percent(value / 100, locale=locale)
            case "date":
                return dates.format_date(datetime.date.fromordinal(value), "full", locale=locale)
            case "month_day":
                return dates.format_skeleton("MMMMd", datetime.date.fromordinal(value), locale=locale)
            case "weekday":
                return str(self.locale.days["stand-alone"]["wide"][value])
            case "time":
                return dates.format_time(datetime.time(*divmod(value, 60)), "short", locale=locale)
            case "city":
                return dates.get_timezone_location(value, locale=locale, return_city=True)
            case "country":
                return str(self.locale.territories[value])
            case "currency":
                return self._currency_of(value)
            case "tongues":
                return self._languages_of(value)
        return str(value)

    def _category(self, n: int) -> str:
        category = self.locale.plural_form(n)
        return category if category in self._plural else self._plural[-1]

    def _spelled(self, n: int) -> str:
        return str(self._num2words(n, lang=self._number_words)) if self._number_words else str(n)

    def _currency_of(self, country: str) -> str:
        from babel.numbers import get_currency_name, get_territory_currencies

        day = datetime.date(2024, 1, 1)
        return get_currency_name(get_territory_currencies(country, day, day)[0], locale=self.locale)

    def _languages_of(self, country: str) -> str:
        from babel.languages import get_official_languages
        from babel.lists import format_list

        codes = get_official_languages(country, de_facto=True)[:3]
        names = [self.locale.languages.get(code) or self.locale.languages[code.partition("_")[0]] for code in codes]
        return format_list(names, locale=self.locale)


def _parse(sentence: str) -> list[_Part]:
    parts: list[_Part] = []
    end = 0
    for match in _SLOT.finditer(sentence):
        if match.start() > end:
            parts.append((sentence[end : match.start()], False, -1))
        parts.append((match[2], bool(match[1]), int(match[3] or 0)))
        end = match.end()
    return [*parts, (sentence[end:], False, -1)]
