"""Chat: conversations as token ids, and which of them are learnt.

Tokens come from the model's own chat template and tokenizer (transformers). A glotmix proxy has no template, so it is
given one, with a token of its own for every role (:func:`chat_proxy`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from glotmix.errors import BadInput, MissingExtra
from glotmix.posttraining.sample import ROLES, Message, Sample

ROLE_TOKENS = {role: f"<|{role}|>" for role in ROLES}
"""Tokens that begin a turn of a proxy; a text that holds one is refused."""
TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{ '<|assistant|>' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{%- else -%}{{ '<|' + message['role'] + '|>' + message['content'] }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)
"""A proxy's chat template; ``generation`` marks what the assistant says, its end included."""


@dataclass(frozen=True)
class Encoded:
    """A conversation as token ids."""

    ids: np.ndarray
    """Token ids, [T]."""
    mask: np.ndarray
    """Whether each token is learnt, [T]: what the assistant says in every turn, and the turns' ends."""
    language: str
    """Language of the sample."""

    def __len__(self) -> int:
        return len(self.ids)


def load_chat_tokenizer(model: str | Path, template: Path | None = None) -> Any:
    """A model's tokenizer, which must know how to write a conversation.

    Args:
        model: directory, or name on the hub.
        template: file with a Jinja chat template, for a model that has none.

    Raises:
        BadInput: no tokenizer there, one without a chat template, or with one that ends no answer.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtra("transformers", "posttrain") from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(model), trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(
            f"cannot load the tokenizer: {reason}", where=model, expected="a directory or a hub name"
        ) from None
    if template is not None:
        try:
            tokenizer.chat_template = template.read_text(encoding="utf-8")
        except OSError as error:
            raise BadInput(f"cannot be read: {error.strerror}", where=template, expected="a Jinja template") from None
    if not tokenizer.chat_template:
        raise BadInput(
            "has no chat template",
            where=model,
            expected="an instruction-tuned model's tokenizer, or bases.NAME.chat_template: FILE.jinja",
        )
    ends = end_tokens(tokenizer)
    if not ends:
        raise BadInput(
            "its chat template puts no special token behind an answer, which would never end",
            where=model,
            expected="a template that ends the assistant's turn, such as with eos_token",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(ends[0])
    return tokenizer


def end_tokens(tokenizer: Any) -> tuple[int, ...]:
    """Tokens that end an answer: the first special one that the template writes behind it, and the end of a text.

    Several families end a turn with a token of its own (``<|eot_id|>``, ``<end_of_turn>``), which is not ``eos_token``.
    """
    turns = (Message("user", "a"), Message("assistant", "b"))
    behind = _ids(tokenizer, turns, ask=False)[len(prompt_ids(tokenizer, turns[:1])) :]
    special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    first = next((id for id in behind if id in special), None)
    if first is None:
        return ()
    return tuple(dict.fromkeys(id for id in (first, tokenizer.eos_token_id) if id is not None))


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation up to where the assistant's answer begins."""
    return _ids(tokenizer, messages, ask=True)


def encode(tokenizer: Any, sample: Sample, longest: int | None = None) -> Encoded:
    """A sample's token ids, and which of them the assistant says, in whichever turn.

    The prompt must be a beginning of the whole: a template that rewrites earlier turns once the answer is there would
    learn something else than what is generated from. An earlier turn may lose its
    marks of thought: what is learnt of it begins where the whole still is what its prompt was, and ends with the turn.

    Raises:
        BadInput: a template that does so, or a sample longer than ``longest`` tokens.
    """
    prompt = prompt_ids(tokenizer, sample.prompt)
    whole = _ids(tokenizer, sample.messages, ask=False)
    if whole[: len(prompt)] != prompt:
        raise BadInput(
            f"sample {sample.id!r}: the conversation does not begin with its own prompt",
            where="chat template",
            expected="a template in which an answer only adds to what was there",
        )
    if longest is not None and len(whole) > longest:
        raise BadInput(
            f"sample {sample.id!r} of {sample.task} in {sample.language} has {len(whole)} tokens",
            where="finetuning.context",
            expected=f"at most {longest}",
        )
    mask = np.arange(len(whole)) >= len(prompt)
    earlier = [turn for turn, message in enumerate(sample.prompt) if message.role == "assistant"]
    ends = end_tokens(tokenizer) if earlier else ()
    for turn in earlier:
        begins = _common(prompt_ids(tokenizer, sample.messages[:turn]), whole)
        mask[begins : next((i for i in range(begins, len(whole)) if whole[i] in ends), begins - 1) + 1] = True
    return Encoded(np.array(whole, np.int64), mask, sample.language)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def decoded(tokenizer: Any, ids: Sequence[int]) -> tuple[Message, ...]:
    """The conversation that a proxy's token ids stand for: the inverse of its template.

    Raises:
        BadInput: the ids do not begin with a role.
    """
    roles = {tokenizer.convert_tokens_to_ids(token): role for role, token in ROLE_TOKENS.items()}
    turns: list[tuple[str, list[int]]] = []
    for id in map(int, ids):
        if id in roles:
            turns.append((roles[id], []))
        elif not turns:
            raise BadInput(f"token {id} before any role", expected=" | ".join(ROLE_TOKENS.values()))
        elif id != tokenizer.eos_token_id:
            turns[-1][1].append(id)
    return tuple(Message(role, tokenizer.decode(said)) for role, said in turns)


