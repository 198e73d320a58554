"""mdoc: BSD's macros for man pages, whose arguments may be macros again (``.Op Fl a Ar file``)."""

from __future__ import annotations

_PLAIN = frozenset(
    "Nm Nd Fl Ar Cm Ic Li Va Vt Em Sy Pa Ev Fn Fa Ft In An Ad Dv Er Tn Ms No Lb St Xr Lk Mt Bx Fx Ox Nx Dx At Ux Bsx "
    "Ql It Sx Cd Fo Fc Tg Nd D1 Dl".split()
)
_QUOTES = {
    "Op": "[]", "Oo": "[", "Oc": "]", "Dq": "“”", "Do": "“", "Dc": "”", "Qq": '""', "Qo": '"', "Qc": '"', "Sq": "‘’",
    "So": "‘", "Sc": "’", "Pq": "()", "Po": "(", "Pc": ")", "Bq": "[]", "Bo": "[", "Bc": "]", "Brq": "{}", "Bro": "{",
    "Brc": "}", "Aq": "<>", "Ao": "<", "Ac": ">", "Eq": "", "Xo": "", "Xc": "",
}  # fmt: skip
"""Enclosures: two signs round the rest of the line, or one sign in its place."""
_CLOSING = frozenset(". , : ; ) ] ? !".split())
_OPENING = frozenset("( [".split())
_SYSTEMS = {"Bx": "BSD", "Fx": "FreeBSD", "Ox": "OpenBSD", "Nx": "NetBSD", "Dx": "DragonFly", "At": "AT&T UNIX",
            "Ux": "UNIX", "Bsx": "BSD/OS"}  # fmt: skip
CLOSERS = frozenset("Oc Dc Qc Sc Pc Bc Brc Ac".split())
_SILENT = frozenset("Ns Ap Pf Bk Ek Sm Xo Xc Tg".split())

MDOC = _PLAIN | set(_QUOTES) | _SILENT
"""Macros that print their arguments; the others (``.Dd``, ``.Os``, ``.Bl``, ``.Ex`` …) print nothing of the page."""


def said(words: list[str], name: str) -> tuple[str, bool]:
    """What a control line prints, and whether what comes next follows without a space.

    Args:
        words: the macro and its arguments.
        name: the page's name, which ``.Nm`` alone stands for.
    """
    line = _Line(name)
    last = len(words)
    while last > 1 and words[last - 1] in _CLOSING:
        last -= 1
    line.walk(words[:last])
    return line.text + "".join([*reversed(line.closing), *words[last:]]), line.glue


class _Line:
    def __init__(self, name: str):
        self.text, self.glue, self.closing = "", False, list[str]()
        self._name = name

    def walk(self, words: list[str]) -> None:
        at = 0
        while at < len(words):
            word, following = words[at], words[at + 1] if at + 1 < len(words) else None
            at += 1
            if word == "Xr" and following is not None:
                section = words[at + 1] if at + 1 < len(words) and words[at + 1][:1].isdigit() else None
                self._put(f"{following}({section})" if section else following)
                at += 2 if section else 1
            elif word == "Fl":
                self._flags(following)
                at += following is not None and following not in MDOC and following not in _CLOSING
            else:
                self._word(word, following)

    def _word(self, word: str, following: str | None) -> None:
        if word in _QUOTES:
            signs = _QUOTES[word]
            self._open(signs[:1]) if word not in ("Oc", "Dc", "Qc", "Sc", "Pc", "Bc", "Brc", "Ac") else self._close(
                signs
            )
            if len(signs) == 2:
                self.closing.append(signs[1])
        elif word in ("Ns", "Ap"):
            self.text, self.glue = self.text.rstrip() + ("'" if word == "Ap" else ""), True
        elif word == "Nm" and (following is None or following in _CLOSING or following in MDOC):
            self._put(self._name)
        elif word == "Nd":
            self._put("—")
        elif word in _SYSTEMS:
            self._put(_SYSTEMS[word])
        elif word not in MDOC:
            self._close(word) if word in _CLOSING else self._open(word) if word in _OPENING else self._put(word)

    def _flags(self, following: str | None) -> None:
        self._put("-" if following is None or following in MDOC or following in _CLOSING else f"-{following}")
        if following in ("Ns", "Fl"):
            self.glue = True

    def _put(self, word: str) -> None:
        self.text += word if self.glue or not self.text else f" {word}"
        self.glue = False

    def _open(self, sign: str) -> None:
        if sign:
            self._put(sign)
            self.glue = True

    def _close(self, sign: str) -> None:
        self.text, self.glue = self.text.rstrip() + sign, False
