"""The section `tokens` of a study: how text becomes tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from glotmix.config import Section


class TokensConfig(Section):
    """How text becomes tokens."""

    tokenizer: str = "train"
    """``train`` for a byte-level BPE trained on a balanced sample; else a tokenizer.json, a SentencePiece model, or a
    Hugging Face name (the latter needs the network)."""
    vocab_size: int = Field(2048, ge=257, le=1_000_000)
    """Vocabulary of a trained tokenizer; 257 is bytes and the end of a document, nothing merged. With a tokenizer of
    the hub, how many ids that has, for what is told before it is fetched."""
    sample_bytes: int = Field(2_000_000, ge=1000)
    """Bytes of each language that the tokenizer is trained on; under another balance than ``bytes``, of one on
    average."""
    balance: Literal["bytes", "temperature", "parity"] = "bytes"
    """How the sample is shared among languages: as many bytes of each, in proportion to their sizes to the power
    1/temperature, or so that documents which all languages share cost each about as many tokens."""
    temperature: float = Field(3.33, ge=1)
    """τ under ``balance: temperature``; 1 is in proportion to the text there is."""
    lossy: Literal["refuse", "allow"] = "refuse"
    """What to do where over a tenth of a language's tokens are unknown, or of its characters are lost in decoding."""
    held_out_tokens: int = Field(50_000, ge=1000)
    """Most held-out tokens per language that losses are measured on."""
