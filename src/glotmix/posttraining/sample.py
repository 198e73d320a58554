"""Sample: a conversation in one language whose last turn is the answer to learn, or to be judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from glotmix.errors import BadInput

Split = Literal["train", "validation", "test", "examples"]
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str
    """ "system", "user" or "assistant"."""
    content: str
    """What is said."""

    def to_json(self) -> dict[str, str]:
        """A plain dict, as chat templates take it."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True)
class Sample:
    """One conversation of a task."""

    id: str
    """Unique in its task and language; in parallel data the translations of a sample share it."""
    task: str
    """Name of the task."""
    language: str
    """Tag of the language that it is in and must be answered in."""
    messages: tuple[Message, ...]
    """The turns; the last is the assistant's."""
    check: Mapping[str, Any] = field(default_factory=dict)
    """What an answer is verified by, where a reference does not do (JSON values)."""

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Everything before the answer."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The reference: what the assistant says last."""
        return self.messages[-1].content

    @property
    def text(self) -> str:
        """All that is said, for comparing samples."""
        return "\n".join(message.content for message in self.messages)

    def to_json(self) -> dict[str, Any]:
        """A plain dict; also one line of a chat file."""
        record: dict[str, Any] = {
            "id": self.id,
            "task": self.task,
            "language": self.language,
            "messages": [message.to_json() for message in self.messages],
        }
        return record | ({"check": dict(self.check)} if self.check else {})

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Sample:
        """What :meth:`to_json` gave."""
        messages = tuple(Message(m["role"], m["content"]) for m in record["messages"])
        return cls(record["id"], record["task"], record["language"], messages, record.get("check", {}))


def asked(question: str, answer: str) -> tuple[Message, Message]:
    """A question and its answer as two turns."""
    return Message("user", question), Message("assistant", answer)


def with_shots(sample: Sample, shots: Sequence[Sample]) -> Sample:
    """The sample with other samples' turns before its own: few-shot in the chat format."""
    before = tuple(message for shot in shots for message in shot.messages)
    return Sample(sample.id, sample.task, sample.language, before + sample.messages, sample.check)


def check_ids(samples: Iterable[Sample], *, parallel: bool, where: object = None) -> None:
    """Hold ids to what they promise.

    Args:
        samples: of one task, in any number of languages.
        parallel: whether equal ids in two languages mean translations of one sample.

    Raises:
        BadInput: an id twice in a language; the same id in two languages of data that is not declared parallel.
    """
    seen: dict[str, set[str]] = {}
    for sample in samples:
        languages = seen.setdefault(sample.id, set())
        if sample.language in languages:
            raise BadInput(f"id {sample.id!r} stands twice in {sample.language}", where=where, expected="unique ids")
        if languages and not parallel:
            raise BadInput(
                f"id {sample.id!r} stands in {min(languages)} and in {sample.language}",
                where=where,
                expected="ids unique across languages, or parallel: true where equal ids mean translations",
            )
        languages.add(sample.language)
