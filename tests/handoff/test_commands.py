"""`glotmix design` and `glotmix collect`: the two halves of a study alone, from the command line."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from glotmix.cli import app
from glotmix.errors import BadInput, Waiting
from glotmix.measurements import read_runs
from tests.handoff.planted import (
    ABOUT,
    SOURCES,
    TARGETS,
    hand_off,
    losses,
    row_of,
    run_of,
    some_runs,
    write_csv,
    write_lines,
)
from tests.handoff.test_loop import STUDY


def called(*words):
    """What a command that succeeds prints."""
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def design(tmp_path):
    """The table of a study's design, of which nothing is trained or tokenised."""
    (tmp_path / "study.yaml").write_text(json.dumps(STUDY | {"sweep": {}}))
    called("design", tmp_path / "study.yaml", "--out", tmp_path / "design.csv")
    return tmp_path / "design.csv"


def test_a_design_is_a_row_per_run_with_its_full_name(design):
    table = pl.read_csv(design)
    assert table.columns[:6] == ["run", "name", "checksum", "role", "D", "seed"]
    assert table.height == 8
    assert (table["run"] == table["name"] + "." + table["checksum"]).all()
    assert not (design.parent / "out").exists()


def test_passes_of_a_design_are_counted_over_the_text_that_is_told(tmp_path):
    """Eight passes over a target's 10,000 tokens of Russian are a fifth of its 400,000, in every run but one beyond."""
    kept = {"budget": "capped", "passes": 8, "coalitions": "all", "swarm": 4, "swarm_roles": "fit"}
    target = {"tokens": 4e5, "unique_tokens": {"spa_Latn": 9e5, "rus_Cyrl": 1e4}}
    (tmp_path / "study.yaml").write_text(json.dumps(STUDY | {"sweep": {}, "design": kept, "target": target}))
    called("design", tmp_path / "study.yaml", "--out", tmp_path / "design.csv")
    table = pl.read_csv(tmp_path / "design.csv")
    tokens = {row["name"]: row["D"] * row["p/rus_Cyrl"] for row in table.iter_rows(named=True)}
    assert tokens.pop("turn-rus-0-s0") == pytest.approx(0.4 * 50_000)
    assert tokens["coalition-rus-s0"] == tokens["coalition-full-s0"] == max(tokens.values()) == pytest.approx(10_000)


def answered(design):
    """Losses of every run of a design."""
    lines = []
    for row in pl.read_csv(design).iter_rows(named=True):
        shares = {name: row[f"p/{name}"] for name in ("spa_Latn", "rus_Cyrl")}
        told = losses(run_of(row["name"], shares, row["seed"], row["D"]), list(shares))
        lines.append({"run": row["run"], "D": row["D"], "bits_per_byte": told})
    return lines


def test_results_of_a_design_become_a_table_of_runs(design):
    write_lines(design.parent / "results" / "all.jsonl", answered(design))
    out = design.parent / "runs.csv"
    said = called("collect", design.parent / "results", "--design", design, "--out", out)
    assert "8 of 8 runs" in said
    measured = read_runs(out)
    assert set(measured.runs) == set(pl.read_csv(design)["name"])
    assert measured.targets == ("spa_Latn", "rus_Cyrl")
    assert all("billions" in remark for remark in measured.remarks)  # so few tokens look like another unit


def test_a_design_whose_rows_and_columns_were_moved_is_the_same_design(design):
    write_lines(design.parent / "results" / "all.jsonl", answered(design))
    tables = []
    for k in range(2):
        called("collect", design.parent / "results", "--design", design, "--out", design.parent / f"runs{k}.csv")
        tables.append(pl.read_csv(design.parent / f"runs{k}.csv").sort("run"))
        moved = pl.read_csv(design).sample(fraction=1, shuffle=True, seed=3)
        moved.select(list(reversed(moved.columns))).write_csv(design)
    assert tables[0].equals(tables[1].select(tables[0].columns))


def test_runs_that_are_missing_are_waited_for_and_the_others_are_written(design, capsys):
    write_lines(design.parent / "results" / "all.jsonl", answered(design)[1:])
    out = design.parent / "runs.csv"
    done = CliRunner().invoke(
        app, ["collect", str(design.parent / "results"), "--design", str(design), "--out", str(out)]
    )
    assert isinstance(done.exception, Waiting)
    assert done.exception.exit_code == 3
    assert len(read_runs(out)) == 7


def test_the_results_of_a_handoff_are_collected_without_its_study(tmp_path):
    hand_off(tmp_path / "handoff")
    write_csv(tmp_path / "handoff" / "results" / "results.csv", [row_of(run, ABOUT) for run in some_runs().values()])
    for folder in (tmp_path, tmp_path / "handoff"):
        called("collect", folder, "--out", tmp_path / "runs.csv")
        measured = read_runs(tmp_path / "runs.csv")
        assert (measured.languages, measured.targets) == (SOURCES, TARGETS)
        assert measured.unique_RL is not None


def test_runs_that_are_needed_no_more_are_not_missing(tmp_path):
    """A closed loop whose optimum changed leaves runs behind that nobody trains."""
    hand_off(tmp_path / "handoff")
    first, *others = some_runs().values()
    write_csv(tmp_path / "handoff" / "results" / "results.csv", [row_of(run, ABOUT) for run in others])
    (tmp_path / "handoff" / "waiting.txt").write_text(f"{others[0].full_name}\n")
    assert "7 of 7 runs" in called("collect", tmp_path, "--out", tmp_path / "runs.csv")
    (tmp_path / "handoff" / "waiting.txt").write_text(f"{first.full_name}\n")
    done = CliRunner().invoke(app, ["collect", str(tmp_path), "--out", str(tmp_path / "runs.csv")])
    assert isinstance(done.exception, Waiting)


@pytest.mark.parametrize("table", ["run,D\n", "run,D,seed,p/a\nx,1,0,1.0\n", "run,D,seed,p/a\nx.0123abcd,much,0,1.0\n"])
def test_a_table_that_is_no_design_is_refused(tmp_path, table):
    (tmp_path / "design.csv").write_text(table)
    with pytest.raises(BadInput, match=r"design\.csv"):
        called("collect", tmp_path, "--design", tmp_path / "design.csv", "--out", tmp_path / "runs.csv")
