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
_WORD = re.compile(
    r"[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|[^\W_\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
"""A character of a script without spaces, or a run of letters and digits."""


def last_number(text: str) -> float | None:
    """The last number in a text, in the digits of any script; None where there is none.

    A sign before three digits separates thousands ("1,234", "1 234", "1.234.567"), any other the decimals ("3,5").
    """
    plain = "".join(
        str(unicodedata.digit(c)) if c.isdigit() and unicodedata.digit(c, None) is not None else c for c in text
    )
    found = _NUMBER.findall(plain)
    return _value(found[-1]) if found else None


def _value(number: str) -> float:
    sign = -1.0 if number[0] in "-−" else 1.0
    parts = re.split(r"[.,٫٬\u00a0\u202f' ’]", number.lstrip("-−"))
    marks = re.findall(r"[.,٫٬\u00a0\u202f' ’]", number)
    if len(parts) > 1 and (len(parts[-1]) != 3 or parts[0] == "0" or (len(set(marks)) > 1 and len(marks) > 1)):
        if len(set(marks)) == 1 and len(marks) > 1:  # no thousands, and two decimal points: a version, a date
            return sign * float(parts[-1])
        return sign * float("".join(parts[:-1]) + "." + parts[-1])
    return sign * float("".join(parts))


def words(text: str, language: str = "") -> list[str]:
    """Tokens that ROUGE compares: lower-cased words, and single characters of scripts without spaces."""
    return _WORD.findall(_joined_marks(unicodedata.normalize("NFKC", text).lower()))


def _joined_marks(text: str) -> str:
    """Without combining marks, which would cut words of Arabic or Hindi where a regular expression ends them."""
    return "".join(c for c in text if not unicodedata.combining(c) or unicodedata.category(c) == "Mc")


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


def rouge_l(answer: str, reference: str, language: str = "") -> float:
    """F of ROUGE-L from 0 to 1."""
    return float(_rouge().score(reference, answer)["rougeL"].fmeasure)


def chrf(answer: str, reference: str) -> float:
    """Sentence chrF from 0 to 1."""
    return float(_chrf().sentence_score(answer, [reference]).score) / 100
