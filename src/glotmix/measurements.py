"""The seam: two tables of measurements, where training ends and fitting begins.

``runs``: one row per run — ``run, role, N, D, C, seed, status`` and ``p/<language>`` (the mixture; the average one
where a schedule varied), ``unique/<language>`` where known, ``schedule`` (JSON) where it was not constant.
``losses``: one row per number — ``run, step, tokens, language, metric, value``; laws are fitted to metric ``bpb``.

Someone who has runs of their own starts here, without torch: :func:`read_runs` takes a study directory, one wide table
(``run, N, D, seed, p/<group>…, loss/<group>…, unique/<group>…``) or the two-table form in which RegMix and Olmix
publish theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from glotmix.artifact import compare
from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.notebook import Shown

MAX_TABLE_BYTES = 1 << 30
MAX_TABLE_ROWS = 10_000_000
"""A table of runs has thousands of rows; what is larger is a mistake or an attack."""
MAX_CUTS = 12
"""Separators of which column names may share more than is looked at: every pair of cuts of two tables is compared."""
SHARE_TOLERANCE = 0.025
"""Published tables print shares rounded to three digits (RegMix's sum to 0.996–1.003, one of Data Mixing Laws' to
1.0199), so an imported row may sum to within this of one; it is divided by its sum, and the report says so."""


@dataclass(frozen=True, repr=False)
class Measurements(Shown):
    """Runs as arrays: what laws are fitted to. One row per run and checkpoint, diverged runs already left out."""

    runs: tuple[str, ...]
    """Run names, [R]. The same name may stand in several rows that differ in ``D_R`` (checkpoints)."""
    languages: tuple[str, ...]
    """Languages (or groups) trained on, [L]: the columns of ``p_RL``."""
    targets: tuple[str, ...]
    """Languages (or groups) evaluated, [T]: the columns of ``loss_RT``. May hold languages that no run trained on."""
    p_RL: np.ndarray
    """Mixtures; rows sum to one."""
    loss_RT: np.ndarray
    """Held-out losses (bits per byte in glotmix's own studies); NaN where a run lacks that target."""
    N_R: np.ndarray
    """Parameters without embeddings; NaN where a table does not tell."""
    D_R: np.ndarray
    """Training tokens; NaN where a table does not tell."""
    seed_R: np.ndarray
    """Integer seeds; 0 where a table does not tell."""
    role_R: tuple[str, ...]
    """What each run was planned for: "coalition", "swarm", "anchor", "validation", ... or "" for imported runs."""
    unique_RL: np.ndarray | None = None
    """Unique tokens U of each language that the run could draw from (after simulated epoching), or None."""
    unit: str = "loss"
    """Unit of the losses: "bpb" in studies, "loss" where a table does not tell."""

    def __len__(self) -> int:
        return len(self.runs)

    def where(self, keep_R: np.ndarray) -> Measurements:
        """The rows chosen by a boolean mask or an array of indices."""
        index = np.arange(len(self))[keep_R]
        return Measurements(
            tuple(self.runs[i] for i in index),
            self.languages,
            self.targets,
            self.p_RL[index],
            self.loss_RT[index],
            self.N_R[index],
            self.D_R[index],
            self.seed_R[index],
            tuple(self.role_R[i] for i in index),
            None if self.unique_RL is None else self.unique_RL[index],
            self.unit,
        )

    def with_role(self, *roles: str) -> Measurements:
        """The rows planned for one of ``roles``."""
        return self.where(np.array([role in roles for role in self.role_R], dtype=bool))

    def mixture(self, row: int) -> Mixture:
        """The mixture of one row."""
        return Mixture.from_vector(self.languages, self.p_RL[row])

    def loss(self, target: str) -> np.ndarray:
        """Losses of one target, [R]."""
        return self.loss_RT[:, self.targets.index(target)]

    def to_polars(self) -> pl.DataFrame:
        """One wide table, which :func:`read_runs` reads back: ``run``, ``role``, ``N`` (parameters without embeddings),
        ``D`` (training tokens), ``seed``, ``p/<group>`` (shares), ``loss/<group>``, and ``unique/<group>`` (unique
        tokens) where they are known. What is not known is null; a column of N or D without numbers is left out.
        """
        sizes = {name: x_R for name, x_R in (("N", self.N_R), ("D", self.D_R)) if np.isfinite(x_R).any()}
        blocks = [("p", self.languages, self.p_RL), ("loss", self.targets, self.loss_RT)]
        blocks += [] if self.unique_RL is None else [("unique", self.languages, self.unique_RL)]
        wide = {f"{what}/{name}": x_RG[:, g] for what, names, x_RG in blocks for g, name in enumerate(names)}
        table = pl.DataFrame({"run": self.runs, "role": self.role_R, **sizes, "seed": self.seed_R, **wide})
        return table.fill_nan(None)


def from_tables(runs: pl.DataFrame, losses: pl.DataFrame, metric: str = "bpb") -> Measurements:
    """The final losses of the complete runs of a study's two tables."""
    runs = runs.filter(pl.col("status") == "complete").sort("run")
    languages = _prefixed(runs, "p/")
    final = (
        losses.filter((pl.col("metric") == metric) & pl.col("run").is_in(runs["run"].to_list()))
        .filter(pl.col("step") == pl.col("step").max().over("run"))
        .select("run", "language", "value")
    )
    targets = tuple(sorted(final["language"].unique().to_list(), key=lambda t: _order(t, languages)))
    wide = final.pivot("language", index="run", values="value")
    joined = runs.join(wide.rename({t: f"loss/{t}" for t in targets}), on="run", how="left").sort("run")
    return replace(_from_wide(joined, languages, targets), unit=metric)


def read_runs(path: Path, *, mixtures: Path | None = None, losses: Path | None = None) -> Measurements:
    """Measurements from a study directory, from one wide CSV/Parquet table, or from two tables.

    Args:
        path: study directory or wide table; ignored when both ``mixtures`` and ``losses`` are given.
        mixtures: table of shares, one row per run, first column the run's name (Olmix ``ratios.csv``).
        losses: table of losses, joined by its first column (Olmix ``metrics.csv``).

    Raises:
        BadInput: naming the file and the column, row and value: missing columns, NaN or text where a number belongs,
            a run twice, negative shares, shares that do not sum to one, runs that only one of two tables has.
    """
    if (mixtures is None) != (losses is None):
        raise BadInput("only one of --mixtures and --losses was given", expected="both")
    if mixtures is not None and losses is not None:
        return _read_two_tables(mixtures, losses)
    if path.is_dir():
        folder = path / "measurements"
        if not (folder / "runs.parquet").is_file():
            raise BadInput("no measurements/runs.parquet in it", where=path, expected="the directory of a study")
        for name in ("runs.parquet", "losses.parquet"):
            compare(folder / name)
        return from_tables(read_table(folder / "runs.parquet"), read_table(folder / "losses.parquet"))
    return from_wide(read_table(path), where=path)


def from_wide(table: pl.DataFrame, *, where: object = None) -> Measurements:
    """Measurements from one wide table: ``run``, ``p/<group>``…, ``loss/<group>``…, and what :func:`read_runs` names.

    Args:
        table: one row per run, or per run and checkpoint.
        where: the file or object that it came from, for messages.

    Raises:
        BadInput: as :func:`read_runs`.
    """
    where = "the table" if where is None else where
    languages, targets = _prefixed(table, "p/"), _prefixed(table, "loss/")
    if "run" not in table.columns:
        raise BadInput("no column 'run'", where=where, expected="run, N, D, seed, p/<group>…, loss/<group>…")
    if not languages or not targets:
        missing = "p/<group>" if not languages else "loss/<group>"
        found = ", ".join(table.columns[:8])
        raise BadInput(f"no column {missing}; it has {found}", where=where, expected="p/<group>… and loss/<group>…")
    return _from_wide(table, languages, targets, where=where)


def read_table(path: Path) -> pl.DataFrame:
    """A CSV, TSV or Parquet file as a data frame; its size is bounded.

    Raises:
        BadInput: it is none of these, or larger than any table of runs.
    """
    if not path.is_file():
        raise BadInput("no such file", where=path)
    if (size := path.stat().st_size) > MAX_TABLE_BYTES:
        raise BadInput(f"{size} bytes", where=path, expected=f"a table of at most {MAX_TABLE_BYTES} bytes")
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:  # a few bytes may stand for as many rows as they like
                if (rows := file.metadata.num_rows) > MAX_TABLE_ROWS:
                    raise BadInput(f"{rows} rows", where=path, expected=f"at most {MAX_TABLE_ROWS}")
            return pl.read_parquet(path)
        separator = "\t" if path.suffix == ".tsv" else ","
        return pl.read_csv(path, separator=separator, infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(f"cannot be read as a table: {reason}", where=path, expected="CSV, TSV or Parquet") from None


def write_csv(table: pl.DataFrame, path: Path) -> None:
    """Write a table so that no spreadsheet takes a text in it for a formula: such a text gets ``'`` in front.

    Names of runs and groups may come from strangers, and ``=HYPERLINK(...)`` in a cell is run where it is opened.
    """
    looks = "^[=+@\\-\t\r\n]"
    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    quoted = [pl.when(pl.col(n).str.contains(looks)).then("'" + pl.col(n)).otherwise(pl.col(n)).alias(n) for n in texts]
    safe = table.with_columns(quoted)
    path.parent.mkdir(parents=True, exist_ok=True)
    safe.rename({name: f"'{name}" for name in safe.columns if re.match(looks, name)}).write_csv(path)


def _prefixed(table: pl.DataFrame, prefix: str) -> tuple[str, ...]:
    return tuple(column.removeprefix(prefix) for column in table.columns if column.startswith(prefix))


def _order(target: str, languages: tuple[str, ...]) -> tuple[int, str]:
    """Targets in the mixture come first, in the mixture's order; the others follow by name."""
    return (languages.index(target) if target in languages else len(languages), target)


def _from_wide(
    table: pl.DataFrame, languages: tuple[str, ...], targets: tuple[str, ...], where: object = None
) -> Measurements:
    if table.height == 0:
        raise BadInput("no runs in the table", where=where)
    names = _names(table, "run", where)
    p_RL = _matrix(table, [f"p/{language}" for language in languages], names, where)
    loss_RT = _matrix(table, [f"loss/{target}" for target in targets], names, where, missing_allowed=where is None)
    p_RL = _as_shares(p_RL, names, languages, where)
    if (loss_RT <= 0).any():
        row, column = np.argwhere(loss_RT <= 0)[0]
        raise BadInput(
            f"run {names[row]}: loss/{targets[column]} is {loss_RT[row, column]:g}", where=where, expected="above 0"
        )
    D_R = _optional(table, "D", names, where)
    N_R = _optional(table, "N", names, where)
    seen: set[tuple[str, float]] = set()
    for name, tokens in zip(names, np.nan_to_num(D_R, nan=-1.0), strict=True):
        if (name, float(tokens)) in seen:
            raise BadInput(f"run {name} stands there twice", where=where, expected="one row per run (or per run and D)")
        seen.add((name, float(tokens)))
    unique = None
    if all(f"unique/{language}" in table.columns for language in languages):
        unique = _matrix(table, [f"unique/{language}" for language in languages], names, where)
    return Measurements(
        tuple(names),
        languages,
        targets,
        p_RL,
        loss_RT,
        N_R,
        D_R,
        _seeds(table, names, where),
        tuple(table["role"].cast(pl.String).fill_null("").to_list()) if "role" in table.columns else ("",) * len(names),
        unique,
    )


def _names(table: pl.DataFrame, column: str, where: object) -> list[str]:
    """Names of runs; a row without one is an error with its number."""
    names = table[column].to_list()
    if None in names:
        raise BadInput(f"row {names.index(None) + 1}, column {column}: empty", where=where, expected="a run's name")
    return [str(name) for name in names]


def _seeds(table: pl.DataFrame, names: list[str], where: object) -> np.ndarray:
    """Whole numbers, 0 where a cell is empty."""
    if "seed" not in table.columns:
        return np.zeros(len(names), dtype=int)
    cells = table["seed"]
    numbers = cells.cast(pl.Int64, strict=False)
    if cells.dtype.is_float():
        numbers = numbers.set(numbers.cast(pl.Float64) != cells, None)
    if (bad := (numbers.is_null() & cells.is_not_null()).arg_true()).len():
        row = bad[0]
        raise BadInput(f"run {names[row]}, column seed: {cells[row]!r}", where=where, expected="a whole number")
    return numbers.fill_null(0).to_numpy()


def _matrix(
    table: pl.DataFrame, columns: list[str], names: list[str], where: object, missing_allowed: bool = False
) -> np.ndarray:
    """Numeric columns as an array [rows, columns]; a cell that is no finite number is an error with its place."""
    values = np.empty((table.height, len(columns)))
    for j, column in enumerate(columns):
        numbers = table[column].cast(pl.Float64, strict=False)
        values[:, j] = numbers.fill_null(float("nan")).to_numpy()
        if missing_allowed:
            continue
        bad = np.flatnonzero(~np.isfinite(values[:, j]))
        if len(bad):
            raise BadInput(
                f"run {names[bad[0]]}, column {column}: {table[column][int(bad[0])]!r}",
                where=where,
                expected="a finite number",
            )
    return values


def _optional(table: pl.DataFrame, column: str, names: list[str], where: object) -> np.ndarray:
    if column not in table.columns:
        return np.full(table.height, np.nan)
    values = _matrix(table, [column], names, where)[:, 0]
    if (values <= 0).any():
        row = int(np.flatnonzero(values <= 0)[0])
        raise BadInput(f"run {names[row]}: {column} is {values[row]:g}", where=where, expected="above 0")
    return values


def _as_shares(p_RL: np.ndarray, names: Iterable[str], languages: tuple[str, ...], where: object) -> np.ndarray:
    for name, row in zip(names, p_RL, strict=True):
        if (row < 0).any():
            language = languages[int(np.argmin(row))]
            raise BadInput(f"run {name}: p/{language} is {row.min():g}", where=where, expected="at least 0")
        if abs(row.sum() - 1) > SHARE_TOLERANCE:
            raise BadInput(f"run {name}: shares sum to {row.sum():.4f}", where=where, expected="1")
    return np.asarray(p_RL / p_RL.sum(axis=1, keepdims=True))


def _read_two_tables(mixtures: Path, losses: Path) -> Measurements:
    shares, values = read_table(mixtures), read_table(losses)
    key_p, key_l = shares.columns[0], values.columns[0]
    shares = shares.with_columns(pl.Series(key_p, _names(shares, key_p, mixtures), pl.String))
    values = values.with_columns(pl.Series(key_l, _names(values, key_l, losses), pl.String))
    p_columns, l_columns = _numeric(shares, mixtures), _numeric(values, losses)
    languages, targets = _named_alike(p_columns, l_columns)
    for table, key, path in ((shares, key_p, mixtures), (values, key_l, losses)):
        if (twice := table[key].is_duplicated()).any():
            raise BadInput(f"run {table[key].filter(twice)[0]} stands there twice", where=path)
    only = set(shares[key_p].to_list()) ^ set(values[key_l].to_list())
    if only:
        raise BadInput(
            f"run {sorted(only)[0]} and {len(only) - 1} more stand in one table only", where=f"{mixtures}, {losses}"
        )
    wide = shares.select(
        pl.col(key_p).alias("run"),
        *[pl.col(column).alias(f"p/{name}") for column, name in zip(p_columns, languages, strict=True)],
    ).join(
        values.select(
            pl.col(key_l).alias("run"),
            *[pl.col(column).alias(f"loss/{name}") for column, name in zip(l_columns, targets, strict=True)],
        ),
        on="run",
    )
    return _from_wide(wide, languages, targets, where=f"{mixtures}, {losses}")


def _numeric(table: pl.DataFrame, path: Path) -> list[str]:
    """Columns of numbers after the first; Olmix's tables begin with ``run, name, index``, which are no groups."""
    columns = [
        column for column in table.columns[1:] if table[column].dtype.is_numeric() and column not in ("index", "name")
    ]
    if not columns or "" in columns:
        what = "a column has no name" if columns else "no column of numbers after the first"
        raise BadInput(what, where=path, expected="run, then a column of numbers per group")
    return columns


def _named_alike(p_columns: list[str], l_columns: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Group names of both tables, with what a table's columns share in front and behind taken away.

    ``train_the_pile_arxiv`` and ``metric/the_pile_arxiv_val_loss`` both become ``arxiv``. So much of the shared part is
    taken away as makes most names of the two tables equal, and then leaves the shortest names: two targets
    ``pubmed_central`` and ``pubmed_abstracts`` keep what they share if the mixtures have it.
    """
    pairs = [(p, l) for p in _stripped(p_columns) for l in _stripped(l_columns)]  # noqa: E741 - the tables' letters
    return min(pairs, key=lambda pair: (-len(set(pair[0]) & set(pair[1])), sum(map(len, pair[0] + pair[1]))))


def _stripped(columns: list[str]) -> list[tuple[str, ...]]:
    """The names under every cut, at a separator, of the common beginning and the common end."""
    fronts, backs = _cuts(columns), _cuts([column[::-1] for column in columns])
    named = [tuple(column[i : len(column) - j] for column in columns) for i in fronts for j in backs]
    return [names for names in named if all(names) and len(set(names)) == len(columns)]


def _cuts(columns: list[str]) -> list[int]:
    """Lengths of the beginnings that all columns share and that end in a separator; 0 is one of them."""
    common = 0
    while all(len(column) > common and column[common] == columns[0][common] for column in columns):
        common += 1
    ends = [n for n in range(1, common + 1) if columns[0][n - 1] in "_/. -"]
    return [0, *ends[-MAX_CUTS:]]
