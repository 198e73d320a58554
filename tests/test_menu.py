"""The menu: every name is there whatever was imported before, and everything that it returns shows itself."""

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import glotmix as gm
from glotmix.artifact import write_json
from glotmix.corpus.census import Census, CensusRow
from tests.test_notebook import read

ROOT = Path(__file__).parents[1]
HOSTILE = "<img src=x onerror=alert(1)>"
FUNCTIONS = [name for name in gm.__all__ if inspect.isfunction(getattr(gm, name))]


def python(code):
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_importing_it_imports_nothing_heavy():
    heavy = {"torch", "transformers", "polars", "numpy", "scipy", "pyarrow", "pydantic", "rich"}
    python(f"import sys, glotmix; dir(glotmix); assert not {heavy!r} & set(sys.modules)")


def test_a_name_stays_the_menus_whatever_was_imported_before():
    """Five functions are called like rooms, and importing a room binds its name in the package."""
    rooms = "glotmix.fit.fit, glotmix.optimize.solve, glotmix.report.page, glotmix.laws.law, glotmix.exporters.trl"
    for code in (
        f"import {rooms}\nimport glotmix as gm",
        f"import glotmix as gm\nfor name in gm.__all__: getattr(gm, name)\nimport {rooms}",
        f"import glotmix as gm, {rooms}\nfrom glotmix import *\nassert fit is gm.fit and laws is gm.laws",
    ):
        python(f"{code}\nassert all(callable(getattr(gm, n)) for n in gm.__all__ if n != '__version__')")


NO_TORCH = """
import sys
from importlib.abc import MetaPathFinder


class Without(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Without())
from glotmix import *
import glotmix as gm

try:
    gm.GlotmixIterableDataset
except gm.GlotmixError as error:
    assert "'glotmix[train]'" in str(error), error
else:
    raise AssertionError
"""


def test_without_torch_all_of_it_is_there_but_what_needs_it():
    python(NO_TORCH)


def test_rooms_are_imported_as_before():
    python("from glotmix.fit.fit import Fit\nfrom glotmix.laws import find_law\nfrom glotmix.report import page")


def test_type_checkers_see_what_there_is():
    """The imports under TYPE_CHECKING, the table that is imported from and ``__all__`` are the same names."""
    tree = ast.parse((ROOT / "src" / "glotmix" / "__init__.py").read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: f"{node.module}" for node in guarded.body for alias in node.names}
    table = next(node for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "_MENU")
    menu = ast.literal_eval(table.value)
    assert seen == {**menu, **gm._WITH_TORCH}
    assert sorted([*menu, "__version__"]) == sorted(gm.__all__) == dir(gm)
    assert all(getattr(gm, name) is getattr(import_module(module), name) for name, module in seen.items())
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gm.nothing


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_says_what_it_takes_returns_and_raises(name):
    function = getattr(gm, name)
    text, signature = inspect.getdoc(function), inspect.signature(function)
    for parameter in signature.parameters:
        assert re.search(rf"^    {parameter}: .", text, re.M), f"{name}({parameter})"
    assert all(one.annotation is not inspect.Parameter.empty for one in signature.parameters.values())
    assert signature.return_annotation is not inspect.Signature.empty
    assert not signature.parameters or "\nRaises:\n" in text


def frame(groups, runs=24):
    """A table of runs over groups of which each is helped by its own share; every coalition is in it."""
    rng = np.random.default_rng(0)
    some = [[int(bit) for bit in f"{number:0{len(groups)}b}"] for number in range(1, 2 ** len(groups))]
    p = np.vstack([np.array(some) / np.sum(some, axis=1, keepdims=True), rng.dirichlet(np.ones(len(groups)), runs)])
    N, D = np.resize([1e6, 2e6, 4e6, 8e6], len(p)), np.resize([2e7, 4e7, 1.6e8], len(p))
    size = (N / 1e6) ** -0.2 * (D / 2e7) ** -0.2
    loss = 1 + 0.2 * (p + 0.05) ** -0.3 * size[:, None] + rng.normal(0, 0.002, p.shape)
    columns = {"run": [f"r{i}" for i in range(len(p))], "N": N, "D": D, "seed": [0] * len(p)}
    columns |= {f"p/{name}": p[:, i] for i, name in enumerate(groups)}
    columns |= {f"loss/{name}": loss[:, i] for i, name in enumerate(groups)}
    return pl.DataFrame(columns | {f"unique/{name}": [5e7] * len(p) for name in groups})


