"""roff: a man page as paragraphs of plain text. Knows the man and mdoc macros and enough of troff to skip the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator

from glotmix.corpus.readers.mdoc import CLOSERS, MDOC, said
from glotmix.corpus.readers.roff_escapes import STRINGS, Strings, unescaped

_COMMENT = re.compile(r'(?<!\\)((?:\\\\)*)\\["#].*')
_BLANKS = re.compile(r"[ \t]+")
_MACRO = re.compile(r"[.'][ \t]*([A-Za-z%][A-Za-z0-9]*)")
_ARGUMENT = re.compile(r'"((?:[^"]|"")*)"?|((?:\\ |\\[^ ]|[^\s\\])+|\\)')
_SKIPPED_UNTIL = {"TS": "TE", "EQ": "EN", "PS": "PE", "GS": "GE", "de": ".", "de1": ".", "dei": ".", "am": ".",
                  "ig": ".",
                  "am1": ".", "cstart": "cend", "Rs": "Re", "EX": "EE", "Vb": "Ve"}  # fmt: skip
"""Macro → what ends it: tables, equations, pictures, definitions, references and source code are not prose."""
_BREAKS = frozenset(
    "PP P LP HP TP TQ IP RS RE SH SS Sh Ss Pp Lp sp br nf fi EE SY YS Bl El It Bd Ed Sp ce in ti bp ne D1 Dl".split()
)
_PARAGRAPHS = _BREAKS - {"br", "ti", "in", "ce", "ne", "RE", "El", "Ed"}
_ALTERNATING = frozenset("BI BR IB IR RB RI".split())
_FONTS = frozenset("B I R SM SB CW CB CR CI".split())
_HEADINGS = frozenset("SH SS Sh Ss".split())
_LONGEST_CONTROL = 1 << 14
"""Characters of a control line; what is longer is no prose and is left out."""
_LONGEST_PARAGRAPH = 1 << 16
"""Characters after which a paragraph ends."""
_NESTED = 100
"""Conditions in one line."""


def paragraphs(page: str) -> list[str]:
    """The prose of a man page.

    Fonts, sizes and positions are dropped, characters become Unicode, filled lines are joined; an entry of a list
    begins with its tag; tables, equations, pictures, macro definitions, comments, ``.so`` and source code (``.EX``) are
    left out. An unfilled block (``.nf``) keeps its lines. Conditions are decided as ``nroff`` of groff would.
    """
    stripper = _Stripper()
    for line in _prose_lines(page):
        stripper.line(line)
    stripper.end()
    return stripper.paragraphs


def _prose_lines(page: str) -> Iterator[str]:
    """Lines without comments and skipped blocks, continuations (``\\`` at the end) joined, conditions decided."""
    until: str | None = None
    pending: list[str] = []
    conditions = _Conditions()
    for raw in page.replace("\r\n", "\n").split("\n"):
        if raw.endswith("\\") and not raw.endswith("\\\\") and until is None:
            pending.append(raw[:-1])
            continue
        line = "".join([*pending, raw])
        pending = []
        if len(line) > _LONGEST_CONTROL and line[0] in ".'":
            continue
        if until is not None:
            if re.match(rf"[.']\s*{re.escape(until)}(\s|$)", line):
                until = None
            continue
        for kept in conditions.lines(_uncommented(line)):
            name = macro_name(kept)
            if name in _SKIPPED_UNTIL:
                until = _SKIPPED_UNTIL[name]
                if name in ("de", "de1", "dei", "am", "am1", "ig") and (arguments := split_arguments(kept[1:])[1:]):
                    until = arguments[0] if name == "ig" else arguments[1] if len(arguments) > 1 else "."
                yield ".sp"
                break
            yield kept


def _uncommented(line: str) -> str:
    if "\\" in line and (match := _COMMENT.search(line)):
        line = line[: match.start()] + match[1]
    return "." if line.startswith(("'''", '.\\"')) else line


class _Conditions:
    """``.if``, ``.ie``, ``.el`` and their ``\\{ … \\}`` blocks, which may nest."""

    def __init__(self) -> None:
        self._skip = 0  # depth of blocks that are skipped, 0 when text is kept
        self._else: list[bool] = []

    def lines(self, line: str) -> Iterator[str]:
        opens, closes = (line.count("\\{"), line.count("\\}")) if "\\" in line else (0, 0)
        if self._skip:
            self._skip = max(0, self._skip + opens - closes)
            return
        for _ in range(_NESTED):
            name = macro_name(line)
            if name not in ("if", "ie", "el", "while"):
                break
            holds, line = self._decided(name, line[1:].lstrip()[len(name) :].lstrip())
            if not holds:
                self._skip = max(0, opens - closes)
                return
            line = line.replace("\\{", "").replace("\\}", "").strip()
            if not line:
                return
            opens = closes = 0
        if closes:
            line = line.replace("\\}", "").replace("\\{", "")
        if not (closes and line.strip() in ("", ".", "'", ".br")):
            yield line

    def _decided(self, name: str, rest: str) -> tuple[bool, str]:
        """Whether what a condition guards is kept, and what that is."""
        if name == "el":
            return bool(self._else) and self._else.pop(), rest
        holds, rest = _condition(rest)
        if name == "ie":
            self._else.append(not holds)
        return holds and name != "while", rest


def _condition(text: str) -> tuple[bool, str]:
    """Whether a condition holds in groff's nroff, and what follows it."""
    negated = text.startswith("!")
    text = text[negated:].lstrip()
    if not text:  # a condition that is missing
        return False, ""
    if match := re.match(r"([\"'\x07])(.*?)\1(.*?)\1", text):
        holds = match[2] == match[3]
    elif match := re.match(r"[rdcmF]\s*\S+", text):
        holds = False
    elif match := re.match(r"\((?:[^()]|\([^()]*\))*\)|\S+", text):
        condition = match[0]
        if condition.endswith(("\\{", "\\{\\")):
            match = re.match(r".*?(?=\\\{)", text)
            condition = match[0] if match else condition
        holds = condition in ("n", "o", "1") or re.fullmatch(r"\(?\\n(\(\.g|\[\.g\])\)?", condition) is not None
    return holds != negated, text[match.end() :].lstrip() if match else ""


