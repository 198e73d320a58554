"""Tables as people have them are read as the plain table that they are, and what is odd about them is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glotmix.errors import BadInput
from glotmix.measurements import Measurements, read_mixtures, read_runs

GROUPS = ("est", "swh", "code")
TARGETS = ("est", "swh", "code", "fra")


def plain(runs: int = 8, seed: int = 0) -> pl.DataFrame:
    """A wide table without anything odd; shares of four digits."""
    rng = np.random.default_rng(seed)
    p_RL = np.round(rng.dirichlet(np.ones(3), runs), 4)
    p_RL[:, 2] = np.round(1 - p_RL[:, :2].sum(axis=1), 4)
    loss_RT = np.round(rng.uniform(1, 3, (runs, 4)), 5)
    columns = {
        "run": [f"r{r:02}" for r in range(runs)],
        "N": [2e7] * runs,
        "D": [4e8 * (1 + r % 2) for r in range(runs)],
    }
    columns |= {"seed": list(range(runs))}
    columns |= {f"p/{group}": p_RL[:, i] for i, group in enumerate(GROUPS)}
    columns |= {f"loss/{target}": loss_RT[:, t] for t, target in enumerate(TARGETS)}
    return pl.DataFrame(columns)


def read_plain(folder: Path) -> Measurements:
    plain().write_csv(folder / "plain.csv")
    return read_runs(folder / "plain.csv")


def same(found: Measurements, wanted: Measurements, sizes: bool = True) -> None:
    """By name, whatever the order of rows and columns."""
    assert set(found.languages) == set(wanted.languages)
    assert set(found.targets) == set(wanted.targets)
    rows = [found.runs.index(run) for run in wanted.runs]
    columns = [found.languages.index(language) for language in wanted.languages]
    targets = [found.targets.index(target) for target in wanted.targets]
    np.testing.assert_allclose(found.p_RL[np.ix_(rows, columns)], wanted.p_RL, atol=1e-9)
    np.testing.assert_allclose(found.loss_RT[np.ix_(rows, targets)], wanted.loss_RT, rtol=1e-9)
    if sizes:
        np.testing.assert_allclose(found.N_R[rows], wanted.N_R)
        np.testing.assert_allclose(found.D_R[rows], wanted.D_R)
        np.testing.assert_array_equal(found.seed_R[rows], wanted.seed_R)


def cells(frame: pl.DataFrame, change: Callable[[str], str] = str) -> list[list[str]]:
    return [frame.columns, *[[change(str(cell)) for cell in row] for row in frame.iter_rows()]]


def written(path: Path, rows: list[list[str]], separator: str = ",", quote: str = "") -> Path:
    path.write_text("\n".join(separator.join(f"{quote}{cell}{quote}" for cell in row) for row in rows) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "separator", "quote", "told"),
    [
        ("t.csv", ";", "", "semicolons"),
        ("t.csv", "\t", "", "tabs"),
        ("t.csv", "|", "", "bars"),
        ("t.csv", ",", '"', None),
        ("t.tsv", "\t", "", None),
        ("t.tsv", ",", "", "commas"),
    ],
)
def test_any_usual_separator_is_recognised(tmp_path, name, separator, quote, told):
    found = read_runs(written(tmp_path / name, cells(plain()), separator, quote))
    same(found, read_plain(tmp_path))
    assert [told in remark for remark in found.remarks] == ([True] if told else [])


@pytest.mark.parametrize(("separator", "quote"), [(";", ""), ("\t", ""), (",", '"'), ("|", "")])
def test_decimal_commas_are_recognised(tmp_path, separator, quote):
    found = read_runs(written(tmp_path / "t.csv", cells(plain(), lambda c: c.replace(".", ",")), separator, quote))
    same(found, read_plain(tmp_path))
    assert "decimals by commas" in found.remarks[0]


def test_two_ways_of_writing_decimals_are_refused(tmp_path):
    rows = cells(plain())
    rows[1][4] = rows[1][4].replace(".", ",")
    with pytest.raises(BadInput, match=r"t\.csv: numbers are written in two ways: '0,.*' and '.*\..*'"):
        read_runs(written(tmp_path / "t.csv", rows, ";"))


@pytest.mark.parametrize(("N", "D"), [("20,000,000", "400,000,000"), ("20_000_000", "4e8"), (" 2e7 ", "400000000.0")])
def test_thousands_may_be_parted(tmp_path, N, D):
    rows = cells(plain(1))
    rows[1][1], rows[1][2] = N, D
    found = read_runs(written(tmp_path / "t.csv", rows, ",", '"'))
    assert (found.N_R[0], found.D_R[0]) == (2e7, 4e8)


def test_points_part_thousands_where_decimals_follow_a_comma(tmp_path):
    rows = cells(plain(1), lambda c: c.replace(".", ","))
    rows[1][1], rows[1][2] = "20.000.000", "400.000.000"
    found = read_runs(written(tmp_path / "t.csv", rows, ";"))
    assert (found.N_R[0], found.D_R[0]) == (2e7, 4e8)


@pytest.mark.parametrize(
    "header",
    [
        str.upper,
        lambda name: f" {name} ",
        lambda name: name.title(),
        lambda name: name.replace("/", "/ "),
        lambda n: f"{n}\t",
    ],
)
def test_headers_in_another_case_or_with_blanks(tmp_path, header):
    rows = cells(plain())
    rows[0] = [header(name) for name in rows[0]]
    lower = plain().rename({name: name.lower() for name in plain().columns})
    found = read_runs(written(tmp_path / "t.csv", rows))
    wanted = read_runs(written(tmp_path / "l.csv", cells(lower)))
    renamed = {name.casefold(): name for name in (*found.languages, *found.targets)}
    same(
        Measurements(
            **{
                **vars(found),
                "languages": tuple(name.casefold() for name in found.languages),
                "targets": tuple(name.casefold() for name in found.targets),
            }
        ),
        wanted,
    )
    assert len(renamed) == len(TARGETS)  # shares and losses of one group have one name


@pytest.mark.parametrize("second", ["p/est", "P/EST", " p/est ", "p/est "])
def test_a_column_that_is_there_twice_is_an_error(tmp_path, second):
    rows = cells(plain())
    rows[0][5] = second
    with pytest.raises(BadInput, match=r"column (p/est|P/EST).* is listed twice"):
        read_runs(written(tmp_path / "t.csv", rows))


@pytest.mark.parametrize("form", ["{:.2f}", "{:.2f}%", "{:.2f} %"])
def test_percentages_are_shares(tmp_path, form):
    rows = [
        [c if not rows_0.startswith("p/") or r == 0 else form.format(100 * float(c)) for c, rows_0 in zip(row, plain().columns, strict=True)]
        for r, row in enumerate(cells(plain()))
    ]  # fmt: skip
    found = read_runs(written(tmp_path / "t.csv", rows))
    same(found, read_plain(tmp_path))
    assert any("percent" in remark for remark in found.remarks)


@pytest.mark.parametrize("cell", ["", "NaN", "n/a", "-", "null", " ", "inf"])
def test_a_missing_loss_is_left_out_named_and_counted(tmp_path, cell):
    rows = cells(plain())
    for r in (3, 5):
        rows[r][8] = cell
    found = read_runs(written(tmp_path / "t.csv", rows))
    wanted = read_plain(tmp_path)
    wanted.loss_RT[[2, 4], 1] = np.nan
    same(found, wanted)
    assert "loss/swh has no number in 2 rows (r02 and r04): left out for this target" in found.remarks


def test_a_run_without_any_loss_is_left_out(tmp_path):
    rows = cells(plain())
    rows[3][7:] = [""] * 4
    found = read_runs(written(tmp_path / "t.csv", rows))
    assert len(found) == 7
    assert any("without any loss (r02)" in remark for remark in found.remarks)


def test_an_empty_share_is_zero_only_where_the_row_is_whole_without_it(tmp_path):
    rows = cells(plain(2))
    rows[1][4:7] = ["0.5", "0.5", ""]
    assert read_runs(written(tmp_path / "t.csv", rows)).p_RL[0].tolist() == [0.5, 0.5, 0]
    rows[1][4:7] = ["0.5", "0.2", ""]
    with pytest.raises(BadInput, match=r"run r00: shares sum to 0\.7000, and p/code has no number"):
        read_runs(written(tmp_path / "t.csv", rows))


def test_all_faults_are_told_at_once(tmp_path):
    rows = cells(plain())
    rows[1][4], rows[2][7], rows[3][2], rows[4][8] = "-0.5", "two", "-1", "0"
    with pytest.raises(BadInput) as error:
        read_runs(written(tmp_path / "t.csv", rows))
    for told in (
        "run r00: p/est is -0.5",
        "run r01, column loss/est: 'two'",
        "run r02: D is -1",
        "run r03: loss/swh is 0",
    ):
        assert told in str(error.value)


@pytest.mark.parametrize(
    ("n_header", "n", "d_header", "d"),
    [
        ("N (millions)", "20", "D (B)", "0.4"),
        ("params_M", "20", "tokens_b", "0.4"),
        ("Parameters [bn]", "0.02", "Tokens in millions", "400"),
    ],
)
def test_a_unit_in_the_header_is_read(tmp_path, n_header, n, d_header, d):
    rows = cells(plain(1))
    rows[0][1:3], rows[1][1:3] = [n_header, d_header], [n, d]
    found = read_runs(written(tmp_path / "t.csv", rows))
    assert found.N_R[0] == pytest.approx(2e7)
    assert found.D_R[0] == pytest.approx(4e8)
    assert any("in units of" in remark for remark in found.remarks)


@pytest.mark.parametrize(("N", "D"), [("0.02", "0.4"), ("20", "400"), ("150", "3000")])
def test_sizes_in_another_unit_are_remarked_upon(tmp_path, N, D):
    rows = cells(plain())
    for row in rows[1:]:
        row[1], row[2] = N, D
    remarks = read_runs(written(tmp_path / "t.csv", rows)).remarks
    assert [remark.split()[0] for remark in remarks] == ["N", "D"]
    assert all("millions or billions" in remark for remark in remarks)


@pytest.mark.parametrize("factor", [30, 0.05, 1000])
def test_a_target_in_another_unit_is_remarked_upon(tmp_path, factor):
    frame = plain().with_columns(pl.col("loss/code") * factor)
    (remark,) = read_runs(written(tmp_path / "t.csv", cells(frame))).remarks
    assert "loss/code is typically" in remark
    assert "another unit" in remark


def test_copies_are_kept_once_and_told(tmp_path):
    frame = plain()
    copies = frame.with_columns(pl.col("run") + "b", seed=pl.col("seed") + 100).head(3)
    found = read_runs(written(tmp_path / "t.csv", cells(pl.concat([frame, copies]))))
    same(found, read_plain(tmp_path))
    assert any("3 rows are copies" in remark and "r00b of r00" in remark for remark in found.remarks)


@pytest.mark.parametrize("whole", [0.98, 1.02, 0.985])
def test_shares_that_miss_one_are_divided_and_told(tmp_path, whole):
    frame = plain().with_columns([pl.col(f"p/{group}") * whole for group in GROUPS])
    found = read_runs(written(tmp_path / "t.csv", cells(frame)))
    same(found, read_plain(tmp_path))
    assert any(f"sum to {whole:.3f}" in remark for remark in found.remarks)


def long_rows(frame: pl.DataFrame, name: Callable[[str], str], steps: int = 1) -> list[list[str]]:
    """One row per number; earlier steps are worse."""
    rows = []
    for row in frame.iter_rows(named=True):
        for step in range(1, steps + 1):
            for target in TARGETS:
                value = row[f"loss/{target}"] * (1 + 0.1 * (steps - step))
                rows.append([row["run"], str(1000 * step), name(target), str(value)])
    return rows


@pytest.mark.parametrize("name", ["eval/{}/bpb", "loss/{}", "val/{}/loss", "{}.val_loss"])
def test_a_long_table_of_losses_meets_its_shares(tmp_path, name):
    frame = plain()
    rows = [["run", "step", "metric", "value"], *long_rows(frame, name.format, steps=3)]
    shares = written(tmp_path / "shares.csv", cells(frame.drop([f"loss/{target}" for target in TARGETS])))
    losses = written(tmp_path / "long.csv", rows)
    for found in (read_runs(None, mixtures=shares, losses=losses), read_runs(losses, mixtures=shares)):
        same(found, read_plain(tmp_path))
        assert found.unit == ("bpb" if "bpb" in name else "loss")
        assert any("the last of each run is taken" in remark for remark in found.remarks)


def test_a_long_table_may_hold_shares_among_its_metrics(tmp_path):
    frame = plain()
    rows = [["run", "step", "metric", "value"], *long_rows(frame, "loss/{}".format)]
    rows += [
        [row["run"], "0", f"p/{group}", str(row[f"p/{group}"])]
        for row in frame.iter_rows(named=True)
        for group in GROUPS
    ]
    same(read_runs(written(tmp_path / "long.csv", rows)), read_plain(tmp_path), sizes=False)


def test_a_long_table_may_name_the_target_in_a_column_of_its_own(tmp_path):
    frame = plain()
    rows = [["run", "step", "language", "metric", "value"]]
    rows += [[run, step, target, "bpb", value] for run, step, target, value in long_rows(frame, str)]
    shares = written(tmp_path / "shares.csv", cells(frame))
    found = read_runs(None, mixtures=shares, losses=written(tmp_path / "long.csv", rows))
    same(found, read_plain(tmp_path))


def test_tokens_make_checkpoints_of_a_long_table(tmp_path):
    frame = plain().drop("D")
    rows = [["run", "tokens", "metric", "value"]]
    rows += [
        [run, f"{float(step) * 1e5}", metric, value]
        for run, step, metric, value in long_rows(frame, "loss/{}".format, 3)
    ]
    shares = written(tmp_path / "shares.csv", cells(frame.drop([f"loss/{target}" for target in TARGETS])))
    found = read_runs(None, mixtures=shares, losses=written(tmp_path / "long.csv", rows))
    assert len(found) == 3 * 8
    assert sorted(set(found.D_R.tolist())) == [1e8, 2e8, 3e8]


def test_steps_of_a_wide_table_without_tokens_end_in_the_last(tmp_path):
    frame = plain().drop("D")
    late = frame.with_columns(step=pl.lit(2000))
    early = frame.with_columns([pl.col(f"loss/{target}") * 2 for target in TARGETS]).with_columns(step=pl.lit(1000))
    found = read_runs(written(tmp_path / "t.csv", cells(pl.concat([late, early]))))
    np.testing.assert_allclose(found.loss_RT, read_plain(tmp_path).loss_RT)
    assert any("the last is taken" in remark for remark in found.remarks)


def tracked(frame: pl.DataFrame, how: str) -> list[list[str]]:
    """Exports of a tracker."""
    rows = []
    for row in frame.iter_rows(named=True):
        mixture = {group: row[f"p/{group}"] for group in GROUPS}
        config = {
            "n_params": row["N"],
            "tokens": row["D"],
            "seed": row["seed"],
            "optimizer": "adamw",
            "mixture": mixture,
        }
        summary = {f"eval/{target}/bpb": row[f"loss/{target}"] for target in TARGETS} | {"_step": 10, "lr": 0.1}
        if how == "flat":
            flat = {f"config.{k}": v for k, v in config.items() if k != "mixture"}
            flat |= {f"config.mixture.{k}": v for k, v in mixture.items()} | {
                f"summary.{k}": v for k, v in summary.items()
            }
            rows.append({"Name": row["run"], "State": "finished", "Runtime": 3600, **flat})
        elif how == "plain":
            flat = {k: v for k, v in config.items() if k != "mixture"} | {f"mixture.{k}": v for k, v in mixture.items()}
            rows.append({"Name": row["run"], "State": "finished", **flat, **summary})
        else:
            write = json.dumps if how == "json" else str
            rows.append({"": len(rows), "summary": write(summary), "config": write(config), "name": row["run"]})
    return [list(rows[0]), *[[str(cell).replace('"', '""') for cell in row.values()] for row in rows]]


@pytest.mark.parametrize("how", ["flat", "plain", "json", "python"])
def test_a_tracker_s_export_is_a_table_of_runs(tmp_path, how):
    found = read_runs(written(tmp_path / "t.csv", tracked(plain(), how), ",", '"'))
    same(found, read_plain(tmp_path))
    assert found.unit == "bpb"


def test_runs_that_did_not_finish_are_left_out(tmp_path):
    rows = tracked(plain(), "flat")
    rows[3][1], rows[5][1] = "crashed", "running"
    found = read_runs(written(tmp_path / "t.csv", rows, ",", '"'))
    assert len(found) == 6
    assert any("r02 (crashed) and r04 (running)" in remark for remark in found.remarks)


@pytest.mark.parametrize("names", [("run", "name", "index"), ("run",), ("index",), ("id", "name")])
def test_two_tables_of_numbers_meet_under_the_groups_names(tmp_path, names):
    frame = plain()
    keys = {name: frame["run"].to_list() if i == 0 else list(range(len(frame))) for i, name in enumerate(names)}
    shares = pl.DataFrame({**keys, **{f"train_mix_{group}": frame[f"p/{group}"] for group in GROUPS}})
    losses = pl.DataFrame({**keys, **{f"metric/mix_{target}_val": frame[f"loss/{target}"] for target in TARGETS}})
    paths = [written(tmp_path / name, cells(table)) for name, table in (("p.csv", shares), ("l.csv", losses.reverse()))]
    same(read_runs(None, mixtures=paths[0], losses=paths[1]), read_plain(tmp_path), sizes=False)


@pytest.mark.parametrize(
    ("share", "loss"), [("et", "est_Latn"), ("ekk_Latn", "et"), ("EST", "est"), ("Estonian", "est")]
)
def test_spellings_of_one_language_are_one_name(tmp_path, share, loss):
    frame = plain().rename({"p/est": f"p/{share}", "loss/est": f"loss/{loss}"})
    found = read_runs(written(tmp_path / "t.csv", cells(frame)))
    assert found.targets[0] == found.languages[0] == share


def test_one_name_with_several_seeds_is_several_runs(tmp_path):
    frame = plain(4).with_columns(run=pl.Series(["a", "a", "b", "b"]), D=pl.lit(1e8))
    found = read_runs(written(tmp_path / "t.csv", cells(frame)))
    assert len(set(found.runs)) == 4


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_the_order_of_rows_and_columns_changes_nothing(tmp_path_factory, random, comma, percent):
    folder = tmp_path_factory.mktemp("t")
    frame = plain()
    if percent:
        frame = frame.with_columns([pl.col(f"p/{group}") * 100 for group in GROUPS])
    columns = list(frame.columns)
    random.shuffle(columns)
    rows = list(range(len(frame)))
    random.shuffle(rows)
    change = (lambda cell: cell.replace(".", ",")) if comma else str
    found = read_runs(written(folder / "t.csv", cells(frame[rows].select(columns), change), ";" if comma else ","))
    same(found, read_plain(folder))


@pytest.mark.parametrize("form", ["prefixed", "bare", "olmix", "percent", "semicolon", "spelled", "upper"])
def test_mixtures_to_predict_for_are_read_in_the_same_forms(tmp_path, form):
    frame = plain().select("run", "N", *[f"p/{group}" for group in GROUPS])
    wanted = frame.select([f"p/{group}" for group in GROUPS]).to_numpy()
    separator, change = ",", str
    if form == "bare":
        frame = frame.drop("N").rename({f"p/{group}": group for group in GROUPS})
    elif form == "olmix":
        frame = frame.drop("N").with_columns(name=pl.lit("x"), index=pl.int_range(len(frame)))
        frame = frame.rename({f"p/{group}": f"train_{group}" for group in GROUPS})
    elif form == "percent":
        frame = frame.with_columns([pl.col(f"p/{group}") * 100 for group in GROUPS])
    elif form == "semicolon":
        separator, change = ";", lambda cell: cell.replace(".", ",")
    elif form == "spelled":
        frame = frame.rename({"p/est": "p/et", "p/swh": "p/sw"})
    elif form == "upper":
        frame = frame.rename({name: name.upper() for name in frame.columns})
    read = read_mixtures(written(tmp_path / "t.csv", cells(frame, change), separator), GROUPS)
    np.testing.assert_allclose(read.p_RL, wanted / wanted.sum(axis=1, keepdims=True), atol=1e-9)


def test_a_group_that_the_law_does_not_know_is_named_with_a_near_one(tmp_path):
    frame = plain().rename({"p/code": "p/cod"})
    with pytest.raises(BadInput, match=r"no group cod; did you mean code\?"):
        read_mixtures(written(tmp_path / "t.csv", cells(frame)), GROUPS)


@pytest.mark.parametrize("cell", ['{"a": ' * 500, "{'a': " * 500, "{" + "9" * 200_000 + "}", "{'a': __import__('os')}"])
def test_a_cell_that_is_no_dictionary_is_no_danger(tmp_path, cell):
    frame = plain(2).with_columns(config=pl.lit(cell))
    frame.write_csv(tmp_path / "t.csv")
    assert len(read_runs(tmp_path / "t.csv")) == 2
