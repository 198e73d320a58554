"""An LLM as judge, through any OpenAI-compatible endpoint that the user names; nothing is asked unless one is named.

Pointwise, 1 to 5, as the paper has it (arXiv 2504.16677, §3 and fig. 9: the rating is read from ``Rating: [[4]]``);
the wording of the prompt is ours, or the study's own (``judge.prompt``). An answer in the wrong language gets 1 without
the judge being asked.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from glotmix.config import Section
from glotmix.errors import BadInput, GlotmixError
from glotmix.posttraining.sample import Sample

LOWEST, HIGHEST = 1, 5
RATING = re.compile(r"\[\[\s*([1-5])(?:\.0)?\s*\]\]")
MOST_BYTES = 1 << 20
BUSY = (408, 409, 425, 429, 500, 502, 503, 504, 529)
"""Codes of HTTP after which another try may succeed."""
LONGEST_WAIT = 60.0
PROMPT = """You are shown a request and an answer to it. Judge how helpful, correct and complete the answer is, and \
whether it is written well in {language}, the language of the request. Do not let its length sway you.
First give your reasons in a few sentences. Then end with the rating, from 1 (useless) to 5 (excellent), in exactly \
this form: Rating: [[3]]

[Request]
{request}

[Answer]
{answer}"""


class JudgeConfig(Section):
    """Who judges."""

    endpoint: str
    """Base address of an OpenAI-compatible API, such as http://localhost:8000/v1."""
    model: str
    """Name of the judging model there."""
    key_variable: str | None = None
    """Environment variable that holds the API key; none for a server that asks for none."""
    timeout: float = Field(60.0, gt=0)
    """Seconds to wait for one answer."""
    retries: int = Field(2, ge=0)
    """How many times a request that failed is tried again; a server that is busy says for how long to wait."""
    concurrent: int = Field(4, ge=1)
    """Requests at a time."""
    budget: int | None = Field(None, ge=1)
    """Most requests of one call of the study, tries included; what is rated until then is kept. None: no limit."""
    prompt: str | None = None
    """Wording of a request to the judge, with {request} and {answer} (and {language}, if it minds that) where those go;
    it must ask for ``Rating: [[4]]``. Default ours; the paper's stands in its figure 9."""

    @field_validator("prompt")
    @classmethod
    def _asks(cls, prompt: str | None) -> str | None:
        if prompt is not None:
            lacking = [name for name in ("{request}", "{answer}", "[[") if name not in prompt]
            if lacking:
                raise ValueError(f"has no {lacking[0]} in it")
        return prompt

    def asked(self, language: str, request: str, answer: str) -> str:
        """What the judge is asked about an answer; braces in a text are left as they are."""
        given = {"{language}": language, "{request}": request, "{answer}": answer}
        return re.sub(r"\{(?:language|request|answer)\}", lambda found: given[found[0]], self.prompt or PROMPT)


class Unreachable(GlotmixError):
    """The judge does not answer. Answers that were generated are kept; the same command goes on with the judging."""


class Spent(GlotmixError):
    """As many requests were made as the study allows."""


class Judge:
    """Rates answers."""

    def __init__(self, config: JudgeConfig):
        """
        Raises:
            BadInput: an address that is none, or a key that is not in the environment.
        """
        parts = urlsplit(config.endpoint)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise BadInput(f"endpoint = {config.endpoint!r}", where="judge", expected="http(s)://host[:port]/v1")
        self.config = config
        self._requests, self._counting = 0, Lock()
        self._key = None
        if config.key_variable is not None:
            self._key = os.environ.get(config.key_variable)
            if not self._key:
                raise BadInput(
                    f"the environment has no {config.key_variable}", where="judge.key_variable", expected="an API key"
                )

    def rate(self, sample: Sample, answer: str) -> int:
        """Rating of one answer, 1 to 5.

        Raises:
            Unreachable: no answer from the endpoint after all tries.
            GlotmixError: the judge's reply has no rating in it, after all tries.
        """
        request = "\n\n".join(message.content for message in sample.prompt)
        reply = ""
        for _ in range(self.config.retries + 1):
            reply = self._asked(self.config.asked(sample.language, request, answer))
            if found := RATING.findall(reply):
                return int(found[-1])
        raise GlotmixError(f"{self.config.endpoint}: the judge's reply has no rating: {reply[-200:]!r}")

    def rate_all(
        self, asked: Sequence[tuple[Sample, str]], on_rating: Callable[[int, int], None] | None = None
    ) -> list[int]:
        """Ratings of samples' answers in their order, however many are asked for at a time.

        Args:
            asked: samples and answers.
            on_rating: told the place of an answer and its rating as soon as it is there.

        Raises:
            Unreachable, GlotmixError: as :meth:`rate`; what was rated before has been told.
        """
        ratings: dict[int, int] = {}
        failed: BaseException | None = None
        with ThreadPoolExecutor(self.config.concurrent) as pool:
            places = {pool.submit(self.rate, sample, answer): place for place, (sample, answer) in enumerate(asked)}
            for future in as_completed(places):
                if future.cancelled():
                    continue
                if (error := future.exception()) is not None:  # what is under way still counts
                    failed = failed or error
                    for waiting in places:  # a shutdown of the pool would never tell `as_completed` of them
                        waiting.cancel()
                    continue
                ratings[places[future]] = future.result()
                if on_rating is not None:
                    on_rating(places[future], future.result())
        if failed is not None:
            raise failed
        return [ratings[place] for place in range(len(asked))]

    def _asked(self, prompt: str) -> str:
        body = {"model": self.config.model, "temperature": 0, "messages": [{"role": "user", "content": prompt}]}
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        url = self.config.endpoint.rstrip("/") + "/chat/completions"
        reason = ""
        for attempt in range(self.config.retries + 1):
            self._spend()
            request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - http(s) checked
            wait = min(0.5 * 2**attempt, 8)
            try:
                with urllib.request.urlopen(request, timeout=self.config.timeout) as reply:  # noqa: S310
                    return str(json.loads(reply.read(MOST_BYTES))["choices"][0]["message"]["content"])
            except urllib.error.HTTPError as error:
                reason = f"{error.code} {error.reason}"
                if error.code not in BUSY:
                    break
                wait = _told(error) or wait
            except (urllib.error.URLError, OSError) as error:
                reason = str(getattr(error, "reason", error))
            except (ValueError, KeyError, IndexError, TypeError) as error:
                reason = f"its reply is no chat completion ({type(error).__name__})"
            if attempt < self.config.retries:
                time.sleep(wait)
        raise Unreachable(f"{url}: {reason}; finished cells and ratings are kept, the same command goes on from here")

    def _spend(self) -> None:
        with self._counting:
            if self._requests == self.config.budget:
                raise Spent(
                    f"judge.budget: {self._requests} requests are made; ratings are kept, and the same command goes on"
                )
            self._requests += 1


def _told(error: urllib.error.HTTPError) -> float:
    """Seconds that a busy server asks to wait; 0 where it says none."""
    told = error.headers.get("Retry-After", "")
    return min(float(told), LONGEST_WAIT) if told.isdecimal() else 0.0


def as_score(rating: int) -> float:
    """A rating as a share: 1 is 0, 5 is 1."""
    return (rating - LOWEST) / (HIGHEST - LOWEST)
