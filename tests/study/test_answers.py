"""Questions to a fitted law from the command line: limits, sizes, budgets, languages that join."""

import json

import numpy as np
import polars as pl
import pytest

from glotmix.cli import main
from glotmix.errors import BadInput
from glotmix.fit import fit
from glotmix.measurements import Measurements
from glotmix.mixture.mixture import Mixture
from glotmix.optimize import Constraints, Mean, minimise, reuse
from glotmix.optimize.request import asked, kept_of, optimum_of
from glotmix.optimize.reuse import Kept, minimise_kept
from glotmix.optimize.scale import scaling_of
from tests.optimize.planted import equal, log_linear

A, ALPHA, B, BETA = 0.8, 0.34, 1.1, 0.28
"""Of N / 10^6 and D / 10^8."""


def over_sizes(noise=0.002, seed=0):
    """He et al.'s law with the constants above, at nine sizes of eight mixtures."""
    rng = np.random.default_rng(seed)
    sizes = [(N, D) for N in (1e6, 4e6, 1.6e7) for D in (2e7, 1e8, 5e8)]
    p_RL = np.tile(rng.dirichlet([2, 2], 8), (len(sizes), 1))
    N_R, D_R = np.repeat(np.array(sizes), 8, axis=0).T
    base_R = 1.5 + A * (N_R / 1e6) ** -ALPHA + B * (D_R / 1e8) ** -BETA
    loss_RT = base_R[:, None] * p_RL ** -np.array([0.1, 0.2]) * np.exp(rng.normal(0, noise, p_RL.shape))
    names = tuple(f"r{r}" for r in range(len(p_RL)))
    return Measurements(names, ("a", "b"), ("a", "b"), p_RL, loss_RT, N_R, D_R, np.zeros(len(p_RL), int), ("",) * len(p_RL))  # fmt: skip


@pytest.fixture(scope="module")
def climbed():
    return fit("own_ratio", over_sizes(), starts=3, bootstrap=30)


def test_the_budget_of_a_fitted_law_is_spent_as_the_planted_one_says(climbed):
    """C = 6 N D has its best N at G (C/6)^(β/(α+β)) with G = (αA'/(βB'))^(1/(α+β)), A' and B' per parameter and token."""
    C = 3e17
    scale_N, scale_D = A * 1e6**ALPHA, B * 1e8**BETA
    exact = (ALPHA * scale_N / (BETA * scale_D)) ** (1 / (ALPHA + BETA)) * (C / 6) ** (BETA / (ALPHA + BETA))
    found = scaling_of(climbed, asked({"max_epochs": None}), sizes=[(4e6, 1e8), (1e8, 2e9)], C=C)
    assert found.best is not None
    assert pytest.approx(exact, rel=0.25) == found.best.N.value  # the range that is searched is 600 times wide
    assert found.best.D.value == pytest.approx(C / 6 / found.best.N.value)
    near, far = found.sizes
    assert near.warnings == ()
    assert any("N = 1e+08 lies far outside" in warning for warning in far.warnings)
    assert near.optimum.objective.low < near.optimum.objective.value < near.optimum.objective.high
    assert json.loads(json.dumps(found.to_json()))["best"]["N"]["low"] == found.best.N.low


def test_the_interval_of_the_best_size_covers_the_planted_one():
    scale_N, scale_D, C = A * 1e6**ALPHA, B * 1e8**BETA, 3e17
    exact = (ALPHA * scale_N / (BETA * scale_D)) ** (1 / (ALPHA + BETA)) * (C / 6) ** (BETA / (ALPHA + BETA))
    inside = 0
    for seed in range(10):
        fitted = fit("own_ratio", over_sizes(seed=seed), starts=3, bootstrap=30)
        N = scaling_of(fitted, asked({"max_epochs": None}), C=C).best.N
        assert N.low <= N.value <= N.high
        inside += N.low < exact < N.high
    assert inside >= 8  # of ten intervals at 95 %, fewer are inside once in a hundred times


