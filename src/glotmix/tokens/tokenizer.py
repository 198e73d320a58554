"""Tokenizer: text to token ids and back; trained here as byte-level BPE, or anybody's.

Byte-level, so that every text of every script has tokens, decoding gives it back exactly, and bits per byte are exact.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from glotmix.errors import BadInput, MissingExtra

END_OF_DOCUMENT = "<|end_of_document|>"
"""Added to a tokenizer that has no token for the end of a document."""
KNOWN_ENDS = (
    END_OF_DOCUMENT,
    "<|endoftext|>",
    "<|end_of_text|>",
    "</s>",
    "<eos>",
    "<|eos|>",
    "<|im_end|>",
    "[EOS]",
    "[SEP]",
)
"""Tokens that end a document in the tokenizers at large, in the order in which they are looked for."""
MAX_REPEATS = 4
"""How often a language with less text than the others is repeated in the sample a tokenizer is trained on."""

PRETOKENS = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]{1,4}"
    r"|[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]{1,24}"
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]{1,8}"
    r"|\s*[\r\n]{1,4}|\s{1,8}"
)
"""What BPE never merges across: words with the character before them, single digits, short runs of signs and space.

Every piece is short, so scripts that put no spaces between words do not turn a document into one piece, which makes
training explode in memory. Thai and its like are cut blindly every four characters.
"""


class Tokenizer(ABC):
    """Text ↔ token ids."""

    vocab_size: int
    """Number of ids, the end of a document included."""
    end_of_document: int
    """Id that follows every document."""
    unknown: int | None = None
    """Id of the one token for all that is not in the vocabulary; None where there is no such thing."""
    fingerprint: str
    """16 hexadecimal digits that change when the tokenizer does."""

    @abstractmethod
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text; nothing is put before or after it."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids``; ends of documents are left out."""

    @abstractmethod
    def save(self, directory: Path) -> Path:
        """Write it into ``directory`` so that :func:`load_tokenizer` finds it; returns the file."""


class JsonTokenizer(Tokenizer):
    """A tokenizer of the Hugging Face ``tokenizers`` library (tokenizer.json)."""

    def __init__(self, backend: Any):
        for name in KNOWN_ENDS:
            if (end := backend.token_to_id(name)) is not None:
                break
        else:
            backend.add_special_tokens([END_OF_DOCUMENT])
            end = backend.token_to_id(END_OF_DOCUMENT)
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self.end_of_document = end
        self.vocab_size = backend.get_vocab_size(with_added_tokens=True)
        serialised = backend.to_str()
        self.unknown = _unknown_of(json.loads(serialised)["model"], backend)
        self.fingerprint = sha256(serialised.encode()).hexdigest()[:16]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [item.ids for item in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._backend.decode([int(i) for i in ids], skip_special_tokens=True))

    def save(self, directory: Path) -> Path:
        path = directory / "tokenizer.json"
        path.write_text(self._backend.to_str(pretty=True), encoding="utf-8")
        return path


