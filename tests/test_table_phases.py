"""Tables of runs whose mixtures changed: columns phase1/tokens, phase1/lr, phase1/p/<group>, …"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from glotmix.errors import BadInput
from glotmix.fit import Fit, fit
from glotmix.fit.predictions import predict_table
from glotmix.fit.splits import mixtures_of
from glotmix.measurements import Measurements, from_wide, read_mixtures, read_runs, same_names


def table(runs: int = 6, **columns: list[object]) -> pl.DataFrame:
    """Runs of two phases, 3 to 1, but for the last, which has one mixture."""
    first = np.round(np.random.default_rng(0).uniform(0, 1, runs), 3)
    second = np.round(np.random.default_rng(1).uniform(0, 1, runs), 3)
    changes = np.arange(runs) < runs - 1

    def of(x: np.ndarray) -> list[float | None]:
        return [float(value) if there else None for value, there in zip(x, changes, strict=True)]

    average = np.where(changes, 0.75 * first + 0.25 * second, 0.5)
    told: dict[str, object] = {
        "run": [f"r{r}" for r in range(runs)],
        "D": [4e8] * runs,
        "p/est": average,
        "p/swh": 1 - average,
        "phase1/tokens": of(np.full(runs, 3e8)),
        "phase1/lr": of(np.full(runs, 1e-3)),
        "phase1/p/est": of(first),
        "phase1/p/swh": of(1 - first),
        "phase2/tokens": of(np.full(runs, 1e8)),
        "phase2/lr": of(np.full(runs, 4e-4)),
        "phase2/p/est": of(second),
        "phase2/p/swh": of(1 - second),
        "loss/est": 2 - average,
        "loss/swh": 1 + average,
    }
    return pl.DataFrame(told | columns)


def test_phases_are_read_and_written_and_read_again(tmp_path: Path) -> None:
    found = from_wide(table())
    assert found.phases is not None
    np.testing.assert_array_equal(found.changes_R, [True] * 5 + [False])
    np.testing.assert_allclose(found.phases.length_RK[:5], [[0.75, 0.25]] * 5)
    np.testing.assert_allclose(found.phases.length_RK[5], [1, 0])
    np.testing.assert_allclose(found.phases.rate_RK[:5], [[1e-3, 4e-4]] * 5)
    np.testing.assert_allclose(found.phases.average_RL, found.p_RL, atol=1e-12)
    found.to_polars().write_csv(tmp_path / "runs.csv")
    again = read_runs(tmp_path / "runs.csv")
    np.testing.assert_allclose(again.phases.p_RKL, found.phases.p_RKL)
    np.testing.assert_allclose(again.phases.length_RK, found.phases.length_RK)
    np.testing.assert_array_equal(again.phases.rate_RK[:5], found.phases.rate_RK[:5])


def test_what_phases_are_on_average_need_not_be_said() -> None:
    whole = from_wide(table())
    runs = table().head(5)
    bare = from_wide(runs.drop("p/est", "p/swh"))
    np.testing.assert_allclose(bare.p_RL, whole.p_RL[:5])
    mixed = table().with_columns(pl.Series("p/est", [None] * 5 + [0.5]), pl.Series("p/swh", [None] * 5 + [0.5]))
    np.testing.assert_allclose(from_wide(mixed).p_RL, whole.p_RL)


def test_shares_in_percent_and_other_spellings() -> None:
    shares = [name for name in table().columns if "p/" in name]
    percent = table().with_columns([pl.col(name) * 100 for name in shares])
    np.testing.assert_allclose(from_wide(percent).phases.p_RKL, from_wide(table()).phases.p_RKL)
    spelt = table().rename({name: name.replace("phase1/p/", "Phase_1/share/") for name in table().columns})
    np.testing.assert_allclose(from_wide(spelt).phases.p_RKL, from_wide(table()).phases.p_RKL)


def test_runs_that_end_alike_and_began_otherwise_are_not_one_mixture() -> None:
    turned = table().head(2).with_columns(pl.lit(0.5).alias("p/est"), pl.lit(0.5).alias("p/swh"))
    first, second = [0.4, 0.6], [0.8, 0.2]
    turned = turned.with_columns(
        pl.Series("phase1/p/est", first), pl.Series("phase1/p/swh", [1 - x for x in first]),
        pl.Series("phase2/p/est", second), pl.Series("phase2/p/swh", [1 - x for x in second]),
    )  # fmt: skip
    assert set(mixtures_of(from_wide(turned))) == {0, 1}


def test_every_fault_is_told_with_its_run_and_column() -> None:
    wrong = table(**{
        "phase1/tokens": [None, 3e8, 3e8, 3e8, 3e8, None],
        "phase2/lr": [4e-4, -1.0, 4e-4, 4e-4, 4e-4, None],
        "phase2/p/est": ["0.3", "0.3", "0.9", "0.3", "x", None],
    })  # fmt: skip
    with pytest.raises(BadInput) as told:
        from_wide(wrong)
    text = str(told.value)
    for part in ("phase1/tokens is no number", "phase2/lr is -1", "r2, phase 2: shares sum to", "'x'"):
        assert part in text


def test_an_average_that_is_not_that_of_the_phases_is_told() -> None:
    off = table().with_columns(pl.lit(0.9).alias("p/est"), pl.lit(0.1).alias("p/swh"))
    with pytest.raises(BadInput, match=r"p/est is 0.9 \(expected the phases' average"):
        from_wide(off)


def test_a_faulty_phase_blames_no_other_run_and_hides_no_other_fault() -> None:
    """Runs of phases have no shares but theirs; a wrong average in another run is told beside it."""
    rows = table().with_row_index("row")
    bare, wrong = pl.col("row") < 3, (pl.col("row") == 4)
    given = [pl.when(bare).then(None).when(wrong).then(x).otherwise(pl.col(n)).alias(n) for n, x in (("p/est", 0.9), ("p/swh", 0.1))]  # fmt: skip
    off = rows.with_columns(*given, pl.when(pl.col("row") == 1).then(-0.2).otherwise(pl.col("phase2/p/est")).alias("phase2/p/est"))  # fmt: skip
    for read in (lambda: from_wide(off.drop("row")), lambda: read_mixtures(off.drop("row"), ("est", "swh"))):
        with pytest.raises(BadInput) as told:
            read()
        assert re.findall(r"\b(r\d)\b", str(told.value)) == ["r1", "r4"]


def test_phases_are_numbered_from_one() -> None:
    with pytest.raises(BadInput, match="phase1, phase2"):
        from_wide(table().rename({name: name.replace("phase2", "phase3") for name in table().columns}))


def fitted() -> tuple[Fit, Measurements]:
    runs = from_wide(table(24))
    return fit("own_ratio_floored+order", runs, starts=2), runs


def test_a_law_of_order_predicts_a_table_of_phases(tmp_path: Path) -> None:
    law, runs = fitted()
    asked = tmp_path / "asked.csv"
    table(24).drop("loss/est", "loss/swh").write_csv(asked)
    predict_table(law, asked, tmp_path / "told.csv")
    told = pl.read_csv(tmp_path / "told.csv")["loss/est"].to_numpy()
    np.testing.assert_allclose(told, law.predict(runs.p_RL, phases=runs.phases).value_RT[:, 0])
    assert np.abs(told - law.predict(runs.p_RL).value_RT[:, 0]).max() > 1e-6
    bare = read_mixtures(table(24).drop("p/est", "p/swh").head(23), ("swh", "est"))
    np.testing.assert_allclose(bare.p_RL[:, 0], 1 - runs.p_RL[:23, 0])


def test_a_fit_keeps_the_phases_that_it_saw() -> None:
    law, runs = fitted()
    again = Fit.from_json(json.loads(json.dumps(law.to_json())))
    np.testing.assert_array_equal(again.measured.phases.p_RKL, runs.phases.p_RKL)
    np.testing.assert_array_equal(
        again.predict(runs.p_RL, phases=runs.phases).value_RT, law.predict(runs.p_RL, phases=runs.phases).value_RT
    )


def test_runs_kept_apart_get_their_phases_in_the_same_order() -> None:
    law, runs = fitted()
    turned = from_wide(table(24).select(sorted(table(24).columns, reverse=True)).rename({"run": "name"}))
    assert turned.languages != runs.languages
    np.testing.assert_array_equal(same_names(turned, law).phases.p_RKL, runs.phases.p_RKL)