def test_a_budget_needs_a_law_that_knows_sizes():
    one = over_sizes().where(over_sizes().N_R == 4e6)
    one = one.where(one.D_R == 1e8)
    with pytest.raises(BadInput, match="do not depend on N and D"):
        scaling_of(fit("own_ratio", one, starts=2), asked({"max_epochs": None}), C=1e17)
    with pytest.raises(BadInput, match="no size and no budget"):
        scaling_of(fit("own_ratio", one, starts=2), asked({"max_epochs": None}))


def test_sizes_that_cannot_be_filled_do_not_lose_the_others(climbed, tmp_path, capsys):
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(climbed.to_json()))
    limits = ["--max-epochs", 4, "--unique", "a=2e7", "--unique", "b=4e7"]
    assert command("scale", path, "--at", "4e6:1e8", "--at", "4e6:5e9", *limits, "--compute", 3e17, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["optimum"]["D"] for one in told["sizes"]] == [1e8]
    assert [one["D"] for one in told["infeasible"]] == [5e9]
    assert "max_epochs" in told["infeasible"][0]["why"]
    assert told["best"]["D"]["value"] <= 4 * 6e7 * 1.001  # all that there is, four times
    assert command("scale", path, "--at", "4e6:5e9", *limits) == 2
    assert "max_epochs" in capsys.readouterr().err


def test_a_size_beyond_the_runs_is_warned_of(climbed, tmp_path, capsys):
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(climbed.to_json()))
    asked_for = ["optimize", path, "--tokens", 1e12, "--parameters", 7e9, "--out", tmp_path / "m.json"]
    assert command(*asked_for) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "N = 7e+09 lies far outside the measured range" in told
    assert "D = 1e+12 lies far outside the measured range" in told
    assert len(json.loads((tmp_path / "m.json").read_text())["warnings"]) == 2


def test_sizes_that_the_law_does_not_know_are_said_to_be_ignored(tmp_path):
    one = over_sizes()
    one = one.where((one.N_R == 4e6) & (one.D_R == 1e8))
    fitted = fit("own_ratio", one, starts=2)
    warnings = optimum_of(fitted, asked({"max_epochs": None}), N=7e9, D=1e12).warnings
    assert any("own_ratio has no N" in warning for warning in warnings)
    assert any("own_ratio has no D" in warning for warning in warnings)
    assert optimum_of(fitted, asked({"max_epochs": None})).warnings == ()


def test_predictions_beyond_the_runs_are_flagged(climbed, tmp_path):
    path, table, out = tmp_path / "fit.json", tmp_path / "mixtures.csv", tmp_path / "predicted.csv"
    path.write_text(json.dumps(climbed.to_json()))
    table.write_text("name,N,D,p/a,p/b\nnear,4e6,1e8,0.5,0.5\nfar,4e6,1e11,0.5,0.5\nedge,4e6,1e8,0.9999,0.0001\n")
    assert command("predict", path, table, "--out", out) == 0
    told = dict(pl.read_csv(out).select("name", "beyond").fill_null("").iter_rows())
    assert told["near"] == ""
    assert "D = 1e+11 lies far outside" in told["far"]
    assert "outside the measured mixtures" in told["edge"]


def test_every_field_of_the_section_can_be_asked_with(climbed):
    held = asked({"max_epochs": None}, ["l1=0.5", "near=current", "current={a: 0.9, b: 0.1}"])
    free = optimum_of(climbed, asked({"max_epochs": None}))
    assert optimum_of(climbed, held).mixture["a"] > free.mixture["a"] + 0.1
    grouped = asked({"max_epochs": None}, ["groups.one={languages: [a], floor: 0.7}"])
    assert optimum_of(climbed, grouped).mixture["a"] == pytest.approx(0.7)
    with pytest.raises(BadInput, match=r"--set.*kappa"):
        asked({}, ["kappa=1"])


