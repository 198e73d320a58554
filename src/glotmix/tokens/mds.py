"""Shards of MosaicML Streaming (MDS, version 2): ids of any whole type, the bytes of LLM-Foundry, or text.

Format: ``streaming/base/format/mds`` of mosaicml-streaming 0.13. A sample is the sizes of those of its columns that
have none of their own, four bytes each, and then the columns, by name. An array begins with its number of axes and
their lengths where its column does not say them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from glotmix.errors import BadInput
from glotmix.tokens.sharded import LARGEST, ShardFile

COLUMNS = ("tokens", "input_ids")
"""Names of a column with ids."""
KINDS = {
    "uint8": "u1",
    "int8": "i1",
    "uint16": "<u2",
    "int16": "<i2",
    "uint32": "<u4",
    "int32": "<i4",
    "uint64": "<u8",
    "int64": "<i8",
}
FOUNDRY = "<i8"
"""What ids in a column of plain bytes are: LLM-Foundry writes and reads them so."""
READABLE = ("zstd", "gz", "bz2")
"""Compressions that are read."""


class MdsFile(ShardFile):
    """``shard.00000.mds``, or the same compressed."""

    shards: ClassVar[str] = "shards"

    @classmethod
    def names_of(cls, shard: Mapping[str, Any]) -> dict[str, object]:
        named: dict[str, object] = {}
        for field in ("raw_data", "zip_data"):
            if isinstance(told := shard.get(field), dict):
                named[f"{field}.basename"] = told.get("basename")
        return named or {"raw_data.basename": None}

    def _understood(self, text_field: str, *, ids: bool) -> bool:
        entry, shard = self.entry, self.entry.shard
        if (written := (shard.get("format"), shard.get("version"))) != ("mds", 2):
            raise entry.wrong("format", written, "mds, version 2")
        packing = str(shard.get("compression") or "").partition(":")[0]
        if self.compressed and packing not in READABLE:
            raise entry.wrong("compression", packing, f"{', '.join(READABLE)}, or none")
        names, kinds = self._columns()
        column = next((one for one in COLUMNS if one in names), None) if ids else None
        column = column or (text_field if text_field in names else None)
        if column is None:
            told = f"columns {', '.join(names)}"
            if set(COLUMNS) & set(names):
                where, expected = "corpus.tokenizer", "the one that made the ids"
                raise BadInput(f"{entry.where} has {told}, and no tokenizer is named", where=where, expected=expected)
            raise entry.wrong("column_names", told, f"one of {', '.join(dict.fromkeys((*COLUMNS, text_field)))}")
        self._number = names.index(column)
        kind = kinds[self._number]
        if column not in COLUMNS:
            if kind not in ("str", "bytes"):
                raise entry.wrong("column_encodings", f"{column}: {kind}", "str")
            return True
        self._kind, self._shaped = self._array(column, kind)
        return False

    def _columns(self) -> tuple[list[str], list[str]]:
        """Names of the columns, and how each is written."""
        names, kinds, sizes = (self.entry.shard.get(f"column_{what}") or [] for what in ("names", "encodings", "sizes"))
        same = all(isinstance(one, list) and len(one) == len(names) for one in (names, kinds, sizes))
        if not same or not all(isinstance(one, str) for one in (*names, *kinds)):
            raise self.entry.wrong("column_names", names, "as many column_names, column_encodings and column_sizes")
        for name, kind in zip(names, kinds, strict=True):
            if kind == "pkl":
                expected = "no pickles: reading one runs code that is in it"
                raise self.entry.wrong("column_encodings", f"{name}: pkl", expected)
        self._widths = [self._width(one) for one in sizes]
        return names, kinds

    def _width(self, size: Any) -> int | None:
        """Bytes of a column in every sample; None where they differ."""
        if size is None or (isinstance(size, int) and not isinstance(size, bool) and 0 <= size < LARGEST):
            return size or None  # the library takes 0 for none
        raise self.entry.wrong("column_sizes", size, "whole numbers and nulls")

    def _array(self, column: str, encoding: str) -> tuple[np.dtype[Any], bool]:
        """Type of the ids, and whether a sample says how many there are."""
        if encoding == "bytes":
            return np.dtype(FOUNDRY), False
        name, _, rest = encoding.partition(":")
        kind, _, shape = rest.partition(":")
        if name != "ndarray" or kind not in KINDS or not (shape == "" or shape.isdecimal()):
            told = "ndarray:<int8 to uint64>, with or without one length, or bytes"
            raise self.entry.wrong("column_encodings", f"{column}: {encoding}", told)
        width = self._widths[self._number]
        if shape and width != int(shape) * np.dtype(KINDS[kind]).itemsize:
            raise self.entry.wrong("column_sizes", width, f"that of {encoding}")
        return np.dtype(KINDS[kind]), not shape

    @property
    def compressed(self) -> bool:
        return self.entry.field.startswith("zip_data")

    @property
    def samples(self) -> int:
        return self.entry.count("samples")

    @property
    def unpacked(self) -> int:
        return self.entry.count("raw_data.bytes")

    @cached_property
    def sizes(self) -> np.ndarray:
        width = self._widths[self._number]
        if width is not None:
            return np.full(self.samples, width // self._kind.itemsize, dtype=np.int64)
        others = [one for number, one in enumerate(self._widths) if number != self._number]
        if None in others:
            return np.array([len(self._ids(sample, k)) for k, sample in self.each_sample()], dtype=np.int64)
        bytes_S = np.diff(self.bounds) - 4 - sum(one for one in others if one is not None)
        return self._counts(bytes_S)

    def _counts(self, bytes_S: np.ndarray) -> np.ndarray:
        """Ids in so many bytes of the column, with the head of an array of one axis where samples say their shapes.

        A head is a byte for the axes and 1, 2, 4 or 8 for the length, the fewest that hold it; so no two numbers of ids
        take the same room."""
        found = np.full(bytes_S.shape, -1, dtype=np.int64)
        for power in range(4) if self._shaped else ():
            ids_S, rest_S = np.divmod(bytes_S - 1 - (1 << power), self._kind.itemsize)
            least = 1 << (8 << (power - 1)) if power else 1
            fits = (rest_S == 0) & (ids_S >= least) & (ids_S < float(1 << (8 << power)))
            found[fits] = ids_S[fits]
        if not self._shaped:
            ids_S, rest_S = np.divmod(bytes_S, self._kind.itemsize)
            found = np.where(rest_S == 0, ids_S, -1)
        if (found < 0).any():
            which = int(np.flatnonzero(found < 0)[0])
            message = f"sample {which} has {bytes_S[which]} bytes for its ids"
            raise BadInput(message, where=self.path, expected=f"an array of one axis, of {self._kind.name}")
        return found

    def _value(self, sample: bytes, number: int) -> bytes:
        untold = [place for place, width in enumerate(self._widths) if width is None]
        told = np.frombuffer(sample[: 4 * len(untold)][: len(sample) // 4 * 4], "<u4")
        if len(told) != len(untold):
            raise BadInput(f"sample {number} is cut off", where=self.path, expected=f"sizes of {len(untold)} columns")
        widths = [int(width or 0) for width in self._widths]
        for place, width in zip(untold, told.tolist(), strict=True):
            widths[place] = width
        if 4 * len(untold) + sum(widths) != len(sample):
            message = f"sample {number} has {len(sample)} bytes"
            raise BadInput(message, where=self.path, expected=f"{4 * len(untold) + sum(widths)}, as it says itself")
        first = 4 * len(untold) + sum(widths[: self._number])
        return sample[first : first + widths[self._number]]

    def _ids(self, sample: bytes, number: int) -> np.ndarray:
        value = self._value(sample, number)
        if self._shaped:
            count = int(self._counts(np.array([len(value)]))[0])
            head = len(value) - count * self._kind.itemsize
            told = int.from_bytes(value[1:head], "little")
            if value[0] >> 2 != 1 or told != count:
                message = f"sample {number}: {value[0] >> 2} axes, the first of {told}"
                raise BadInput(message, where=self.path, expected=f"one axis, of {count} ids")
            value = value[head:]
        elif len(value) % self._kind.itemsize:
            message = f"sample {number} has {len(value)} bytes for its ids"
            raise BadInput(message, where=self.path, expected=f"whole numbers of {self._kind.itemsize}")
        return np.frombuffer(value, self._kind)
