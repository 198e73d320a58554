"""Parquet: rows read a batch at a time, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from glotmix.errors import BadInput
from glotmix.reading.streams import MAX_EXPANSION, Bound

ROWS = 256
"""Most rows in memory at once (beside the pages of the column they come from)."""
BATCH_BYTES = 1 << 28
"""Most bytes of them, whatever they hold: one text of a dictionary may stand in every row."""


def read_parquet(path: Path, fields: Sequence[str] | None = None) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number from 1, place and fields of every row.

    Args:
        path: the file.
        fields: the fields that are wanted (``metadata.lang`` is one inside a column); default all. All are read where
            one of these is not there, so that a message can tell what is.

    Raises:
        BadInput: no Parquet file, or one that becomes more than compression explains.
    """
    try:
        with path.open("rb") as raw, pq.ParquetFile(raw, pre_buffer=False) as file:
            columns = None if fields is None else _columns(file.schema_arrow, fields)
            number, bound = 0, Bound(path)
            rows = _rows_at_once(file.metadata, path)
            for batch in file.iter_batches(batch_size=rows, columns=columns, use_threads=False):
                bound.take(batch.nbytes)
                for row in batch.to_pylist():
                    number += 1
                    yield number, f"{path}, row {number}", row
    except (pa.ArrowException, OSError, ValueError) as error:  # text that is no UTF-8 is a ValueError
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(f"cannot be read as Parquet: {reason}", where=path) from None


def _columns(schema: pa.Schema, fields: Sequence[str]) -> list[str] | None:
    """Columns that hold the fields; of a column of objects only what is wanted is read. None where one is missing."""
    there = all(name in schema.names or name.partition(".")[0] in schema.names for name in fields)
    return list(fields) if there else None


def _rows_at_once(metadata: pq.FileMetaData, path: Path) -> int:
    """So many that they fit into ``BATCH_BYTES`` even if each holds the largest text there may be.

    The sizes are those of row groups: asked for a column's, pyarrow ends the process where its statistics are damaged.

    Raises:
        BadInput: pages that become more than compression explains.
    """
    sizes = [metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)]
    largest = max([1, *sizes])
    if largest > max(1 << 30, MAX_EXPANSION * path.stat().st_size):
        expected = f"at most {MAX_EXPANSION} times its size"
        raise BadInput(f"a column decompresses to {largest} bytes", where=path, expected=expected)
    return max(1, min(ROWS, BATCH_BYTES // int(largest)))
