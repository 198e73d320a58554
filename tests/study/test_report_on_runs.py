"""Runs that others made, from one table to a page: the best of the planted mixtures is found and nothing is invented."""

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from glotmix.cli import app
from glotmix.errors import BadInput
from glotmix.measurements import read_runs
from glotmix.report.runs import _cost, report_on_runs


def table(path, runs=30, seed=0):
    """Runs over three languages of which the first needs the most: L_t = 1 + 0.2 p_t^-0.3, a little noise."""
    rng = np.random.default_rng(seed)
    p_RL = rng.dirichlet(np.ones(3), runs) * 0.94 + 0.02
    scale_L = np.array([0.4, 0.2, 0.1])
    loss_RL = 1 + scale_L * p_RL**-0.3 + rng.normal(0, 0.002, p_RL.shape)
    names = ["spa_Latn", "rus_Cyrl", "code"]
    columns = {"run": [f"r{i}" for i in range(runs)]}
    columns |= {f"p/{name}": p_RL[:, i] for i, name in enumerate(names)}
    columns |= {f"loss/{name}": loss_RL[:, i] for i, name in enumerate(names)}
    pl.DataFrame(columns).write_csv(path)
    return path


def test_a_table_becomes_a_page_with_the_planted_optimum(tmp_path):
    out = report_on_runs(table(tmp_path / "runs.csv"), laws=["null", "own_ratio"], folds=5, out=tmp_path / "r.html")
    text = out.read_text(encoding="utf-8")
    # The optimum of Σ s p^-0.3 gives shares in proportion to s^(1/1.3): 51 %, 30 %, 18 %.
    headline = text.split('<p class="answer">')[1].split("</p>")[0]
    shares = [float(word) for word in headline.replace("\u202f%", " ").split() if word.replace(".", "").isdigit()]
    assert shares == pytest.approx([51.3, 30.1, 17.7], abs=4)
    assert "Spanish" in headline
    assert "code" in headline
    assert "The corpus" not in text
    assert "nothing was trained on the recommended mixture" in text
    assert "validation.seeds" not in text
    assert "explorer-data" in text


def test_the_command_takes_a_table_where_it_takes_a_study(tmp_path):
    runs = table(tmp_path / "runs.csv")
    done = CliRunner().invoke(
        app, ["report", str(runs), "--law", "null", "--law", "own_ratio", "--out", str(tmp_path / "page.html")]
    )
    assert done.exit_code == 0, done.output
    assert done.output.strip().endswith("page.html")
    assert (tmp_path / "page.html").is_file()


def test_a_table_cannot_be_compared_with_a_study(tmp_path):
    with pytest.raises(BadInput, match="--compare"):
        CliRunner().invoke(
            app, ["report", str(table(tmp_path / "runs.csv")), "--compare", str(tmp_path)], catch_exceptions=False
        )


def test_tokens_are_those_of_last_checkpoints(tmp_path):
    """Ten checkpoints of 2 to 20 million tokens of each of four runs are 80 million tokens, not 440."""
    rows = ["run,N,D,p/a,p/b,loss/a"]
    rows += [f"r{r},1e6,{2e6 * (c + 1)},0.{r + 2},0.{8 - r},{3 - 0.1 * c}" for r in range(4) for c in range(10)]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    cost = _cost(read_runs(tmp_path / "t.csv"))
    assert cost.tokens == 80e6
    assert cost.flops == 6 * 1e6 * 80e6
    assert cost.runs == {"complete": 4}


def test_nothing_given_is_bad_input():
    with pytest.raises(BadInput, match="no table of runs"):
        report_on_runs(None)
