"""Measurements: tables in, arrays out, and every fault named with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from glotmix.errors import BadInput
from glotmix.measurements import from_tables, read_runs


def two_tables(folder: Path, losses: list[str]) -> tuple[Path, Path]:
    """RegMix's form: `train_the_pile_X` and `metric/the_pile_X_val_loss`, joined by `index`."""
    groups = ["arxiv", "pubmed_central", "pubmed_abstracts"]
    shares = pl.DataFrame(
        {
            "index": [2, 1],
            **{f"train_the_pile_{g}": x for g, x in zip(groups, ([0.2, 1], [0.3, 0], [0.5, 0]), strict=True)},
        }
    )
    values = pl.DataFrame({"index": [1, 2], **{f"metric/the_pile_{g}_val_loss": [2.0, 3.0] for g in losses}})
    shares.write_csv(folder / "p.csv")
    values.write_csv(folder / "l.csv")
    return folder / "p.csv", folder / "l.csv"


@pytest.mark.parametrize("losses", [["arxiv", "pubmed_central"], ["pubmed_central", "pubmed_abstracts"]])
def test_a_group_and_its_loss_meet_under_one_name(tmp_path: Path, losses: list[str]) -> None:
    mixtures, values = two_tables(tmp_path, losses)
    runs = read_runs(tmp_path, mixtures=mixtures, losses=values)
    assert set(runs.targets) <= set(runs.languages)
    assert runs.loss(runs.targets[0])[runs.runs.index("2")] == 3.0
    np.testing.assert_allclose(runs.p_RL[runs.runs.index("2")], [0.2, 0.3, 0.5])


def wide(folder: Path, **columns: list) -> Path:
    table = {"run": ["a", "b"], "p/es": [0.5, 1.0], "p/fr": [0.5, 0.0], "loss/es": [2.0, 1.9], **columns}
    pl.DataFrame(table).write_csv(folder / "runs.csv")
    return folder / "runs.csv"


def test_a_wide_table_is_read_by_name(tmp_path: Path) -> None:
    runs = read_runs(wide(tmp_path, D=[1e6, 2e6], seed=[0, 1]))
    assert runs.languages == ("es", "fr")
    assert runs.targets == ("es",)
    assert np.isnan(runs.N_R).all()
    np.testing.assert_array_equal(runs.D_R, [1e6, 2e6])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"p/es": [0.5, -1.0]}, "run b: p/es is -1"),
        ({"p/es": [0.5, 0.7]}, "shares sum to 0.7"),
        ({"loss/es": ["2.0", "two"]}, "run b, column loss/es: 'two'"),
        ({"loss/es": [2.0, 0.0]}, "loss/es is 0"),
        ({"run": ["a", "a"]}, "run a is listed twice"),
        ({"D": [1e6, -1.0]}, "D is -1"),
    ],
)
def test_a_fault_is_named_with_run_column_and_value(tmp_path: Path, columns: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_runs(wide(tmp_path, **columns))


def test_runs_in_one_table_only_are_refused(tmp_path: Path) -> None:
    mixtures, values = two_tables(tmp_path, ["arxiv", "pubmed_central"])
    pl.read_csv(values).head(1).write_csv(values)
    with pytest.raises(BadInput, match="one table only"):
        read_runs(tmp_path, mixtures=mixtures, losses=values)


def test_a_study_keeps_final_losses_of_complete_runs() -> None:
    runs = pl.DataFrame({"run": ["a", "b"], "status": ["complete", "diverged"], "p/es": [1.0, 1.0], "D": [1e6, 1e6]})
    losses = pl.DataFrame(
        {
            "run": ["a", "a", "b"],
            "step": [1, 2, 2],
            "language": ["es"] * 3,
            "metric": ["bpb"] * 3,
            "value": [3.0, 2.0, 9.0],
        }
    )
    found = from_tables(runs, losses)
    assert found.runs == ("a",)
    np.testing.assert_array_equal(found.loss_RT, [[2.0]])


def test_regmix_s_names_become_the_domains(tmp_path: Path) -> None:
    mixtures, values = two_tables(tmp_path, ["arxiv", "pubmed_central", "pubmed_abstracts"])
    runs = read_runs(tmp_path, mixtures=mixtures, losses=values)
    assert runs.languages == runs.targets == ("arxiv", "pubmed_central", "pubmed_abstracts")


def test_a_single_target_finds_its_group(tmp_path: Path) -> None:
    mixtures, values = two_tables(tmp_path, ["pubmed_abstracts"])
    assert read_runs(tmp_path, mixtures=mixtures, losses=values).targets == ("pubmed_abstracts",)