def _ids(tokenizer: Any, messages: Sequence[Message], *, ask: bool) -> list[int]:
    for message in messages:
        if forged := _specials(tokenizer).search(message.content):  # it would be read as the token itself
            raise BadInput(f"a message holds the special token {forged[0]}", where="chat", expected="plain text")
    turns = [message.to_json() for message in messages]
    # Templates of models that can think aloud (Qwen3) mark an answer without thoughts in the prompt only when told so;
    # else the marks would be part of what is learnt and of every answer. Other templates do not know the name.
    found = tokenizer.apply_chat_template(
        turns, add_generation_prompt=ask, tokenize=True, return_dict=True, enable_thinking=False
    )
    return [int(id) for id in found["input_ids"]]


def _specials(tokenizer: Any) -> re.Pattern[str]:
    """Matches any special token of a tokenizer."""
    if tokenizer not in _SPECIALS:
        tokens = sorted({str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}, key=len, reverse=True)
        _SPECIALS[tokenizer] = re.compile("|".join(map(re.escape, tokens)) or r"(?!)")
    return _SPECIALS[tokenizer]


_SPECIALS: WeakKeyDictionary[Any, re.Pattern[str]] = WeakKeyDictionary()


def padded(samples: Sequence[Encoded], pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and masks of a batch, [B, T], filled up on the right."""
    T = max(len(sample) for sample in samples)
    ids_BT, mask_BT = np.full((len(samples), T), pad, np.int64), np.zeros((len(samples), T), bool)
    for row, sample in enumerate(samples):
        ids_BT[row, : len(sample)] = sample.ids
        mask_BT[row, : len(sample)] = sample.mask
    return ids_BT, mask_BT


def chat_proxy(checkpoint: Path, tokenizer_json: Path, directory: Path) -> None:
    """Give a proxy tokens for roles and a chat template: a directory that transformers opens as a chat model.

    A role's vector begins as that of the end of a document (each with a little noise of its own, so that roles differ).

    Raises:
        BadInput: no proxy checkpoint or no byte-level tokenizer there.
    """
    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from glotmix.proxy.checkpoint import load_checkpoint, save_checkpoint
    from glotmix.tokens.tokenizer import KNOWN_ENDS

    shape, parameters = load_checkpoint(checkpoint)
    try:
        backend = Tokenizer.from_file(str(tokenizer_json))
    except Exception as error:
        raise BadInput(f"not a tokenizer: {error}", where=tokenizer_json, expected="a tokenizer.json") from None
    end = next((name for name in KNOWN_ENDS if backend.token_to_id(name) is not None), None)
    if end is None:
        raise BadInput("has no token for the end of a document", where=tokenizer_json)
    backend.add_special_tokens(list(ROLE_TOKENS.values()))
    vocab = backend.get_vocab_size(with_added_tokens=True)
    generator = torch.Generator().manual_seed(0)
    grown = dict(parameters)
    for name in ("embedding", "head"):
        if name in parameters:
            rows = parameters[name][:, [backend.token_to_id(end)] * (vocab - shape.vocab)]
            noise = torch.empty_like(rows).normal_(0, 0.02, generator=generator)
            grown[name] = torch.cat([parameters[name], rows + noise], 1)
    shape = type(shape)(**{**shape.__dict__, "vocab": vocab})
    save_checkpoint(directory, grown, shape, end_of_document=backend.token_to_id(end))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=end, pad_token=end)
    tokenizer.chat_template = TEMPLATE
    tokenizer.model_max_length = shape.context
    tokenizer.save_pretrained(directory)
