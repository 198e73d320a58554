"""The seam: two tables of measurements, where training ends and fitting begins.

``runs``: one row per run — ``run, role, N, D, C, seed, status`` and ``p/<language>`` (the mixture; the average one
where a schedule varied), ``unique/<language>`` where known, ``schedule`` (JSON) where it was not constant.
``losses``: one row per number — ``run, step, tokens, language, metric, value``; laws are fitted to metric ``bpb``.

Someone who has runs of their own starts here, without torch: :func:`read_runs` takes a study directory or a table in
the forms in which people keep them (docs/tables.md): wide (``run, N, D, seed, p/<group>…, loss/<group>…,
unique/<group>…``), two tables as RegMix and Olmix publish theirs, long (``run, step, metric, value``), or a tracker's
export.
"""

from glotmix.measurements.reading import (
    SCORE,
    SCORED,
    Named,
    from_tables,
    from_wide,
    read_mixtures,
    read_runs,
    same_names,
)
from glotmix.measurements.runs import Measurements
from glotmix.measurements.scores import DeclaredScores
from glotmix.measurements.table import open_table, read_table, write_csv

__all__ = [
    "SCORE",
    "SCORED",
    "DeclaredScores",
    "Measurements",
    "Named",
    "from_tables",
    "from_wide",
    "open_table",
    "read_mixtures",
    "read_runs",
    "read_table",
    "same_names",
    "write_csv",
]
