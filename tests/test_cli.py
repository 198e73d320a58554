"""The command line: results for people and machines, and every wrong input refused with its place and exit code 2."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from glotmix import cli

LANGUAGES = ("spa", "fra", "deu")


@pytest.fixture
def glotmix(monkeypatch, capsys):
    """Run a command in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["glotmix", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def planted(p):
    w = np.array([[1, 0.2, 0.05], [0.2, 1, 0.05], [0.02, 0.5, 1]])
    return 1.5 - 0.3 * np.log(((p[:, None, :] * w) ** 0.6).sum(2)) / 0.6


def runs_table(rng=None, n=24):
    """Runs of a law with planted transfer: a token of fra is worth half a token of deu to deu, one of spa next to none."""
    rng = rng or np.random.default_rng(0)
    p = np.vstack([np.eye(3), np.full((1, 3), 1 / 3), rng.dirichlet(np.ones(3), n - 4)])
    loss = planted(p)
    table = {"run": [f"r{i}" for i in range(n)], "N": [1e6] * n, "D": [1e7] * n, "seed": [0] * n}
    table |= {f"p/{name}": p[:, i] for i, name in enumerate(LANGUAGES)}
    table |= {f"loss/{name}": loss[:, i] for i, name in enumerate(LANGUAGES)}
    return pl.DataFrame(table)


@pytest.fixture
def runs(tmp_path):
    path = tmp_path / "runs.csv"
    runs_table().write_csv(path)
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """The file that a fit of these runs writes, made once."""
    folder = tmp_path_factory.mktemp("fitted")
    runs_table().write_csv(folder / "runs.csv")
    how = ["--law", "shapley_law", "--folds", "4", "--bootstrap", "10", "--out", str(folder / "fit.json")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["glotmix", "fit", str(folder / "runs.csv"), *how])
        with pytest.raises(SystemExit, match=r"^0$"):
            cli.main()
    return folder / "fit.json"


@pytest.fixture
def fit_file(fitted, tmp_path):
    return Path(shutil.copy(fitted, tmp_path / "fit.json"))


TYPER = {"typer", "click", "rich", "pygments", "markdown_it", "mdurl", "attr", "attrs", "shellingham", "annotated_doc"}
"""The library of the command line, and what that imports."""
PYDANTIC = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
"""What that imports as well once it reads the arguments of one command."""
LOADED = """
import sys
sys.argv = {argv}
try:
    from glotmix.cli import main
    main()
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(("asked", "allowed"), [(["--help"], TYPER), (["fit", "--help"], TYPER | PYDANTIC)])
def test_help_imports_the_command_line_and_nothing_behind_it(asked, allowed):
    """Else it takes a second and more, most of it for numpy, polars and pydantic."""
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], check=True, capture_output=True, text=True
    )
    told = subprocess.run(
        [sys.executable, "-c", LOADED.format(argv=["glotmix", *asked])], check=True, capture_output=True, text=True
    )
    loaded = set(told.stderr.split()) - set(bare.stdout.split())
    names = {name.split(".")[0] for name in loaded}
    assert {name for name in names - sys.stdlib_module_names - allowed if not name.startswith("_")} == {"glotmix"}
    assert {name.split(".")[1] for name in loaded if name.startswith("glotmix.")} == {
        "cli",
        "commands",
        "errors",
        "version",
    }


@pytest.mark.parametrize("asked", [None, "active"])
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(asked):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": asked} if asked else {}
    code = "import os, sys; sys.argv = ['glotmix', '--version']\ntry:\n from glotmix.cli import main; main()\n"
    code += "except SystemExit: print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.split()[-1] == (asked or "passive")


def test_fit_prints_held_out_error_beside_the_null_and_finds_the_law_that_made_the_table(glotmix, runs):
    code, out, _ = glotmix("fit", runs, "--law", "auto", "--folds", 4, "--bootstrap", 0, "--json")
    assert code == 0
    result = json.loads(out)
    scores = result["holdout"]["scores"]
    mean = {law: np.mean([s["error"] for s in of.values()]) for law, of in scores.items() if len(of) == 3}
    assert result["chosen"] == "shapley_law"
    # The null scores about 0.2 here; the own-ratio law, which made a part of the table, about 0.05.
    assert mean["shapley_law"] < 0.02 < mean["null"]


def test_predict_gives_losses_with_intervals_beside_the_columns_asked_with(glotmix, fit_file, runs, tmp_path):
    asked = tmp_path / "asked.csv"
    asked.write_text("name,p/spa,p/fra,p/deu\nhalf,0.5,0.25,0.25\n")
    code, _, err = glotmix("predict", fit_file, asked, "--out", tmp_path / "predicted.csv")
    assert code == 0, err
    row = pl.read_csv(tmp_path / "predicted.csv").row(0, named=True)
    assert row["name"] == "half"
    truth = planted(np.array([[0.5, 0.25, 0.25]]))[0, 0]
    assert row["loss/spa"] == pytest.approx(truth, rel=0.02)
    assert row["loss/spa/low"] < row["loss/spa"] < row["loss/spa/high"]
    code, _, err = glotmix("predict", fit_file, asked, "--jackknife", runs, "--out", tmp_path / "again.csv")
    assert code == 0, err
    again = pl.read_csv(tmp_path / "again.csv").row(0, named=True)
    assert again["loss/spa"] == pytest.approx(row["loss/spa"], rel=1e-3)
    assert again["loss/spa/low"] < truth < again["loss/spa/high"]
    assert again["loss/spa/low"] != row["loss/spa/low"]


def test_shapley_prints_value_and_interval_by_target_and_source(glotmix, tmp_path):
    rows = ["run,p/a,p/b,loss/a,loss/b"]
    # u_a: {a} 1.0, {b} 0.2, {a, b} 0.9 from an empty loss of 3: phi_a = (1.0 + 0.7) / 2, phi_b = (0.2 - 0.1) / 2.
    rows += ["a,1,0,2.0,2.8", "b,0,1,2.8,2.0", "ab,0.5,0.5,2.1,2.1"]
    table = tmp_path / "coalitions.csv"
    table.write_text("\n".join(rows))
    code, out, err = glotmix("shapley", table, "--empty", "3", "--json")
    assert code == 0, err
    values = json.loads(out)
    assert values["a"]["a"]["value"] == pytest.approx(0.85)
    assert values["a"]["b"]["value"] == pytest.approx(0.05)
    assert values["a"]["a"]["low"] is None
    # In one family the two bargain alone: Owen's values are Shapley's.
    code, out, err = glotmix("shapley", table, "--empty", "3", "--group", "romance=a,b", "--json")
    assert code == 0, err
    assert json.loads(out)["a"]["b"]["value"] == pytest.approx(0.05)
    code, _, err = glotmix("shapley", table, "--empty", "3", "--group", "romance", "--json")
    assert code == 2
    assert "NAME=A,B" in err


def test_optimize_keeps_every_limit_and_export_writes_what_it_found(glotmix, fit_file, tmp_path):
    mixture = tmp_path / "mixture.json"
    code, _, err = glotmix("optimize", fit_file, "--floor", "deu=0.4", "--ceiling", "spa=0.2", "--out", mixture)
    assert code == 0, err
    shares = json.loads(mixture.read_text())["mixture"]
    assert shares["deu"] >= 0.4 - 1e-9
    assert shares["spa"] <= 0.2 + 1e-9
    assert sum(shares.values()) == pytest.approx(1)
    code, _, err = glotmix(
        "export", mixture, "--to", "megatron_lm", "--tokens", "1e9", "--out", tmp_path / "x", "--json"
    )
    assert code == 0, err
    realised = json.loads((tmp_path / "x" / "realised.json").read_text())
    assert realised["languages"]["deu"]["realised"] == pytest.approx(shares["deu"], abs=1e-3)
    told = " ".join(realised["remarks"])
    assert "--unique is not given for" in told  # nothing is assumed silently
    assert "--tokens-per-document is not given for" in told


def test_an_export_that_was_told_everything_assumes_nothing(glotmix, fit_file, tmp_path):
    mixture = tmp_path / "mixture.json"
    assert glotmix("optimize", fit_file, "--out", mixture)[0] == 0
    languages = json.loads(mixture.read_text())["mixture"]
    numbers = [
        part for name in languages for part in ("--unique", f"{name}=5e8", "--tokens-per-document", f"{name}=700")
    ]
    code, _, err = glotmix("export", mixture, "--to", "megatron_lm", "--out", tmp_path / "x", *numbers)
    assert code == 0, err
    assert json.loads((tmp_path / "x" / "realised.json").read_text())["remarks"] == []


def test_an_export_expects_data_where_its_trainer_does_or_where_it_is_told(glotmix, fit_file, tmp_path):
    mixture = tmp_path / "mixture.json"
    mixture.write_text(json.dumps({"deu": 0.7, "spa": 0.3}))
    blend = tmp_path / "x" / "blend-1.txt"
    for paths, expected in {
        (): ["data/deu_text_document", "data/spa_text_document"],
        ("--path", "/d/{language}"): ["/d/deu", "/d/spa"],
        ("--path", "spa=/elsewhere=here", "--path", "/d/{language}"): ["/d/deu", "/elsewhere=here"],
    }.items():
        assert glotmix("export", mixture, "--to", "megatron_lm", "--out", tmp_path / "x", "--seed", 7, *paths)[0] == 0
        assert blend.read_text().split()[1::2] == expected
        assert "SEEDS=(8)" in (tmp_path / "x" / "launch.sh").read_text()
    code, _, err = glotmix("export", mixture, "--to", "trl", "--path", "a/{language}", "--path", "fra=b")
    assert code == 2
    assert "a/{language}, fra=b" in err


def test_an_export_names_what_follows_from_numbers_it_was_not_told_and_nothing_else(glotmix, tmp_path):
    mixture = tmp_path / "mixture.json"
    mixture.write_text(json.dumps({"deu": 0.7, "spa": 0.3}))

    def remarks(exporter):
        assert glotmix("export", mixture, "--to", exporter, "--out", tmp_path / exporter)[0] == 0
        return " ".join(json.loads((tmp_path / exporter / "realised.json").read_text())["remarks"])

    assert "--tokens-per-document" not in remarks("nanotron")
    assert "the epochs are too few" in remarks("nanotron")
    assert "the fractions would follow from it" in remarks("trl")
    remarks("olmo_core")
    assert "'max_repetition_ratio': 10000.0" in (tmp_path / "olmo_core" / "mixture.py").read_text()


@pytest.mark.parametrize("command", ["laws", "exporters", "recipes"])
def test_lists_name_everything_there_is(glotmix, command):
    code, out, _ = glotmix(command, "--json")
    assert code == 0
    assert len(json.loads(out)) >= 2
    code, out, _ = glotmix(command)
    assert code == 0
    assert out


def test_laws_are_listed_with_parameters_needs_and_source(glotmix):
    code, out, _ = glotmix("laws", "--json")
    assert code == 0
    rows = {row["law"]: row for row in json.loads(out)}
    assert rows["chinchilla"]["parameters (target t, another l)"] == "E, A, α, B, β"
    assert rows["own_ratio"]["share of zero"] == "run left out"
    assert "RegMix" in rows["lightgbm, LAW+lightgbm"]["source"]
    assert all(row["source"] and row["formula"] for row in rows.values())


BAD_TABLES = {
    "no losses": ("run,p/a,p/b\nr,0.5,0.5\n", "no column loss/<group>"),
    "no shares": ("run,loss/a\nr,2\n", "no column p/<group>"),
    "no run column": ("p/a,loss/a\n1,2\n", "no column 'run'"),
    "NaN": ("run,p/a,p/b,loss/a\nr,0.5,0.5,nan\n", "column loss/a"),
    "text": ("run,p/a,p/b,loss/a\nr,0.5,half,2\n", "run r, column p/b: 'half'"),
    "a run twice": ("run,p/a,p/b,loss/a\nr,0.5,0.5,2\nr,0.4,0.6,2\n", "r is listed twice"),
    "negative": ("run,p/a,p/b,loss/a\nr,1.5,-0.5,2\n", "p/b is -0.5"),
    "sum": ("run,p/a,p/b,loss/a\nr,0.5,0.1,2\n", "sum to 0.6"),
    "loss of zero": ("run,p/a,p/b,loss/a\nr,0.5,0.5,0\n", "loss/a is 0"),
    "empty": ("", "cannot be read|no runs|no column"),
    "no rows": ("run,p/a,p/b,loss/a\n", "no runs"),
    "too few": ("run,p/a,p/b,loss/a\nr,0.5,0.5,2\ns,0.4,0.6,2.1\n", "runs|folds|mixtures"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_refused_with_place_and_reason(glotmix, tmp_path, name):
    text, reason = BAD_TABLES[name]
    table = tmp_path / "runs.csv"
    table.write_text(text)
    code, out, err = glotmix("fit", table, "--law", "own_ratio")
    assert code == 2, (out, err)
    assert err.removeprefix("Fitting\n").startswith("error: ")  # what had begun is told before
    assert "Traceback" not in err
    assert any(part in err for part in reason.split("|")), err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["fit", "none.csv"], "none.csv: no such file"),
        (["fit"], "no table of runs"),
        (["fit", "RUNS", "--law", "magic"], "no law 'magic'"),
        (["fit", "--mixtures", "RUNS"], "--losses"),
        (["predict", "none.json", "RUNS"], "none.json: no such file"),
        (["predict", "RUNS", "RUNS"], "not valid JSON"),
        (["predict", "FIT", "RUNS2"], "no column p/deu"),
        (["optimize", "FIT", "--floor", "deu=0.7", "--floor", "fra=0.6"], "floor"),
        (["optimize", "FIT", "--floor", "xyz=0.1"], "xyz"),
        (["optimize", "FIT", "--floor", "deu"], "--floor: 'deu'"),
        (["optimize", "FIT", "--objective", "best"], "objective"),
        (["optimize", "FIT", "--max-epochs", "4"], "max_epochs without unique and tokens"),
        (["export", "MIXTURE", "--to", "nobody"], "no exporter 'nobody'"),
        (["export", "RUNS", "--to", "levanter"], "not valid JSON"),
        (["status", "."], "no study.json"),
        (["report", "."], "no study.json"),
        (["run", "none.yaml"], "none.yaml: no such file"),
        (["shapley", "RUNS"], "coalitions were not run"),
    ],
)
def test_bad_arguments_are_refused_with_a_reason(glotmix, runs, fit_file, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.csv").write_text("p/spa,p/fra\n0.5,0.5\n")
    (tmp_path / "mixture.json").write_text('{"spa_Latn": 0.5, "fra_Latn": 0.5}')
    names = {"RUNS": runs, "FIT": fit_file, "RUNS2": tmp_path / "two.csv", "MIXTURE": tmp_path / "mixture.json"}
    code, out, err = glotmix(*[names.get(a, a) for a in arguments])
    assert code == 2, (code, out, err)
    assert "Traceback" not in err
    assert reason in err