def macro_name(line: str) -> str:
    """Name of the macro or request of a control line, "" for text."""
    match = _MACRO.match(line) if line[:1] in (".", "'") else None
    return match[1] if match else ""


def split_arguments(text: str) -> list[str]:
    """Words of a control line; double quotes hold several together and "" in them is a quote."""
    return [quoted.replace('""', '"') if word == "" else word for quoted, word in _ARGUMENT.findall(text)]


class _Stripper:
    """Collects text into paragraphs."""

    def __init__(self) -> None:
        self.paragraphs: list[str] = []
        self._lines: list[str] = []
        self._filled = True
        self._strings = Strings(STRINGS)
        self._size = 0  # characters of the paragraph so far
        self._glue = False  # the next text follows without a space (\c, mdoc Ns)
        self._heading = False  # the next line is the text of a heading
        self._name = ""  # mdoc .Nm
        self._link = ""  # address of an open .UR or .MT
        self._linked = 0

    def line(self, line: str) -> None:
        if not line.strip() or line.strip() in (".", "'"):
            if not line.strip():
                self._break(paragraph=True)
            return
        if name := macro_name(line):
            self._macro(name, line[1:].lstrip()[len(name) :].strip())
        elif line[0] not in ".'":
            if line[0] in " \t":
                self._break(paragraph=False)
            self._text(line)

    def end(self) -> None:
        self._break(paragraph=True)

    def _macro(self, name: str, rest: str) -> None:
        if name in _BREAKS:
            self._break(paragraph=name in _PARAGRAPHS)
        if name == "nf":
            self._filled = False
        elif name == "fi":
            self._filled = True
        elif name == "ds":
            self._define(rest)
        elif name in _HEADINGS:
            self._heading_line(split_arguments(rest))
        elif name in ("IP", "SY"):
            self._text("".join(split_arguments(rest)[:1]))
        elif name in _FONTS:
            self._text(" ".join(split_arguments(rest)))
        elif name in _ALTERNATING:
            self._text("".join(split_arguments(rest)))
        elif name == "OP":
            self._text(f"[{' '.join(split_arguments(rest))}]")
        elif name in ("UR", "MT"):
            self._link, self._linked = "".join(split_arguments(rest)[:1]), len(self._lines)
        elif name in ("UE", "ME"):
            self._end_link(rest)
        elif name in MDOC:
            self._mdoc([name, *split_arguments(rest)])

    def _mdoc(self, words: list[str]) -> None:
        if words[0] == "Nm":
            self._name = self._name or " ".join(words[1:2])
        self._glue = self._glue or words[0] in CLOSERS
        text, glue = said(words, self._name)
        self._text(text)
        self._glue = self._glue or glue

    def _heading_line(self, arguments: list[str]) -> None:
        self._filled = True
        if arguments:
            self._text(" ".join(arguments))
            self._break(paragraph=True)
        else:
            self._heading = True

    def _end_link(self, rest: str) -> None:
        if len(self._lines) == self._linked:
            self._text(self._link)
        if rest and self._lines:
            self._lines[-1] += unescaped(rest.strip('"'), self._strings)

    def _define(self, rest: str) -> None:
        name, _, value = rest.partition(" ")
        self._strings.define(name, value.lstrip().removeprefix('"'))

    def _text(self, text: str) -> None:
        glue_next = text.endswith("\\c")
        text = _BLANKS.sub(" ", unescaped(text, self._strings)).strip()
        if text:
            if self._glue and self._lines:
                self._lines[-1] += text
            else:
                self._lines.append(text)
            self._glue = False
            self._size += len(text)
        self._glue = self._glue or glue_next
        if self._heading or self._size > _LONGEST_PARAGRAPH:
            self._heading = False
            self._break(paragraph=True)

    def _break(self, *, paragraph: bool) -> None:
        self._glue = False
        if not self._lines:
            return
        if not paragraph:
            if self._lines[-1] and not self._lines[-1].endswith("\n"):
                self._lines[-1] += "\n"
            return
        joined = ("\n" if not self._filled else " ").join(self._lines)
        if text := re.sub(r" *\n[ \n]*", "\n", joined).strip():
            self.paragraphs.append(text)
        self._lines, self._size = [], 0
