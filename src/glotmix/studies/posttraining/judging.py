"""The judge's round over the answers that no code can verify; nothing is asked twice, nor unless a judge is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from glotmix.artifact import creating, fingerprint, open_artifact
from glotmix.errors import BadInput
from glotmix.posttraining.judge import Judge, as_score
from glotmix.studies.posttraining.cells import Plan
from glotmix.study.narrator import Narrator

if TYPE_CHECKING:
    from glotmix.studies.posttraining.config import PosttrainingConfig

KIND = "judged answers"


def judged(
    config: PosttrainingConfig,
    plan: Plan,
    scores: Mapping[str, pl.DataFrame],
    directory: Path,
    narrator: Narrator,
) -> dict[str, pl.DataFrame]:
    """Scores with the judge's ratings filled in, cell by cell; each cell's are kept as soon as they are complete.

    Raises:
        BadInput: answers that need a judge, and none is named.
        Unreachable: the judge does not answer; what was judged before is kept.
    """
    waiting = {name: table for name, table in scores.items() if table["value"].is_null().any()}
    if not waiting:
        return dict(scores)
    if config.judge is None:
        task = next(iter(waiting.values())).filter(pl.col("value").is_null())["task"][0]
        raise BadInput(
            f"the answers of {task} can be verified by nothing but a judge",
            where="judge",
            expected="judge: {endpoint, model}, or test samples with a check",
        )
    judge, result = Judge(config.judge), dict(scores)
    with narrator.bar("Judging") as advance:
        for number, (name, table) in enumerate(waiting.items()):
            advance(f"Judging: {number} of {len(waiting)} models", number, len(waiting))
            made_from = {
                "judge": config.judge.model_dump(include={"endpoint", "model"}),
                "answers": fingerprint(table["answer"].to_list()),
            }
            folder = directory / "judged" / name
            if open_artifact(folder, KIND, made_from) is None:
                rated = _rated(table, judge, plan)
                with creating(folder, KIND, made_from) as part:
                    rated.write_parquet(part / "scores.parquet")
            result[name] = pl.read_parquet(folder / "scores.parquet")
    return result


def _rated(table: pl.DataFrame, judge: Judge, plan: Plan) -> pl.DataFrame:
    samples = {
        (task, language): {sample.id: sample for sample in plan.setting.data.samples(task, "test", language)}
        for task, language in table.select("task", "language").unique().iter_rows()
    }
    values = [
        row["value"]
        if row["value"] is not None
        else as_score(judge.rate(samples[row["task"], row["language"]][row["id"]], row["answer"]))
        for row in table.iter_rows(named=True)
    ]
    return table.with_columns(pl.Series("value", values, dtype=pl.Float64))
