"""One way to read what people have: rows of text with ids and labels, from any of the formats they come in.

:func:`glotmix.reading.rows.read_rows` gives the rows of JSON Lines, JSON, CSV, TSV and Parquet files, compressed or
not; :mod:`glotmix.reading.streams` their bytes as text; :mod:`glotmix.reading.files` what is under a folder;
:mod:`glotmix.reading.labels` the language that a label names. Corpora, chats and texts of classifiers all use these, so
the same file means the same everywhere, and is refused by the same message."""