def test_an_optimum_outside_the_runs_is_told_from_the_file(climbed, tmp_path):
    near = over_sizes()
    near = near.where((near.p_RL[:, 0] > 0.5) & (near.p_RL[:, 0] < 0.9))
    found = optimum_of(type(climbed).from_json(json.loads(json.dumps(fit("own_ratio", near, starts=2).to_json()))), asked({"max_epochs": None}))  # fmt: skip
    assert found.nearest is not None
    assert found.nearest.extrapolates


def test_a_kept_block_is_optimised_as_one_language_and_its_gradient_is_exact():
    law = log_linear(4, seed=3)
    old = Mixture({"l00": 0.5, "l01": 0.3, "l02": 0.2})
    small = reuse(old, ["l03"], affected=["l02"])
    p_S, kept = np.array([0.5, 0.3, 0.2]), Kept(law, small)
    slope_TS = np.stack([(kept.loss(p_S + h) - kept.loss(p_S - h)) / 2e-6 for h in 1e-6 * np.eye(3)], axis=1)
    np.testing.assert_allclose(kept.gradient(p_S), slope_TS, rtol=1e-5, atol=1e-8)
    aim = Mean(law.targets, equal(law.targets))
    limits = Constraints(law.languages, ceilings={"l00": 0.2}, floors={"l03": 0.1})
    found = minimise_kept(small, law, aim, limits)
    assert found.mixture["l00"] / found.mixture["l01"] == pytest.approx(5 / 3)
    assert found.mixture["l00"] <= 0.2 + 1e-9
    assert found.mixture["l03"] >= 0.1 - 1e-9
    # A grid of small mixtures has nothing better, and all mixtures together have.
    grid = [np.array([x, y, 1 - x - y]) for x in np.arange(0, 0.321, 0.02) for y in np.arange(0, 0.9 - x, 0.02)]
    assert found.objective.value <= min(aim.value(kept.loss(p)) for p in grid) + 1e-9
    assert minimise(law, aim, limits).objective.value <= found.objective.value + 1e-9


def command(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["glotmix", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return end.code or 0
    return 0


def test_a_language_joins_from_the_command_line(tmp_path, capsys):
    old, design = tmp_path / "old.json", tmp_path / "design.csv"
    old.write_text(json.dumps({"mixture": {"a": 0.75, "b": 0.25}}))
    assert command("reuse", old, "--new", "c", "--runs", 16, "--out", design) == 0
    table = pl.read_csv(design)
    assert table.columns == ["run", "p/a", "p/b", "p/c"]
    assert table["p/c"][0] == 0
    np.testing.assert_allclose(table["p/a"], 3 * table["p/b"])
    p_RL = table.select("p/a", "p/b", "p/c").to_numpy()
    losses = {f"loss/{t}": 2 - 0.2 * np.log(p_RL @ w) for t, w in zip("abc", ([1, 0.3, 0.2], [0.3, 1, 0.2], [0.1, 0.1, 1]), strict=True)}  # fmt: skip
    table.with_columns(**{name: pl.Series(values) for name, values in losses.items()}).write_csv(tmp_path / "runs.csv")
    assert command("fit", tmp_path / "runs.csv", "--law", "shapley_law", "--folds", 4, "--bootstrap", 0, "--out", tmp_path / "fit.json") == 0  # fmt: skip
    out = tmp_path / "new.json"
    assert command("optimize", tmp_path / "fit.json", "--keep", old, "--out", out) == 0
    share = json.loads(out.read_text())["mixture"]
    assert share["a"] == pytest.approx(3 * share["b"])
    assert 0.1 < share["c"] < 0.6  # the mean over three languages; not the block alone, and not the new one alone
    capsys.readouterr()
    assert command("scale", tmp_path / "fit.json", "--at", "1e9", "--json") == 2
    assert "N:D" in capsys.readouterr().err


def test_a_mixture_that_the_law_does_not_know_cannot_be_kept(tmp_path):
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"mixture": {"a": 0.75, "x": 0.25}}))
    with pytest.raises(BadInput, match="x is not in the law"):
        kept_of(old, ["a", "b"], [])
