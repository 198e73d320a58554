"""The judge's round over the answers that no code can verify; nothing is asked twice, nor unless a judge is named."""

from __future__ import annotations

import json
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
    named = {"endpoint", "model"} | ({"prompt"} if config.judge.prompt else set())
    with narrator.bar("Judging") as advance:
        for number, (name, table) in enumerate(waiting.items()):
            advance(f"Judging: {number} of {len(waiting)} models", number, len(waiting))
            made_from = {
                "judge": config.judge.model_dump(include=named),
                "answers": fingerprint(table["answer"].to_list()),
            }
            folder = directory / "judged" / name
            if open_artifact(folder, KIND, made_from) is None:
                begun = directory / "judged" / f"{name}.begun.jsonl"
                rated = _rated(table, judge, plan, begun)
                with creating(folder, KIND, made_from) as part:
                    rated.write_parquet(part / "scores.parquet")
                begun.unlink(missing_ok=True)
            result[name] = pl.read_parquet(folder / "scores.parquet")
    return result


def _rated(table: pl.DataFrame, judge: Judge, plan: Plan, begun: Path) -> pl.DataFrame:
    """The table with ratings; each is noted in ``begun`` as it comes, so that nothing is asked twice."""
    samples = {
        (task, language): {sample.id: sample for sample in plan.setting.data.samples(task, "test", language)}
        for task, language in table.select("task", "language").unique().iter_rows()
    }
    rows = list(table.iter_rows(named=True))
    asked = [(samples[row["task"], row["language"]][row["id"]], row["answer"]) for row in rows]
    who = [judge.config.model, judge.config.prompt] if judge.config.prompt else [judge.config.model]
    keys = [fingerprint([*who, sample.to_json(), answer]) for sample, answer in asked]
    known = _noted(begun)
    waiting = [i for i, row in enumerate(rows) if row["value"] is None and keys[i] not in known]
    begun.parent.mkdir(parents=True, exist_ok=True)
    with begun.open("a", encoding="utf-8") as notes:
        notes.write("\n")  # behind a line that was cut off

        def note(place: int, rating: int) -> None:
            known[keys[waiting[place]]] = rating
            notes.write(json.dumps([keys[waiting[place]], rating]) + "\n")
            notes.flush()

        judge.rate_all([asked[i] for i in waiting], note)
    values = [as_score(known[keys[i]]) if row["value"] is None else row["value"] for i, row in enumerate(rows)]
    return table.with_columns(pl.Series("value", values, dtype=pl.Float64))


def _noted(begun: Path) -> dict[str, int]:
    """Ratings that an interrupted call left; a line that was cut off is asked for again."""
    found: dict[str, int] = {}
    for line in begun.read_text(encoding="utf-8").split("\n") if begun.is_file() else ():
        try:
            key, rating = json.loads(line)
        except ValueError:
            continue
        found[str(key)] = int(rating)
    return found
