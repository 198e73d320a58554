"""roff escapes: ``\\fB``, ``\\(em``, ``\\[u00E9]``, ``\\*(lq`` … as plain Unicode text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

_ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", ":": "\u0308", "~": "\u0303", ",": "\u0327"}
_ACCENTED = {
    accent + letter: unicodedata.normalize("NFC", letter + mark)
    for accent, mark in _ACCENTS.items()
    for letter in "AaCcEeIiNnOoUuYySsZz"
    if len(unicodedata.normalize("NFC", letter + mark)) == 1
}
_LATIN, _GREEK = "AaBbGgDdEeZzYyHhIiKkLlMmNnCcOoPpRrSsTtUuFfXxQqWw", "ΑαΒβΓγΔδΕεΖζΗηΘθΙιΚκΛλΜμΝνΞξΟοΠπΡρΣσΤτΥυΦφΧχΨψΩω"
_SIGNS = """
em —  en –  hy -  aq '  dq "  lq “  rq ”  oq ‘  cq ’  Bq „  bq ‚  Fo «  Fc »  fo ‹  fc ›  bu •  co ©  rg ®
tm ™  de °  sc §  dg †  dd ‡  ps ¶  ti ~  ha ^  at @  sh #  Do $  Eu €  Po £  Ye ¥  ct ¢  Cs ¤  rs \\  sl /
ul _  ru _  ba |  bv |  or |  br |  bb ¦  lB [  rB ]  lC {  rC }  la ⟨  ra ⟩  -> →  <- ←  <> ↔  ua ↑  da ↓
va ↕  rA ⇒  lA ⇐  hA ⇔  uA ⇑  dA ⇓  mu ×  di ÷  +- ±  pl +  mi −  eq =  == ≡  != ≠  <= ≤  >= ≥  << ≪  >> ≫
ap ≈  ~~ ≈  ~= ≅  |= ≃  =~ ≅  no ¬  tno ¬  if ∞  in ∞  sr √  sqrt √  sum ∑  is ∫  pd ∂  gr ∇  mo ∈  nm ∉  cu ∪
ca ∩  sb ⊂  sp ⊃  ib ⊆  ip ⊇  es ∅  fa ∀  te ∃  te ∃  AN ∧  OR ∨  c* ⊗  c+ ⊕  md ⋅  pc ·  12 ½  14 ¼  34 ¾
S1 ¹  S2 ²  S3 ³  Of ª  Om º  mc µ  r! ¡  r? ¿  ss ß  AE Æ  ae æ  OE Œ  oe œ  /O Ø  /o ø  /L Ł  /l ł  oA Å
oa å  -D Ð  Sd ð  TP Þ  Tp þ  IJ Ĳ  ij ĳ  .i ı  .j ȷ  vS Š  vs š  vZ Ž  vz ž  aa ´  ga `  a^ ^  a~ ~  ad ¨
ah ˇ  ac ¸  ab ˘  ao ˚  a" ˝  ho ˛  OK ✓  CR ↵  fm ′  sd ″  f/ ⁄  ff ff  fi fi  fl fl  Fi ffi  Fl ffl  sq □
ci ○  lz ◊  lh ☞  rh ☜  SP ♠  CL ♣  HE ♥  DI ♦  tf ∴  3d ∴  *b β
""".split()
_NAMED: Mapping[str, str] = {
    **_ACCENTED,
    **{f"*{latin}": greek for latin, greek in zip(_LATIN, _GREEK, strict=True)},
    **dict(zip(_SIGNS[::2], _SIGNS[1::2], strict=True)),
    "ts": "ς",
    "hyphen": "-",
    "aqt": "'",
}
"""Special characters by their two-letter (or longer) name."""


class Strings(dict[str, str]):
    """Values of ``\\*(xx``. A page may define them by each other and by themselves, so how often is bounded."""

    LONGEST = 100
    """Characters of a value; what is longer is cut."""
    DEEPEST = 5
    """Strings in strings."""

    def __init__(self, values: Mapping[str, str]):
        super().__init__(values)
        self._nested_left = 10_000

    def define(self, name: str, value: str) -> None:
        """What ``.ds`` does."""
        self[name] = value[: self.LONGEST]

    def value(self, name: str, depth: int) -> str:
        """The value of a string that stands inside of ``depth`` others; "" for an unknown one, or one too many."""
        self._nested_left -= depth > 0
        return self.get(name, "") if depth < self.DEEPEST and self._nested_left > 0 else ""


STRINGS = Strings({
    "lq": "“", "rq": "”", "R": "®", "Tm": "™", "C`": '"', "C'": '"', "--": "–", "PI": "π", "L\"": "“", "R\"": "”",
    "Lq": "“", "Rq": "”", "Ba": "|", "Ge": "≥", "Le": "≤", "Ne": "≠", "Gt": ">", "Lt": "<", "Am": "&", "Pm": "±",
    "aq": "'", "Aq": "'", "q": '"', "If": "∞", "Na": "NaN", "Pi": "π",
})  # fmt: skip
"""Strings that the macro packages define before the page does."""

