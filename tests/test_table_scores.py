"""Scores in tables of runs: told by their column or declared, in percent, at chance, out of range."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from glotmix.errors import BadInput
from glotmix.measurements import DeclaredScores, from_wide, read_runs, write_csv
from glotmix.scored import Scored

RUNS = {
    "run": ["a", "b", "c", "d"],
    "p/es": [1.0, 0.5, 0.2, 0.0],
    "p/ru": [0.0, 0.5, 0.8, 1.0],
    "loss/es": [1.0, 1.1, 1.3, 2.0],
    "acc/es": [0.61, 0.55, 0.41, 0.25],
}


def write(tmp_path: Path, table: dict, name: str = "runs.csv") -> Path:
    path = tmp_path / name
    pl.DataFrame(table).write_csv(path)
    return path


def test_a_column_says_that_it_is_a_score(tmp_path):
    found = read_runs(write(tmp_path, RUNS))
    assert found.targets == ("es", "es/acc")  # beside the loss of the same name
    assert found.scored == {"es/acc": Scored()}
    np.testing.assert_allclose(found.loss("es/acc"), 1 - np.array(RUNS["acc/es"]))
    alone = read_runs(write(tmp_path, {key: x for key, x in RUNS.items() if key != "loss/es"}))
    assert alone.targets == ("es",)
    assert alone.gain_unit == "score"


@pytest.mark.parametrize("column", ["score/quiz", "quiz/acc", "eval/quiz/acc_norm", "exact_match/quiz", "f1/quiz"])
def test_scores_by_many_names(tmp_path, column):
    table = {**RUNS, column: RUNS["acc/es"]}
    del table["acc/es"]
    assert set(read_runs(write(tmp_path, table)).scored) == {"quiz"}


def test_a_target_is_declared_with_its_chance_and_questions(tmp_path):
    table = {key.replace("acc/es", "loss/quiz"): x for key, x in RUNS.items()}
    declared = DeclaredScores(("Quiz",), (), {"quiz": 0.2}, {"": 400})
    found = read_runs(write(tmp_path, table), scores=declared)
    assert found.scored == {"quiz": Scored(True, 0.2, 400)}
    np.testing.assert_allclose(found.loss("quiz"), 1 - np.array(RUNS["acc/es"]))
    assert DeclaredScores.of(found.scored).among(found.targets, {}) == found.scored


def test_an_error_rate_is_what_it_is(tmp_path):
    table = {key.replace("acc/es", "loss/quiz"): x for key, x in RUNS.items()}
    found = read_runs(write(tmp_path, table), scores=DeclaredScores((), ("quiz",)))
    np.testing.assert_allclose(found.loss("quiz"), RUNS["acc/es"])


def test_percent_is_told_and_divided(tmp_path):
    for cells in ([61.0, 55.0, 41.0, 25.0], ["61 %", "55 %", "41 %", "25 %"]):
        found = read_runs(write(tmp_path, RUNS | {"acc/es": cells}))
        np.testing.assert_allclose(found.loss("es/acc"), 1 - np.array(RUNS["acc/es"]))
        assert any("percentages" in remark for remark in found.remarks)


def test_what_cannot_be_is_told_with_run_and_value(tmp_path):
    with pytest.raises(BadInput, match=r"run b: score of es/acc is -0.2.*0 to 1"):
        read_runs(write(tmp_path, RUNS | {"acc/es": [0.6, -0.2, 0.4, 0.2]}))
    with pytest.raises(BadInput, match=r"run c: score of es/acc is 120 "):
        read_runs(write(tmp_path, RUNS | {"acc/es": [60.0, 50.0, 120.0, 20.0]}))
    path = write(tmp_path, RUNS)
    with pytest.raises(BadInput, match="no target nothing"):
        read_runs(path, scores=DeclaredScores(("nothing",)))
    with pytest.raises(BadInput, match="es is no score"):
        read_runs(path, scores=DeclaredScores((), (), {"es": 0.25}))
    with pytest.raises(BadInput, match="chance of 1"):
        read_runs(path, scores=DeclaredScores((), (), {"": 1.0}))


def test_what_is_only_called_so_is_left_alone(tmp_path):
    found = read_runs(write(tmp_path, RUNS | {"error/quiz": [3.2, 400.0, 2.0, 1.0]}))
    assert set(found.scored) == {"es/acc"}
    assert any("error/quiz is not read" in remark for remark in found.remarks)


def test_all_right_and_all_wrong_are_half_a_question_away(tmp_path):
    told = DeclaredScores((), (), {}, {"": 200})
    found = read_runs(write(tmp_path, RUNS | {"acc/es": [1.0, 0.5, 0.3, 0.0]}), scores=told)
    assert found.loss("es/acc").tolist() == pytest.approx([0.0025, 0.5, 0.7, 0.9975])
    assert any("0 or 1 in 2 runs" in remark for remark in found.remarks)


def test_a_score_at_chance_carries_nothing_and_that_is_said(tmp_path):
    declared = DeclaredScores((), (), {"": 0.25}, {"": 100})
    some = read_runs(write(tmp_path, RUNS), scores=declared)
    assert any("no better than chance (0.25) in 1 of 4" in remark for remark in some.remarks)
    table = RUNS | {"acc/es": [0.26, 0.24, 0.27, 0.25]}
    found = read_runs(write(tmp_path, table), scores=declared)
    assert any("tells next to nothing of mixtures" in remark for remark in found.remarks)


def test_a_long_table_and_two_tables(tmp_path):
    shares = {key: x for key, x in RUNS.items() if key == "run" or key.startswith("p/")}
    rows = [
        {"run": run, "step": 1, "metric": metric, "value": RUNS[column][r]}
        for r, run in enumerate(RUNS["run"])
        for metric, column in (("eval/es/bpb", "loss/es"), ("eval/es/acc", "acc/es"))
    ]
    long = tmp_path / "long.csv"
    pl.DataFrame(rows).write_csv(long)
    mixtures = write(tmp_path, shares, "mixtures.csv")
    found = read_runs(long, mixtures=mixtures)
    assert found.targets == ("es", "es/acc")
    np.testing.assert_allclose(found.loss("es/acc"), 1 - np.array(RUNS["acc/es"]))
    plain = write(tmp_path, {"run": RUNS["run"], "quiz": RUNS["acc/es"]}, "losses.csv")
    declared = read_runs(None, mixtures=mixtures, losses=plain, scores=DeclaredScores(("quiz",)))
    np.testing.assert_allclose(declared.loss("quiz"), 1 - np.array(RUNS["acc/es"]))


def test_what_is_written_is_read_again(tmp_path):
    found = from_wide(pl.DataFrame(RUNS))
    write_csv(found.to_polars(), tmp_path / "again.csv")
    again = read_runs(tmp_path / "again.csv")
    assert again.scored == found.scored
    np.testing.assert_allclose(again.loss_RT, found.loss_RT, atol=1e-12)