def study_of(folder, fitted, matrix, optimum, census):
    """A finished study as its stages leave it."""
    write_json(folder / "study.json", {"name": HOSTILE, "kind": "mixture"})
    write_json(folder / "transfer.json", matrix.to_json())
    write_json(folder / "optimum.json", optimum.to_json())
    write_json(folder / "census.json", census.to_json())
    write_json(folder / "fits" / f"{fitted.chosen}.json", fitted.fit.to_json())
    judged = {"chosen": fitted.chosen, "cross_validated": fitted.holdout.to_json(), "held_out": None}
    write_json(folder / "fits" / "holdout.json", judged)
    return gm.load_study(folder)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What every function of the menu returns, some groups having a name that would be markup."""
    folder, groups = tmp_path_factory.mktemp("menu"), [HOSTILE, "eng_Latn", *(f"group {i}" for i in range(2))]
    runs = gm.read_runs(frame(groups))
    whole, same_size = runs, runs.where(runs.N_R == 1e6)
    fitted = gm.fit(whole, laws="chinchilla", folds=3, bootstrap=4, held_out=same_size)
    joint = gm.fit(whole, laws="own_ratio_floored", folds=3, bootstrap=4)
    matrix = gm.shapley(law=joint)
    optimum = gm.optimize(joint, max_epochs=4, tokens=1e8, current=dict.fromkeys(groups, 0.25), floors={HOSTILE: 0.1})
    census = Census((CensusRow(HOSTILE, 1, 2, 3, 4, 5, 6, 1.5, "word", 4.0, None, 0, 0.5, None),), HOSTILE, None)
    for language in ("spa_Latn", "deu_Latn"):
        documents = gm.documents(language, reader="embedded", bytes_per_language=200_000)
        text = "\n\n".join(one.text for one in documents)  # one large file, as a reader of books has
        (folder / "text" / f"{language}.txt").parent.mkdir(exist_ok=True)
        (folder / "text" / f"{language}.txt").write_text(text, encoding="utf-8")
    schedule = gm.Schedule((gm.Stage(0.0, optimum.mixture), gm.Stage(0.5, optimum.baselines[0].mixture)))
    study = study_of(folder / "study", joint, matrix, optimum, census)
    return {
        "read_runs": runs,
        "laws": gm.laws(),
        "documents": list(gm.documents("spa", reader="embedded", bytes_per_language=2000)),
        "fit": fitted,
        "another fit": joint,
        "cross_validate": gm.cross_validate(runs, ["null", "own_ratio_floored"], folds=3),
        "predict": gm.predict(joint, [optimum, dict.fromkeys(groups, 0.25)]),
        "shapley": matrix,
        "optimize": optimum,
        "scale": gm.scale(joint, sizes=[(1e6, 2e7), (8e6, 2e8)], compute=1e15),
        "exporters": gm.exporters(),
        "export": gm.export({"eng_Latn": 0.9, "spa_Latn": 0.1}, to="levanter", out=folder / "levanter"),
        "report": gm.report(runs, laws=["null", "own_ratio_floored"], out=folder / "report.html"),
        "recipes": gm.recipes(),
        "design": gm.design(groups, tokens=1e6),
        "design that keeps": gm.design([*groups, "new"], tokens=1e6, keep=optimum, runs=3),
        "begin_study": gm.begin_study(folder / "text", out=folder / "study.yaml"),
        "price_study": gm.price_study(ROOT / "recipes" / "quickstart.yaml"),
        "load_study": study,
        "its parts": [study.status, study.census, study.law, study.holdout, study.optimum, study.transfer, study.fits],
        "mixture": gm.Mixture({HOSTILE: 1.0}),
        "schedule": schedule,
    }


def ours(value, name="result"):
    """A result and everything of ours in it, each with the way to it."""
    if isinstance(value, Mapping) and not isinstance(value, gm.Mixture):
        for key, inside in value.items():
            yield from ours(inside, f"{name}[{key!r}]")
    elif isinstance(value, tuple | list):
        for i, inside in enumerate(value):
            yield from ours(inside, f"{name}[{i}]")
    elif type(value).__module__.startswith("glotmix."):
        yield name, value
        for field in dataclasses.fields(value) if dataclasses.is_dataclass(value) else ():
            yield from ours(getattr(value, field.name), f"{name}.{field.name}")


def test_everything_on_the_menu_was_tried(results):
    others = {"run_study"}  # trains; the tutorials run it
    assert set(FUNCTIONS) - others <= set(results)


def test_results_are_short_at_a_prompt(results):
    long = {name: len(repr(one)) for name, one in ours(results) if len(repr(one)) >= 500 or "\n" in repr(one)}
    assert not long


def test_results_are_tables_in_a_notebook_and_their_names_stay_text(results):
    for name in set(results) - {"report", "its parts", "documents"}:
        assert "<table>" in results[name]._repr_html_(), name
    shown = {name: one._repr_html_() for name, one in ours(results) if hasattr(one, "_repr_html_")}
    assert len(shown) > 20
    for name, html in shown.items():
        found = read(html)
        assert "img" not in found.tags, name
        assert found.rows or "<table>" not in html, name
    assert any("&lt;img" in html for html in shown.values())


def test_tables_say_what_their_columns_are(results):
    tables = {name: one for name, one in ours(results) if hasattr(one, "to_polars")}
    assert len(tables) > 20
    for name, one in tables.items():
        table, told = one.to_polars(), inspect.getdoc(one.to_polars)
        assert table.height, name
        if (
            type(one).__name__ == "Listing" or "to_polars`)" in told
        ):  # columns are the listing's own, or another table's
            continue
        for column in table.columns:
            kind, slash, rest = column.partition("/")
            end = next((f"/{word}" for word in ("low", "high") if rest.endswith(word)), "")
            patterns = [f"``{kind}/<{what}>{end}``" for what in ("group", "language", "target")] if slash else []
            assert any(text in told for text in (f"``{column}``", *patterns)), (name, column)


def test_runs_come_from_paths_frames_and_results_alike(tmp_path):
    table = frame(["a", "b"])
    table.write_csv(tmp_path / "runs.csv")
    table.write_parquet(tmp_path / "runs.parquet")
    first = gm.read_runs(str(tmp_path / "runs.csv"))
    arrow = table.to_arrow()
    pandas = pytest.importorskip("pandas").DataFrame(table.to_dict(as_series=False))
    for source in (tmp_path / "runs.csv", tmp_path / "runs.parquet", table, arrow, pandas, first, first.to_polars()):
        again = gm.read_runs(source)
        assert (again.runs, again.languages, again.targets) == (first.runs, first.languages, first.targets)
        for name in ("p_RL", "loss_RT", "N_R", "D_R", "unique_RL"):
            np.testing.assert_allclose(getattr(again, name), getattr(first, name), rtol=1e-12)
    assert isinstance(arrow, pa.Table)


def test_a_law_comes_from_a_result_a_file_and_a_study_alike(results, tmp_path):
    fitted = results["another fit"]
    write_json(tmp_path / "fit.json", fitted.to_json())
    study = results["load_study"]
    asked = dict.fromkeys(fitted.fit.languages, 0.25)
    values = [
        gm.predict(law, asked).value_RT
        for law in (fitted, fitted.fit, tmp_path / "fit.json", str(tmp_path / "fit.json"), study, study.directory)
    ]
    for value in values[1:]:
        np.testing.assert_array_equal(value, values[0])


def test_mixtures_come_from_shares_tables_and_files_alike(results, tmp_path):
    fitted = results["another fit"].fit
    mixture = results["optimize"].mixture
    write_json(tmp_path / "optimum.json", results["optimize"].to_json())
    table = pl.DataFrame({f"p/{name}": [share] for name, share in mixture.items()})
    table.write_csv(tmp_path / "mixtures.csv")
    first = gm.predict(fitted, mixture).to_polars()
    several = (mixture.to_json(), [mixture], results["optimize"], gm.Schedule.constant(mixture), table)
    for asked in (*several, tmp_path / "optimum.json", tmp_path / "mixtures.csv"):
        again = gm.predict(fitted, asked).to_polars()
        np.testing.assert_allclose(again.to_numpy(), first.to_numpy(), rtol=1e-9)


def test_sizes_and_unique_tokens_reach_the_law(results):
    fitted = results["fit"]
    asked = dict.fromkeys(fitted.fit.languages, 0.25)
    small, large = (gm.predict(fitted, asked, parameters=N, tokens=20 * N).value_RT for N in (1e6, 8e6))
    assert (large < small).all()
    table = pl.DataFrame({f"p/{name}": [0.25, 0.25] for name in asked} | {"N": [1e6, 8e6], "D": [2e7, 1.6e8]})
    np.testing.assert_allclose(gm.predict(fitted, table).value_RT, np.vstack([small, large]), rtol=1e-12)


def test_a_design_counts_passes_over_the_text_that_there_is():
    """Ten passes over 20,000 tokens of b are a run of 200,000, and a fifth of a whole one."""
    fields = {"tokens": 1e6, "unique": {"a": 5e6, "b": 2e4}, "budget": "capped", "passes": 10, "swarm": 5}
    runs = {run.run: run for run in gm.design(["a", "b"], **fields).runs}
    assert {name: run.tokens for name, run in runs.items() if run.role == "coalition"} == {
        "coalition-a-s0": 1_000_000,
        "coalition-b-s0": 200_000,
        "coalition-full-s0": 1_000_000,
    }
    assert max(run.schedule.average()["b"] for name, run in runs.items() if name.startswith("swarm")) <= 0.2
    with pytest.raises(gm.BadInput, match=r"design.passes: passes: 10, and no text"):
        gm.design(["a", "b"], tokens=1e6, passes=10)


def test_a_design_becomes_a_table_of_runs():
    """Train what it names, add the losses, read it."""
    table = gm.design(["a", "b", "c"], tokens=1e6, swarm=5).to_polars()
    noise = np.random.default_rng(0).normal(0, 0.01, table.height)  # two seeds of a mixture never lose the same
    losses = {f"loss/{name}": 2 - table[f"p/{name}"] + noise for name in "abc"}
    runs = gm.read_runs(table.with_columns(**losses))
    assert len(runs) == table.height
    assert set(runs.role_R) == {"coalition", "anchor", "swarm"}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: gm.read_runs(), "no runs"),
        (lambda: gm.read_runs(7), "a int"),
        (lambda: gm.read_runs("nowhere.csv"), "nowhere.csv: no such file"),
        (lambda: gm.read_runs("a.csv", mixtures="b.csv", losses="c.csv"), "one table and two"),
        (lambda: gm.read_runs(pl.DataFrame({"a": [1]})), "the table: no column 'run'"),
        (lambda: gm.fit(frame(["a", "b"]), laws="nothing"), "no law 'nothing'"),
        (lambda: gm.shapley(), "no runs and no law"),
        (lambda: gm.predict(3.5, {"a": 1.0}), "a float"),
        (lambda: gm.export({"a": 1.0}, to="nowhere", out="x"), "no exporter 'nowhere'"),
        (lambda: gm.export(7, to="levanter", out="x"), "a int"),
        (lambda: gm.design(["a", "b"], tokens=1e6, swarms=3), "design: swarms"),
        (lambda: gm.load_study("nowhere"), "no study.json in it"),
        (lambda: gm.price_study("nowhere.yaml"), "nowhere.yaml: no such file"),
        (lambda: gm.report(frame(["a", "b"]), compare="nowhere"), "runs compared with a study"),
    ],
)
def test_bad_input_is_told_by_name(call, told):
    with pytest.raises(gm.BadInput, match=re.escape(told)):
        call()


def test_what_a_study_has_not_is_told_by_name(tmp_path):
    write_json(tmp_path / "study.json", {"name": "a", "kind": "clones"})
    study = gm.load_study(tmp_path)
    assert (study.kind, study.config["name"]) == ("clones", "a")
    for part in ("found", "report", "census", "runs", "transfer", "fits", "chosen", "law", "holdout", "optimum"):
        with pytest.raises(gm.BadInput, match="a study that has one; this is of kind clones"):
            getattr(study, part)
