"""Chunks of litdata: ids without a head, as ``TokensLoader`` (LitGPT) and ``PyTreeLoader`` keep them, or text.

Format: ``litdata/streaming/writer.py`` and ``item_loader.py`` of litdata 0.2.76. With ``TokensLoader`` an item is
its ids and nothing else; with ``PyTreeLoader`` four bytes with its size come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from glotmix.errors import BadInput
from glotmix.tokens.sharded import ShardFile

TORCH = {11: "u1", 12: "i1", 13: "<i2", 14: "<i2", 15: "<i4", 16: "<i4", 17: "<i8", 18: "<i8", 20: "<u2"}
"""Codes of ``no_header_tensor`` (``litdata/constants.py``) to types of ids."""
NUMPY = {0: "i1", 1: "<i2", 2: "<i4", 3: "<i8", 4: "u1", 5: "<u2", 6: "<u4", 7: "<u8"}
"""Codes of ``no_header_numpy``."""
TEXT = ("str", "text")
HEADS = {"TokensLoader": 0, "PyTreeLoader": 4}
"""Class that wrote the items to the bytes in front of each."""


class LitdataFile(ShardFile):
    """``chunk-0-0.bin``, or ``chunk-0-0.zstd.bin``."""

    shards: ClassVar[str] = "chunks"

    @classmethod
    def names_of(cls, shard: Mapping[str, Any]) -> dict[str, object]:
        return {"filename": shard.get("filename")}

    def _understood(self, text_field: str, *, ids: bool) -> bool:
        entry, config = self.entry, self._config
        if config.get("encryption"):
            raise self._wrong("encryption", config["encryption"], "data that is not encrypted")
        if self.compressed and config.get("compression_level") not in (None, "", "chunk"):
            raise self._wrong("compression_level", config["compression_level"], "chunk, or no compression")
        loader = config.get("item_loader", "PyTreeLoader")
        if not isinstance(loader, str) or loader not in HEADS:
            raise self._wrong("item_loader", loader, " or ".join(HEADS))
        self._head = HEADS[loader]
        formats = config.get("data_format")
        if not isinstance(formats, list) or not formats or not all(isinstance(one, str) for one in formats):
            raise self._wrong("data_format", formats, "a list of formats")
        if any("pickle" in one for one in formats):
            raise self._wrong("data_format", formats, "no pickles: reading one runs code that is in it")
        name, _, code = formats[0].partition(":")
        codes = {"no_header_tensor": TORCH, "no_header_numpy": NUMPY}.get(name, {})
        kind = codes.get(int(code)) if code.isdecimal() and len(code) < 4 else None
        if len(formats) > 1 or (kind is None and name not in TEXT):
            told = "one value in an item: ids (a tensor or an array of one axis and a whole type), or a text"
            raise self._wrong("data_format", formats, told)
        if kind is None:
            return True
        if not ids:
            raise BadInput(
                f"{entry.where} holds ids, and no tokenizer",
                where="corpus.tokenizer",
                expected="the one that made them",
            )
        self._kind = np.dtype(kind)
        return False

    @property
    def _config(self) -> Mapping[str, Any]:
        config = self.entry.common.get("config")
        if not isinstance(config, dict):
            raise BadInput(
                f"{config!r}"[:200], where=self._index, expected="the config of the index: how items are written"
            )
        return config

    @property
    def _index(self) -> str:
        return f"{self.entry.where.rpartition(': ')[0]}: config"

    def _wrong(self, field: str, value: object, expected: str) -> BadInput:
        return BadInput(f"{value!r}"[:200], where=f"{self._index}.{field}", expected=expected)

    @property
    def compressed(self) -> bool:
        return bool(self._config.get("compression"))

    @property
    def samples(self) -> int:
        return self.entry.count("chunk_size")

    @property
    def unpacked(self) -> int:
        return self.entry.count("chunk_bytes")

    @cached_property
    def tokens(self) -> int:
        """As the index tells, where it does; ``TokensLoader`` needs it there."""
        if (told := self.entry.shard.get("dim")) is None:
            return int(self.sizes.sum())
        room = self.unpacked - 4 * (self.samples + 2) - self._head * self.samples
        if self.entry.count("dim") * self._kind.itemsize != room:
            raise self.entry.wrong("dim", told, f"the ids in {room} bytes, {self._kind.itemsize} each")
        return self.entry.count("dim")

    @cached_property
    def sizes(self) -> np.ndarray:
        ids_S, rest_S = np.divmod(np.diff(self.bounds) - self._head, self._kind.itemsize)
        if rest_S.any() or (ids_S < 0).any():
            which = int(np.flatnonzero((rest_S != 0) | (ids_S < 0))[0])
            message = f"item {which} has {np.diff(self.bounds)[which]} bytes"
            raise BadInput(message, where=self.path, expected=f"{self._head}, and ids of {self._kind.itemsize} each")
        return np.asarray(ids_S)

    def _value(self, sample: bytes, number: int) -> bytes:
        told = len(sample) - self._head
        if told < 0 or (self._head and int.from_bytes(sample[:4], "little") != told):
            raise BadInput(
                f"item {number} has {told} bytes behind its size", where=self.path, expected="as many as it says"
            )
        return sample[self._head :]

    def _ids(self, sample: bytes, number: int) -> np.ndarray:
        return np.frombuffer(self._value(sample, number), self._kind)
