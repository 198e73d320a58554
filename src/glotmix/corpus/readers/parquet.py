"""Parquet: a row per document, read a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import SeparableReader
from glotmix.corpus.readers.records import document
from glotmix.corpus.readers.streams import MAX_EXPANSION, Bound
from glotmix.errors import BadInput

ROWS = 256
"""Most rows in memory at once (beside the pages of the column they come from)."""
BATCH_BYTES = 1 << 28
"""Most bytes of them, whatever they hold: one text of a dictionary may stand in every row."""


class ParquetReader(SeparableReader):
    """``DIR/<lang>/**/*.parquet``, ``DIR/<lang>.parquet`` or, with ``language_field``, files with all languages."""

    suffixes = (".parquet",)

    def _read(self, name: str, path: Path, language: str) -> Iterator[Document]:
        for number, row in self._rows(path):
            if found := document(row, self.config, language, f"{name}#{number}", f"{path}, row {number}"):
                yield found

    def _rows(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self.config
        wanted = [name for name in (config.text_field, config.language_field, config.id_field) if name is not None]
        try:
            with path.open("rb") as raw, pq.ParquetFile(raw, pre_buffer=False) as file:
                columns = file.schema_arrow.names
                if missing := [name for name in wanted if name not in columns]:
                    there = ", ".join(columns[:12])
                    raise BadInput(
                        f"no column {missing[0]!r}; it has {there}",
                        where=path,
                        expected="corpus.text_field to name one",
                    )
                number, bound = 0, Bound(path)
                rows = _rows_at_once(file.metadata, wanted, path)
                for batch in file.iter_batches(batch_size=rows, columns=wanted, use_threads=False):
                    bound.take(batch.nbytes)
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise BadInput(f"cannot be read as Parquet: {reason}", where=path) from None


def _rows_at_once(metadata: pq.FileMetaData, wanted: list[str], path: Path) -> int:
    """So many that they fit into ``BATCH_BYTES`` even if each holds the largest text there may be.

    Raises:
        BadInput: pages that become more than compression explains.
    """
    largest = 1
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            if column.path_in_schema.partition(".")[0] in wanted:
                size = column.total_uncompressed_size
                if size > max(1 << 30, MAX_EXPANSION * column.total_compressed_size):
                    expected = f"at most {MAX_EXPANSION} times its size"
                    raise BadInput(f"a column decompresses to {size} bytes", where=path, expected=expected)
                largest = max(largest, size)
    return max(1, min(ROWS, BATCH_BYTES // largest))
