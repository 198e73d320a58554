"""Scores of an answer against a reference: the last number, ROUGE-L and chrF, fit for every script.

ROUGE-L is rouge-score's (Lin 2004), chrF is sacrebleu's (Popović 2015). rouge-score's own tokens are runs of a–z and
0–9, so that a Russian or Chinese text has none; ours are the same runs in any alphabet, and single characters in
scripts that put no spaces between words, as XL-Sum evaluates them (Hasan et al. 2021, arXiv 2106.13822).
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

from glotmix.errors import MissingExtra

_NUMBER = re.compile(r"[-−]?\d+(?:[.,٫٬\u00a0\u202f' ’]\d+)*")
_SIGNS = re.compile(r"[.,٫٬\u00a0\u202f' ’]")
SPACELESS = ((0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF))
"""Blocks of scripts without spaces between words: Thai to Tibetan, Burmese, Khmer, kana, Han; and planes 2 and 3."""


def last_number(text: str) -> float | None:
    """The last number in a text, in the digits of any script; None where there is none.

    One kind of sign before groups of three digits separates thousands ("1,234", "1 234", "1.234.567"); otherwise the
    last sign is the decimal one ("3,5", "1,234.50", "0.125").
    """
    digits = {c: str(value) for c in set(text) if (value := unicodedata.decimal(c, None)) is not None}
    found = _NUMBER.findall("".join(digits.get(c, c) for c in text))
    return _value(found[-1]) if found else None


def _value(number: str) -> float:
    sign = -1.0 if number[0] in "-−" else 1.0
    first, *groups = _SIGNS.split(number.lstrip("-−"))
    thousands = len(set(_SIGNS.findall(number))) <= 1 and first != "0" and all(len(group) == 3 for group in groups)
    if thousands or not groups:
        return sign * float(first + "".join(groups))
    return sign * float(first + "".join(groups[:-1]) + "." + groups[-1])


def words(text: str) -> list[str]:
    """Tokens that ROUGE compares: lower-cased runs of letters and digits with their marks, and single characters of
    scripts without spaces."""
    tokens: list[str] = []
    inside = False
    for c in unicodedata.normalize("NFKC", text).lower():
        if c.isalnum():
            alone = _spaceless(c)
            if inside and not alone and not _spaceless(tokens[-1][0]):
                tokens[-1] += c
            else:
                tokens.append(c)
            inside = True
        elif inside and unicodedata.category(c)[0] == "M":
            tokens[-1] += c
        else:
            inside = False
    return tokens


def _spaceless(c: str) -> bool:
    return any(low <= ord(c) <= high for low, high in SPACELESS) or 0x20000 <= ord(c) <= 0x3FFFF


class _Tokenizer:
    def tokenize(self, text: str) -> list[str]:
        return words(text)


@cache
def _rouge() -> Any:
    try:
        from rouge_score import rouge_scorer
    except ImportError:
        raise MissingExtra("rouge-score", "posttrain") from None
    return rouge_scorer.RougeScorer(["rougeL"], tokenizer=_Tokenizer())


@cache
def _chrf() -> Any:
    try:
        from sacrebleu.metrics import CHRF
    except ImportError:
        raise MissingExtra("sacrebleu", "posttrain") from None
    return CHRF()


def rouge_l(answer: str, reference: str) -> float:
    """F of ROUGE-L from 0 to 1."""
    return float(_rouge().score(reference, answer)["rougeL"].fmeasure)


def chrf(answer: str, reference: str) -> float:
    """Sentence chrF from 0 to 1."""
    return float(_chrf().sentence_score(answer, [reference]).score) / 100
