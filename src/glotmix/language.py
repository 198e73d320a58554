"""Language: one name for one language, however a corpus, a person or a library spells it.

The tag is ISO 639-3 plus ISO 15924 script, ``swh_Latn``, as FLORES, GlotLID and FineWeb2 write it. ``language.csv``
lists some 380 languages with name, family (top-level, as Glottolog classifies), usual scripts (the default first) and
the other codes they go by: ISO 639-1, the bibliographic codes, and the macrolanguage whose most written member they
are (``swa`` → ``swh``, ``nor`` → ``nob``). What is not listed there is looked up with langcodes, imported only then.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from glotmix.errors import BadInput

EXPECTED = "a language tag such as swh_Latn, swh, sw or zh-Hans"
LONGEST = 100
"""Characters of a tag in any spelling; names of languages may come from a corpus."""

_REGION_SCRIPTS = {
    ("cmn", "TW"): "Hant",
    ("cmn", "HK"): "Hant",
    ("cmn", "MO"): "Hant",
    ("yue", "CN"): "Hans",
    ("srp", "ME"): "Latn",
    ("pan", "PK"): "Arab",
    ("kaz", "CN"): "Arab",
    ("azj", "RU"): "Cyrl",
    ("uzn", "RU"): "Cyrl",
    ("khk", "CN"): "Mong",
    ("snd", "IN"): "Deva",
}
"""Where a region, and not a script, tells how a language is written there (zh_TW)."""

NO_LANGUAGE = frozenset(
    "und unk unknown undetermined undefined none null nil nan na n/a no_language nolang other others mixed mix mul "
    "multi multiple multilingual various mis zxx xx xxx zz - -- ? ??".split()
)
"""Labels that say that a text is in no language, in several, or in one that is not known."""

_COMMON_NAMES = {
    "albanian": "sqi", "arabic": "ara", "azerbaijani": "aze", "chinese": "zho", "estonian": "est", "kurdish": "kur",
    "latvian": "lav", "malay": "msa", "mongolian": "mon", "nepali": "nep", "norwegian": "nor", "odia": "ori",
    "oriya": "ori", "pashto": "pus", "persian": "fas", "swahili": "swa", "uzbek": "uzb", "yiddish": "yid",
}  # fmt: skip
"""Names that the table has for one member of a macrolanguage or another; they stand for what its code stands for."""

_SCRIPT_WORDS = {
    "simplified": "Hans", "traditional": "Hant", "latin": "Latn", "roman": "Latn", "romanized": "Latn",
    "cyrillic": "Cyrl", "devanagari": "Deva", "hebrew script": "Hebr", "arabic script": "Arab", "perso-arabic": "Arab",
}  # fmt: skip
"""How scripts are told beside the English name of a language ("Simplified Chinese", "Serbian (Latin)")."""

_USUAL_SCRIPTS = frozenset(
    "Latn Cyrl Arab Deva Beng Grek Hebr Thai Taml Telu Geor Armn Ethi Khmr Laoo Mymr Gujr Knda Mlym Sinh Guru Tibt "
    "Orya Hans Hant Jpan Kore Hang Syrc Thaa Mong Cans Tfng Nkoo Olck Mtei Cher Java Bali Sund Lana Cham Yiii".split()
)
"""Scripts that a language outside the table is taken to be in without being told. CLDR knows of others where a text was
first found in them: the Cypriot syllabary for Ancient Greek, runes for Old Norse."""

_MODIFIERS = {"latin": "Latn", "cyrillic": "Cyrl", "devanagari": "Deva", "arabic": "Arab"}
"""Scripts as POSIX locale names spell them (sr@latin)."""


@dataclass(frozen=True, order=True)
class Language:
    """A written language."""

    tag: str
    """ISO 639-3 code and ISO 15924 script: "swh_Latn". The only name used in files, tables and mixtures."""
    name: str
    """English name."""
    family: str
    """Top-level family, or "" where the table does not know it."""

    @property
    def code(self) -> str:
        """ISO 639-3 code: "swh"."""
        return self.tag.partition("_")[0]

    @property
    def script(self) -> str:
        """ISO 15924 script: "Latn"."""
        return self.tag.partition("_")[2]

    @property
    def bcp47(self) -> str:
        """Shortest BCP 47 tag ("sw", "zh-Hant", "sr-Latn"), the name CLDR and the web know it by."""
        row = _table().get(self.code)
        short = next((alias for alias in row.aliases if len(alias) == 2), self.code) if row else self.code
        short = {"no": "nb", "iw": "he", "in": "id", "ji": "yi", "mo": "ro"}.get(short, short)
        default = row is not None and row.scripts[0] == self.script and len(row.scripts) == 1
        script = {"Hang": "Kore"}.get(self.script, self.script)
        return short if default else f"{short}-{script}"

    def put_into(self, pattern: str, name: str = "") -> str:
        """A path with the language in it: ``{language}`` stands for the tag, ``{code}`` for its ISO 639-3 part,
        ``{short}`` for its two letters, and ``{name}`` for a name that is given."""
        short = self.bcp47.split("-")[0]
        for slot, value in {"language": self.tag, "code": self.code, "short": short, "name": name}.items():
            pattern = pattern.replace(f"{{{slot}}}", value)
        return pattern

    @classmethod
    def resolve(cls, text: str) -> Language:
        """The language that ``text`` names: "sw", "swh", "swa_Latn", "zh-Hans", "pt_BR", "sr@latin", "nob", "ja.UTF-8",
        or its English name: "Norwegian", "Simplified Chinese", "Serbian (Latin)".

        A macrolanguage stands for its most written member (``swa`` → ``swh``, ``ara`` → ``arb``, ``zho`` → ``cmn``); a
        script that is not given is the language's usual one; a region matters only where it decides the script.

        Raises:
            BadInput: not a language, with the nearest tag there is; or a rare language that needs its script written.
        """
        if not isinstance(text, str):
            raise BadInput(f"{text!r} is no language", expected=EXPECTED)
        if len(text) > LONGEST:  # nothing is kept of it, and nothing is compared with it
            raise BadInput(f"{text[:LONGEST]!r}… is no language", expected=EXPECTED)
        return _resolve(text)


def named_among(name: str, known: Iterable[str]) -> str:
    """The one of some names that another spelling names ("es" among "spa_Latn" and "rus_Cyrl"); ``name`` itself where
    it is one of them, or names none: groups of a table may be called anything."""
    names = tuple(known)
    if name in names:
        return name
    try:
        tag = Language.resolve(name).tag
    except BadInput:
        return name
    return next((one for one in names if one == tag or _is_spelling(one, tag)), name)


def _is_spelling(text: str, tag: str) -> bool:
    try:
        return Language.resolve(text).tag == tag
    except BadInput:
        return False


@dataclass(frozen=True)
class _Row:
    name: str
    family: str
    scripts: tuple[str, ...]
    aliases: tuple[str, ...]


@lru_cache(maxsize=1)
def _table() -> dict[str, _Row]:
    with open(Path(__file__).with_suffix(".csv"), encoding="utf-8", newline="") as file:
        return {
            row["code"]: _Row(row["name"], row["family"], tuple(row["scripts"].split()), tuple(row["aliases"].split()))
            for row in csv.DictReader(file)
        }


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    """Every known code, macrolanguage and two-letter code → the individual language's code."""
    codes = {alias: code for code, row in _table().items() for alias in row.aliases}
    return codes | {code: code for code in _table()}