def _unknown_of(model: Mapping[str, Any], backend: Any) -> int | None:
    """Id of the unknown token of a tokenizer.json's model: named in most kinds, numbered in Unigram."""
    if isinstance(number := model.get("unk_id"), int):
        return number
    token = model.get("unk_token")
    found = None if token is None else backend.token_to_id(token)
    return None if found is None else int(found)


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model (extra ``sentencepiece``)."""

    def __init__(self, serialised: bytes, where: object = None):
        try:
            import sentencepiece
        except ImportError:
            raise MissingExtra("sentencepiece", "sentencepiece") from None
        self._serialised = serialised
        self._backend = sentencepiece.SentencePieceProcessor()
        try:
            self._backend.LoadFromSerializedProto(serialised)
        except RuntimeError:
            raise BadInput("not a SentencePiece model", where=where) from None
        pieces = self._backend.GetPieceSize()
        end = self._backend.eos_id()
        unknown = self._backend.unk_id()
        self.unknown = unknown if unknown >= 0 else None
        self.end_of_document = end if end >= 0 else pieces
        self.vocab_size = pieces + (end < 0)
        self.fingerprint = sha256(serialised).hexdigest()[:16]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self._backend.EncodeAsIds(list(texts))
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._backend.DecodeIds([int(i) for i in ids if i != self.end_of_document]))

    def save(self, directory: Path) -> Path:
        path = directory / "tokenizer.model"
        path.write_bytes(self._serialised)
        return path


def train_tokenizer(
    texts_by_language: Mapping[str, Iterable[str]], vocab_size: int, sample_bytes: int | Mapping[str, int]
) -> JsonTokenizer:
    """Byte-level BPE trained on ``sample_bytes`` of each language, so that a large one does not take the vocabulary.

    A language with less text than that is repeated up to ``MAX_REPEATS`` times. The result is the same on any machine.

    Args:
        texts_by_language: texts of each language; only as many are drawn as are needed.
        vocab_size: number of ids, bytes and the end of a document included.
        sample_bytes: bytes of UTF-8 taken from each language, or of each by its tag.
    """
    tokenizers = _tokenizers()
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(PRETOKENS), behavior="isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    wanted = {name: sample_bytes if isinstance(sample_bytes, int) else sample_bytes[name] for name in texts_by_language}
    samples = {language: _sample(texts, wanted[language]) for language, texts in texts_by_language.items()}
    backend.train_from_iterator(_repeated(samples, wanted), trainer)
    return JsonTokenizer(backend)


def _sample(texts: Iterable[str], sample_bytes: int) -> list[str]:
    """Texts, the last one cut, that together have ``sample_bytes`` bytes of UTF-8 (or all there are)."""
    sample, left = [], sample_bytes
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")[:left]
        sample.append(raw.decode("utf-8", "ignore"))
        left -= len(raw)
        if left <= 0:
            break
    return sample


def _repeated(samples: Mapping[str, list[str]], wanted: Mapping[str, int]) -> Iterator[str]:
    for language, sample in samples.items():
        size = sum(len(text.encode()) for text in sample)
        for _ in range(min(MAX_REPEATS, max(1, round(wanted[language] / max(size, 1))))):
            yield from sample


def load_tokenizer(spec: str, base: Path) -> Tokenizer:
    """A tokenizer from a ``tokenizer.json``, a SentencePiece ``.model``, a directory with one of them, or the hub.

    Args:
        spec: path (relative to ``base``) or a Hugging Face name such as ``Qwen/Qwen3-0.6B``, which uses the network.
        base: directory that a relative path starts from.

    Raises:
        BadInput: there is nothing under that path or name, or it is no tokenizer.
    """
    path = base / Path(spec).expanduser()
    if path.is_dir():
        found = [path / name for name in ("tokenizer.json", "tokenizer.model") if (path / name).is_file()]
        if not found:
            raise BadInput("no tokenizer in it", where=path, expected="tokenizer.json or tokenizer.model")
        path = found[0]
    if path.is_file():
        return SentencePieceTokenizer(path.read_bytes(), path) if path.suffix == ".model" else _from_json(path)
    if path.suffix in (".json", ".model") or spec.startswith((".", "/", "~")) or spec.count("/") > 1:
        raise BadInput("no such file", where=path, expected="tokenizer.json, a SentencePiece .model, or a hub name")
    try:
        return JsonTokenizer(_tokenizers().Tokenizer.from_pretrained(spec))
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        expected = "train, a path, or the name of a model on the hub that has a tokenizer.json"
        raise BadInput(
            f"cannot load the tokenizer {spec!r}: {reason}", where="tokens.tokenizer", expected=expected
        ) from None


def _from_json(path: Path) -> JsonTokenizer:
    try:
        return JsonTokenizer(_tokenizers().Tokenizer.from_str(path.read_text(encoding="utf-8")))
    except Exception as error:
        raise BadInput(
            f"not a tokenizer: {str(error).splitlines()[0]}", where=path, expected="a tokenizer.json"
        ) from None


def _tokenizers() -> Any:
    """The ``tokenizers`` library, threaded, and silent where the process forks afterwards."""
    try:
        import tokenizers
    except ImportError:
        raise MissingExtra("tokenizers", "train") from None
    _quiet_forks()
    return tokenizers


@lru_cache(maxsize=1)
def _quiet_forks() -> None:
    """Its threads do not survive a fork: a child encodes on one thread, and is told so before it would warn."""
    saved: list[str | None] = []

    def before() -> None:
        saved.append(os.environ.get("TOKENIZERS_PARALLELISM"))
        os.environ["TOKENIZERS_PARALLELISM"] = "false"

    def after() -> None:
        if (value := saved.pop()) is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = value

    os.register_at_fork(before=before, after_in_parent=after)
