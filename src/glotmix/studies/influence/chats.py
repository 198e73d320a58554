"""Chats whose influence is asked: tables with turns, as post-training learns them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from glotmix.corpus.row_fields import TURNS
from glotmix.errors import BadInput
from glotmix.posttraining.chat import encode, load_chat_tokenizer, padded
from glotmix.posttraining.sample import Sample
from glotmix.posttraining.sources import FORMATS
from glotmix.reading.rows import read_rows
from glotmix.reading.values import text_of

if TYPE_CHECKING:
    from glotmix.attribution.samples import Samples
    from glotmix.attribution.texts import Texts


def turns_of(path: Path) -> str | None:
    """Field with the turns of a table's chats; None where it holds none."""
    rows = [row.fields for row in islice(read_rows(path), 1)]
    return next((name for name in TURNS if rows and isinstance(rows[0].get(name), list)), None)


def read_chats(path: Path, field: str) -> tuple[list[Sample], Texts]:
    """The chats of a table with ``language`` and, maybe, ``id`` beside their turns; and what is said in them.

    Raises:
        BadInput: a row without language, or without turns that end with the assistant's; with file and line.
    """
    from glotmix.attribution.texts import Texts

    found: list[Sample] = []
    told: list[str | None] = []
    for row in read_rows(path):
        language, id = (text_of(row.fields.get(name)) for name in ("language", "id"))
        if not language:
            raise BadInput("no language", where=row.place, expected="language, beside the turns")
        turns = FORMATS[TURNS[field]].convert(row.fields, language, row.place)
        if not turns or turns[-1].role != "assistant":
            raise BadInput("no answer", where=row.place, expected="turns that end with the assistant's")
        told.append(id)
        found.append(Sample(id or row.place, "", language, turns))
    ids = None if None in told else tuple(sample.id for sample in found)
    said, languages = tuple(sample.text for sample in found), tuple(sample.language for sample in found)
    return found, Texts(said, languages, None, ids)


def encoded(chats: Sequence[Sample], texts: Texts, model: Path, length: int) -> Samples:
    """Chats as the model's template writes them, cut at ``length`` tokens; the loss is that of what the assistant says.

    Raises:
        BadInput: a tokenizer without a chat template, or chats whose answer begins behind ``length``.
    """
    import torch

    from glotmix.attribution.samples import Samples

    tokenizer = load_chat_tokenizer(model)
    rows = [encode(tokenizer, sample) for sample in chats]
    first = [int(row.mask.argmax()) for row in rows]
    if late := [start for start in first if start >= length]:
        message = f"the answers of {len(late)} of {len(rows)} chats begin behind {length} tokens"
        raise BadInput(message, where="--length", expected=f"{max(late) + 1} or more")
    ids_BT, mask_BT = (torch.from_numpy(side)[:, :length] for side in padded(rows, tokenizer.pad_token_id))
    there_BT = torch.arange(ids_BT.shape[1])[None] < torch.tensor([len(row) for row in rows])[:, None]
    inputs = {
        "input_ids": ids_BT,
        "attention_mask": there_BT.long(),
        "labels": ids_BT.masked_fill(~mask_BT, -100),
    }
    return Samples(inputs, texts.languages, texts.ids)