@lru_cache(maxsize=4096)
def _resolve(text: str) -> Language:
    if (named := _by_name(text)) is not None:
        return named
    code, script, region = _split(text)
    individual = _codes().get(code)
    if individual is None:
        return _resolve_rare(text, code, script)
    row = _table()[individual]
    script = script or _REGION_SCRIPTS.get((individual, region)) or row.scripts[0]
    script = {"Kore": "Hang"}.get(script, script)
    if script not in row.scripts and not _is_script(script):
        raise BadInput(f"{text!r}: {script} is no script", expected=f"{individual}_{row.scripts[0]}")
    return Language(f"{individual}_{script}", row.name, row.family)


def _by_name(text: str) -> Language | None:
    """The language with this English name; None where it is a code, or no name."""
    words = " ".join(re.sub(r"[(),;]", " ", text).casefold().split())
    if re.fullmatch(r"[a-z]{1,3}([-_@.].*)?", words) or not re.fullmatch(r"[^\W\d_]+([ '’-][^\W\d_]+)*", words):
        return None
    if (code := _names().get(words)) is not None:
        return _resolve(code)
    for word, script in _SCRIPT_WORDS.items():
        rest = words.removeprefix(f"{word} ").removesuffix(f" {word}")
        if rest != words and (base := _by_name(rest)) is not None:
            return _resolve(f"{base.code}_{script}")
    found = _english_name(words)
    # It also takes what only begins with a name ("klingonish"); without its last letter that is found as well.
    return _resolve(found) if found and found != _english_name(words[:-1]) else None


def _english_name(words: str) -> str | None:
    import langcodes

    try:
        return str(langcodes.find(words, "en"))
    except LookupError:
        return None


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """English names in small letters → codes."""
    return {row.name.casefold(): code for code, row in _table().items()} | _COMMON_NAMES