# Names in brackets are short: else every bracket that is never closed would be looked for up to the line's end.
_ESCAPE = re.compile(
    r"""\\(?:
      (?P<quiet>[fFmMgVYkO](?:\((?:..)|\[[^\]]{0,80}\]|[^\s(\[])       # fonts, colours, registers that print nothing
        | s(?:[-+]?\d | [-+]?\(.. | [-+]?\[[^\]]{0,80}\] | \([-+]?.. | '[^']*')
        | n[-+]?(?:\(..|\[[^\]]{0,80}\]|.)
        | [hvwlLDbxRABXZHS](?P<q>['"\x07|!]).*?(?P=q)
        | [&)%:/,|^{}pcdurzaE!?] | \$(?:\(..|\[[^\]]{0,80}\]|.)
      )
    | (?P<string>\*(?:\(..|\[[^\]]{0,80}\]|.))
    | \((?P<two>..) | \[(?P<long>[^\]]{0,80})\] | C'(?P<named>[^']*)'
    | N'(?P<code>\d+)'
    | o'(?P<over>[^']*)'
    | (?P<other>.)
    )""",
    re.VERBOSE,
)  # fmt: skip


def special(name: str) -> str:
    """A special character by name: ``em``, ``'e``, ``u00E9``, ``u0065_0301``; "" for one that is not known."""
    if re.fullmatch(r"u[0-9A-Fa-f]{4,6}(_[0-9A-Fa-f]{4,6})*", name):
        codes = [int(part.lstrip("u"), 16) for part in name.split("_")]
        valid = all(code < 0x110000 and not 0xD800 <= code < 0xE000 for code in codes)
        return unicodedata.normalize("NFC", "".join(map(chr, codes))) if valid else ""
    if re.fullmatch(r"char\d{1,3}", name):
        return chr(int(name[4:]))
    return _NAMED.get(name, "")


def unescaped(text: str, strings: Strings = STRINGS, depth: int = 0) -> str:
    """``text`` with every escape replaced by what it prints.

    Args:
        text: a line (or an argument) of a page, its comment already cut off.
        strings: values of ``\\*(xx``, themselves with escapes.
        depth: how many strings this text is inside of.
    """
    if "\\" not in text:
        return text

    def printed(match: re.Match[str]) -> str:
        if match["quiet"]:
            return ""
        if name := match["two"] or match["long"] or match["named"]:
            return special(name)
        if match["string"]:
            return unescaped(strings.value(_string_name(match["string"]), depth), strings, depth + 1)
        if match["code"]:
            return chr(int(match["code"])) if 32 <= int(match["code"]) < 0x110000 else ""
        if match["over"]:
            return match["over"][0]
        return _OTHER.get(match["other"] or "", match["other"] or "")

    return _ESCAPE.sub(printed, text)


_OTHER = {"e": "\\", "~": " ", "0": " ", "t": " ", "n": ""}
"""Escapes that print something other than the character behind the backslash."""


def _string_name(escape: str) -> str:
    """``*(xx``, ``*[name]`` or ``*x`` → the name."""
    return escape[2:].rstrip("]").split(" ")[0] if escape[1] in "([" else escape[1:]
