"""fit, predict, shapley, optimize and report take the same tables, and say the same of them."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from glotmix.transfer.game import members
from tests.study.test_answers import command

GROUPS = ("est", "swh", "code")
HELP = np.array([[1, 0.2, 0.1], [0.1, 1, 0.05], [0.05, 0.1, 1]])


def frame():
    """Every coalition of three groups, and ten mixtures inside the simplex."""
    inside = members(3)[1:]
    p_RL = np.vstack([inside / inside.sum(axis=1, keepdims=True), np.random.default_rng(0).dirichlet(np.ones(3), 10)])
    loss_RT = 2 - 0.2 * np.log(p_RL @ HELP.T + 0.01)
    columns = {"run": [f"r{r}" for r in range(len(p_RL))], "N": [1e7] * len(p_RL), "D": [2e8] * len(p_RL)}
    columns |= {f"p/{group}": p_RL[:, i] for i, group in enumerate(GROUPS)}
    columns |= {f"loss/{group}": loss_RT[:, i] for i, group in enumerate(GROUPS)}
    return pl.DataFrame(columns)


def wide(folder):
    frame().write_csv(folder / "t.csv")
    return [folder / "t.csv"], ""


def german(folder):
    rows = [frame().columns, *[[str(cell).replace(".", ",") for cell in row] for row in frame().iter_rows()]]
    (folder / "t.csv").write_text("\n".join(";".join(row) for row in rows))
    return [folder / "t.csv"], "decimals by commas"


def percentages(folder):
    frame().with_columns([pl.col(f"p/{group}") * 100 for group in GROUPS]).write_csv(folder / "t.csv")
    return [folder / "t.csv"], "percentages"


def olmix(folder):
    keys = pl.DataFrame({"run": frame()["run"], "name": frame()["run"], "index": range(len(frame()))})
    keys.with_columns(**{group: frame()[f"p/{group}"] for group in GROUPS}).write_csv(folder / "ratios.csv")
    keys.with_columns(**{group: frame()[f"loss/{group}"] for group in GROUPS}).write_csv(folder / "metrics.csv")
    return ["--mixtures", folder / "ratios.csv", "--losses", folder / "metrics.csv"], ""


def long(folder):
    rows = [
        {"run": row["run"], "step": step, "metric": f"eval/{group}/bpb", "value": row[f"loss/{group}"] * (3 - step)}
        for row in frame().iter_rows(named=True)
        for step in (1, 2)
        for group in GROUPS
    ]
    pl.DataFrame(rows).write_csv(folder / "long.csv")
    frame().select("run", "N", "D", *[f"p/{group}" for group in GROUPS]).write_csv(folder / "shares.csv")
    return [folder / "long.csv", "--mixtures", folder / "shares.csv"], "several steps"


def tracker(folder):
    names = {"N": "config.n_params", "D": "config.tokens", "run": "Name"}
    names |= {f"p/{group}": f"config.mixture.{group}" for group in GROUPS}
    names |= {f"loss/{group}": f"summary.eval/{group}/bpb" for group in GROUPS}
    frame().rename(names).write_csv(folder / "t.csv")
    return [folder / "t.csv"], ""


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return answers(folder, *wide(folder)[0])


def answers(folder, *given):
    """What the commands answer."""
    laws = ["--law", "own_ratio_floored", "--law", "null"]
    assert command("fit", *given, *laws, "--folds", 3, "--bootstrap", 0, "--out", folder / "fit.json") == 0
    assert command("optimize", folder / "fit.json", "--weights", "et=60,swh=40", "--out", folder / "m.json") == 0
    pl.DataFrame({"train_est": [50.0], "train_swh": [25.0], "train_code": [25.0]}).write_csv(folder / "ratios-only.csv")
    table = ["--mixtures", folder / "ratios-only.csv"]
    assert command("predict", folder / "fit.json", *table, "--out", folder / "predicted.csv") == 0
    assert command("report", *given, *laws, "--out", folder / "page.html") == 0
    return {
        "mixture": json.loads((folder / "m.json").read_text())["mixture"],
        "loss": pl.read_csv(folder / "predicted.csv")["loss/est"][0],
    }


@pytest.mark.parametrize("form", [german, percentages, olmix, long, tracker])
def test_every_command_takes_every_form(tmp_path, form, wanted, capsys):
    given, told = form(tmp_path)
    found = answers(tmp_path, *given)
    assert found["mixture"] == pytest.approx(wanted["mixture"], abs=1e-4)
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-4)
    err = capsys.readouterr().err
    if told:  # once by fit and once by report; the mixtures to predict for are percentages as well
        assert err.count(f"{told}") == (3 if told == "percentages" else 2)
    assert command("shapley", *given, "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["values"]["est"]["est"]["value"] > values["values"]["est"]["code"]["value"]


def test_a_page_of_a_fit_of_an_optimum_and_of_two_tables(tmp_path, capsys):
    given, _ = wide(tmp_path)
    answers(tmp_path, *given)
    (tmp_path / "u.csv").write_text((tmp_path / "t.csv").read_text().replace("r3,", "r3b,"))
    assert command("report", tmp_path / "fit.json", "--out", tmp_path / "a.html") == 0
    assert command("report", tmp_path / "m.json", "--out", tmp_path / "b.html") == 0
    limited = ["--fit", tmp_path / "fit.json", "--floor", "ekk_Latn=0.5"]
    assert command("report", *given, *limited, "--out", tmp_path / "c.html") == 0
    compared = ["--compare", tmp_path / "u.csv", "--law", "own_ratio_floored", "--law", "null"]
    assert command("report", *given, *compared, "--out", tmp_path / "d.html") == 0
    pages = {name: (tmp_path / f"{name}.html").read_text(encoding="utf-8") for name in "abcd"}
    assert all("<html" in page for page in pages.values())
    assert "floor 0.5 of est" in pages["c"]
    capsys.readouterr()
    assert command("report", *given, "--compare", tmp_path) == 2


@pytest.mark.parametrize(
    "option", [["--floor", "xst=0.1"], ["--weight", "cod=1"], ["--unique", "kode=1"], ["--current", "esti=1,swh=0"]]
)
def test_an_unknown_name_is_an_error_with_a_near_one(tmp_path, option, capsys):
    given, _ = wide(tmp_path)
    fit = ["fit", *given, "--law", "own_ratio_floored", "--folds", 3, "--bootstrap", 0, "--out", tmp_path / "fit.json"]
    assert command(*fit) == 0
    assert command("optimize", tmp_path / "fit.json", *option, "--out", tmp_path / "m.json") == 2
    assert "did you mean" in capsys.readouterr().err


def test_export_inherits_the_unique_tokens_and_the_tokens_of_the_optimum(tmp_path, capsys):
    table = frame().with_columns(**{f"unique/{group}": pl.lit(1e9 * (i + 1)) for i, group in enumerate(GROUPS)})
    table.write_csv(tmp_path / "t.csv")
    fit = ["fit", tmp_path / "t.csv", "--law", "own_ratio_floored", "--folds", 3, "--bootstrap", 0]
    assert command(*fit, "--out", tmp_path / "fit.json") == 0
    asked = ["optimize", tmp_path / "fit.json", "--tokens", 6e9, "--max-epochs", 4, "--unique", "et=2e9"]
    assert command(*asked, "--out", tmp_path / "m.json") == 0
    capsys.readouterr()
    assert command("export", tmp_path / "m.json", "--to", "megatron_lm", "--out", tmp_path / "out", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    share = json.loads((tmp_path / "m.json").read_text())["mixture"]
    for group, unique in zip(GROUPS, (2e9, 2e9, 3e9), strict=True):
        assert told["languages"][group]["epochs"] == pytest.approx(share[group] * 6e9 / unique, rel=0.02)
    assert "--unique is not given" not in json.dumps(told)