def _split(text: str) -> tuple[str, str, str]:
    """Language code, script and region of a tag in any spelling; script and region may be empty."""
    stem, _, modifier = text.strip().partition("@")
    parts = re.split(r"[-_]", stem.partition(".")[0])
    code, rest = parts[0].lower(), parts[1:]
    if not re.fullmatch(r"[a-z]{2,3}", code):
        raise _unknown(text)
    if code == "zh" and rest and re.fullmatch(r"[a-z]{3}", rest[0].lower()):
        code, rest = rest[0].lower(), rest[1:]  # zh-yue: the extended form of yue
    script, region = _MODIFIERS.get(modifier.lower(), ""), ""
    for part in rest:
        if re.fullmatch(r"[A-Za-z]{4}", part):
            script = part.title()
        elif re.fullmatch(r"[A-Za-z]{2}|\d{3}", part):
            region = part.upper()
        elif not re.fullmatch(r"[A-Za-z0-9]{5,8}|\d[A-Za-z0-9]{3}", part):
            raise _unknown(text)
    return code, script, region


def _resolve_rare(text: str, code: str, script: str) -> Language:
    """A language outside the table, through langcodes. Its guess of a script is taken only where it knows one."""
    import langcodes

    language = langcodes.Language.get(code)
    if not language.is_valid() or re.fullmatch(r"q[a-t][a-z]", code) or code in ("mul", "und", "zxx", "mis"):
        raise _unknown(text)
    alpha3 = language.to_alpha3()
    if alpha3 in _table():  # a retired code, such as hbs
        return _resolve(f"{alpha3}_{script or language.script or _table()[alpha3].scripts[0]}")
    likely = language.maximize()
    known = likely.script in _USUAL_SCRIPTS and likely.territory != "US"  # Latn, US: it has no data on the language
    if not script and not known:
        raise BadInput(f"{text!r}: its script is not known", expected=f"the tag with its script, such as {alpha3}_Latn")
    script = script or str(likely.script)
    if not _is_script(script):
        raise BadInput(f"{text!r}: {script} is no script", expected=f"{alpha3}_Latn or another ISO 15924 script")
    return Language(f"{alpha3}_{script}", language.language_name(), "")


@lru_cache(maxsize=256)
def _is_script(script: str) -> bool:
    if any(script in row.scripts for row in _table().values()):
        return True
    import langcodes

    return bool(langcodes.Language.make(script=script).is_valid())


def _unknown(text: str) -> BadInput:
    """The error for what is no language, with the nearest tag by name or by code."""
    near = _nearest(text.strip().lower())
    guess = f"; did you mean {near} ({_table()[near[:3]].name})?" if near else ""
    return BadInput(f"{text!r} is no language{guess}", expected=EXPECTED)


@lru_cache(maxsize=1024)
def _nearest(wanted: str) -> str | None:
    """The tag whose name is most like a word; None where none is like it ("und" is no Rundi, nor "null" Cantonese).
    Every name there is is compared, so answers are kept."""
    for word in (wanted, re.split(r"[-_@.]", wanted)[0]):
        close = difflib.get_close_matches(word, _names(), n=1, cutoff=0.7) if word not in NO_LANGUAGE else []
        if close and len(word) > 3:
            found = _codes()[_names()[close[0]]]
            return f"{found}_{_table()[found].scripts[0]}"
    return None


@lru_cache(maxsize=4096)
def _tag_of(name: str) -> str | None:
    """The tag that a name of a group resolves to; None where it is no language."""
    try:
        return Language.resolve(name).tag
    except BadInput:
        return None


def is_language(name: str) -> bool:
    """Whether a name is that of a language, in any spelling."""
    return _tag_of(name) is not None


def same_language(one: str, other: str) -> bool:
    """Whether two names are the same but for case, or two spellings of one language ("et", "est_Latn", "ekk_Latn")."""
    if one.casefold() == other.casefold():
        return True
    tag = _tag_of(one)
    return tag is not None and tag == _tag_of(other)


def find_name(name: str, known: Sequence[str], *, where: object = None, what: str = "group") -> str:
    """The one of ``known`` that ``name`` means: itself, itself in another case, or another spelling of its language.

    Every option, file and column that names a group resolves here, so that a name means the same everywhere.

    Raises:
        BadInput: none of them, with the nearest; or several.
    """
    if name in known:
        return name
    alike = [one for one in known if one.casefold() == name.casefold()]
    alike = alike or [one for one in known if same_language(one, name)]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise BadInput(f"{name} may be {' or '.join(alike)}", where=where, expected="one of them")
    near = difflib.get_close_matches(name.casefold(), [one.casefold() for one in known], n=1, cutoff=0.5)
    meant = next((one for one in known if near and one.casefold() == near[0]), None)
    guess = f"; did you mean {meant}?" if meant else ""
    raise BadInput(f"no {what} {name}{guess}", where=where, expected=f"one of {', '.join(known)}")
