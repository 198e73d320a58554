"""A study of the last phase alone: what is behind the run is trained once, every last phase goes on from it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from glotmix.artifact import checksum, read_json
from glotmix.errors import BadInput, Infeasible
from glotmix.exporters import all_exporters
from glotmix.measurements import read_runs
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage, schedule_in
from glotmix.optimize.constraint import Constraints, Group
from glotmix.optimize.last_phase import limits_after
from glotmix.proxy.run import step_at, steps_of
from glotmix.studies.mixture.config import check
from glotmix.studies.mixture.kind import MixtureKind, report_again
from glotmix.studies.mixture.problems import problems
from tests.study.shell import ran

STUDY = {
    "name": "Last phase",
    "languages": ["spa_Latn", "rus_Cyrl"],
    "corpus": {"reader": "embedded", "bytes_per_language": 60_000, "held_out": 0.1},
    "tokens": {"vocab_size": 400, "held_out_tokens": 1500},
    "proxy": {
        "width": 32, "layers": 1, "heads": 2, "tokens": 12_800, "context": 32, "batch": 4, "learning_rate": 5e-3,
        "decay": 0.25, "precision": "float32",
    },
    "sweep": {"stack": 8, "workers": 1},
    "fit": {"laws": ["null", "own_ratio_floored"], "choose": "own_ratio_floored", "folds": 3, "bootstrap": 5},
    "optimize": {"weights": {"spa_Latn": 3, "rus_Cyrl": 1}},
    "validation": {"seeds": 2, "baselines": ["uniform"]},
}  # fmt: skip
LAST = STUDY | {"first_phase": {"at": 0.8}, "design": {"swarm": 5}, "export": ["megatron_lm"]}
WHOLE = STUDY | {
    "name": "Whole",
    "design": {"coalitions": "none", "swarm": 3, "swarm_roles": "fit", "anchors": 0},
    "proxy": STUDY["proxy"] | {"evaluations": 5, "keep_checkpoints": "with_optimiser"},
    "validation": {"seeds": 2, "baselines": ["natural"]},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("study") / "whole"
    ran("mixture", check(WHOLE), directory.parent, directory)
    return directory


@pytest.fixture(scope="module")
def done(whole: Path) -> Path:
    directory = whole.parent / "last"
    ran("mixture", check(LAST), directory.parent, directory)
    return directory


def final(directory: Path, run: str) -> dict[str, float]:
    rows = read_json(directory / "runs" / run / "run.json")["losses"]
    last = max(row["step"] for row in rows)
    return {(row["language"], row["metric"]): row["value"] for row in rows if row["step"] == last}


def test_going_on_as_before_is_the_run_of_another_study_to_the_bit(whole: Path, done: Path) -> None:
    # Both train the natural mixture with the closed loop's seeds, the one whole, the other in two parts.
    for seed in (0, 1):
        assert final(done, f"validation-continued-s{seed}") == final(whole, f"validation-natural-s{seed}")
    assert final(done, "validation-continued-s0") != final(done, "validation-optimum-s0")


def test_every_last_phase_goes_on_from_one_first_phase(done: Path) -> None:
    runs = read_runs(done)
    swarm = runs.with_role("swarm")
    assert len(swarm) == 5
    assert swarm.changes_R.all()
    proxy = check(LAST).proxy
    steps = steps_of(proxy.tokens, proxy)
    begin = step_at(0.8, steps) / steps
    np.testing.assert_allclose(swarm.phases.length_RK, [[begin, 1 - begin]] * 5)
    assert np.ptp(swarm.phases.p_RKL[:, 0], axis=0).max() == 0
    assert np.ptp(swarm.phases.p_RKL[:, 1], axis=0).max() > 0.3
    assert "base" not in runs.role_R
    first = {path.name for path in (done / "runs").glob("first-*")}
    assert first == {"first-s0", "first-s1000", "first-s1001"}
    # What was computed is each first phase once, and a fifth of a run for all others.
    spent = read_json(done / "compute.json")
    parts = {name: flops for name, flops in spent.items() if not name.startswith("first-")}
    assert {round(flops / spent["first-s0"], 6) for flops in parts.values()} == {round((1 - begin) / begin, 6)}


def test_the_optimum_keeps_what_is_behind_it(done: Path) -> None:
    schedule, note = schedule_in(done / "optimum.json"), read_json(done / "first_phase.json")
    assert [stage.start for stage in schedule.stages] == [0, note["begin"]]
    assert schedule.stages[0].mixture == Mixture(note["schedule"][0]["mixture"])
    loop = read_json(done / "closed_loop.json")
    assert set(loop["measured"]) == {"optimum", "continued", "targets_last", "uniform"}
    told = {row["name"]: row for row in read_json(done / "optimum.json")["baselines"]}
    assert told["continued"]["gain"]["value"] >= 0
    last = schedule.stages[1].mixture
    goes_on = schedule.stages[0].mixture
    assert all(last[name] >= 0.1 * goes_on[name] - 1e-6 for name in last)  # rehearsal


def test_it_is_exported_as_a_second_stage_and_shown(done: Path) -> None:
    written = all_exporters()["megatron_lm"].read(done / "export" / "megatron_lm")
    assert len(written.stages) == 2
    page = (done / "report.html").read_text()
    assert "its mixture alone is sought" in page
    assert "going on as before" in page


def test_a_finished_study_goes_on_from_what_it_kept(whole: Path) -> None:
    told = LAST | {"first_phase": {"at": 0.8, "study": "whole", "run": "natural"}, "export": []}
    config = check(told)
    price = MixtureKind().price(config, whole.parent)
    assert "1 seed" in price.lines["first phase"]  # the closed loop's two are kept
    directory = whole.parent / "kept"
    ran("mixture", config, whole.parent, directory)
    note = read_json(directory / "first_phase.json")
    assert set(note["taken_from"]) == {"first-s1000", "first-s1001"}
    for seed in (0, 1):
        assert final(directory, f"validation-continued-s{seed}") == final(whole, f"validation-natural-s{seed}")


def test_its_page_is_written_again_without_the_other_study(whole: Path, tmp_path: Path) -> None:
    kept = whole.parent / "kept"
    (kept / "report.html").unlink()
    optimum = read_json(kept / "optimum.json")
    moved = whole.rename(tmp_path / "moved")
    try:
        assert report_again(kept, None) == kept / "report.html"
    finally:
        moved.rename(whole)
    assert read_json(kept / "optimum.json") == optimum


def test_what_other_proxies_kept_is_refused(whole: Path) -> None:
    other = LAST["proxy"] | {"learning_rate": 4e-3}
    told = LAST | {"first_phase": {"at": 0.8, "study": "whole", "run": "natural"}, "proxy": other}
    with pytest.raises(BadInput, match=r"made from something else: proxy\.learning_rate"):
        ran("mixture", check(told), whole.parent, whole.parent / "refused")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"first_phase": {"study": "nowhere"}}, "no study that was run"),
        ({"first_phase": {"study": "whole", "run": "best"}}, "has no run 'best'"),
        ({"first_phase": {"at": 0.999}}, "steps in both"),
        ({"design": {"coalitions": "all"}}, "make no game"),
        ({"design": {"schedules": 4}}, "one mixture"),
        ({"optimize": {"phases": 2}}, "the last phase alone"),
        ({"validation": {"baselines": ["unimax"]}}, "a mixture of whole runs"),
        ({"sweep": {"executor": "external", "trainer": "megatron_lm"}}, "where to go on"),
    ],
)
def test_what_a_last_phase_cannot_be_asked_is_refused(whole: Path, change, words: str) -> None:
    config = check({**LAST, **change})
    assert any(words in str(one) for one in problems(config, whole.parent)), problems(config, whole.parent)


def test_a_mixture_of_unknown_languages_is_refused() -> None:
    with pytest.raises(BadInput, match=r"first_phase\.mixture.*deu_Latn"):
        check(LAST | {"first_phase": {"mixture": {"de": 1, "es": 1}}})
    with pytest.raises(BadInput, match="study and mixture at once"):
        check(LAST | {"first_phase": {"mixture": "uniform", "study": "whole"}})


def test_limits_on_the_whole_run_are_limits_on_what_is_left() -> None:
    names = ("a", "b", "c")
    limits = Constraints(
        names, {"a": 0.3}, {"b": 0.5}, max_epochs=2, unique={"a": 50.0, "b": 50.0, "c": 5.0}, D=100.0,
        groups={"g": Group(("a", "c"), ceiling=0.5)},
    )  # fmt: skip
    after = limits_after(limits, {"a": 0.25, "b": 0.4, "c": 0.15})
    # c was to be read in .1 of the run at most and is above: nothing more. a needs .05 of .2, b may have .1 of .2.
    assert after.ceilings["c"] == 0
    assert after.floors["a"] == pytest.approx(0.25)
    assert after.ceilings["b"] == pytest.approx(0.5)
    assert after.groups["g"].ceiling == pytest.approx(0.5)
    for p in ({"a": 0.5, "b": 0.5, "c": 0.0}, {"a": 0.2, "b": 0.5, "c": 0.3}):
        whole = {name: 0.8 * x + 0.2 * p[name] for name, x in {"a": 0.3125, "b": 0.5, "c": 0.1875}.items()}
        assert bool(after.broken(p)) == ((bool(limits.broken(whole)) and p["c"] > 0) or p["a"] < 0.25)
    with pytest.raises(Infeasible, match=r"ceiling 0\.5 of b over the whole run, and it has had 0\.6"):
        limits_after(limits, {"a": 0.2, "b": 0.6, "c": 0.0})
    with pytest.raises(Infeasible, match=r"floor 0\.3 of a"):
        limits_after(limits, {"a": 0.0, "b": 0.4, "c": 0.4})


def test_schedules_of_a_finished_study_go_on_too(whole: Path, tmp_path: Path) -> None:
    from glotmix.studies.mixture.first_phase import first_phase_of

    plan = json.loads((whole / "plan.json").read_text())
    names = ("spa_Latn", "rus_Cyrl")
    early, late = (Mixture({names[0]: share, names[1]: 1 - share}) for share in (0.9, 0.2))
    two = Schedule((Stage(0, early), Stage(0.5, late)))
    (tmp_path / "plan.json").write_text(json.dumps([plan[0] | {"run": "two", "schedule": two.to_json()}]))
    config = check(LAST | {"first_phase": {"at": 0.8, "study": ".", "run": "two"}})
    first = first_phase_of(config, tmp_path, Mixture(dict.fromkeys(names, 0.5)))
    assert first.before == two
    from glotmix.studies.mixture.plan import plan as planned

    runs = planned(config, Mixture(dict.fromkeys(names, 0.5)), first=first)
    assert {len(run.schedule.stages) for run in runs} == {3}
    assert all(run.schedule.stages[:2] == two.stages for run in runs)


TABLES = (
    "measurements/runs.parquet",
    "measurements/losses.parquet",
    "first_phase.json",
    "optimum.json",
    "closed_loop.json",
    "export/megatron_lm/blend-1.txt",
    "export/megatron_lm/blend-2.txt",
)
KILLED_AT = ("runs/first-s0/run.json", "runs/swarm-*/run.json", "runs/validation-*/run.json")
"""What appears in a study's directory as it goes on: its first phases, its last phases, its closed loop."""


@pytest.mark.slow
def test_killed_again_and_again_a_study_makes_the_same_tables(done: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "last.yaml", tmp_path / "out"
    file.write_text(json.dumps(LAST))
    command = [sys.executable, "-m", "glotmix", "run", str(file), "--out", str(out)]
    start = partial(
        subprocess.Popen, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    for sign in KILLED_AT:
        process = start()
        while process.poll() is None and not list(out.glob(sign)):
            time.sleep(0.02)
        assert process.poll() is None, f"ended before {sign}"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (out / "closed_loop.json").exists()
    assert start().wait() == 0
    assert {name: checksum(out / name) for name in TABLES} == {name: checksum(done / name) for name in TABLES}


@pytest.mark.parametrize(
    ("told", "where", "words"),
    [
        (
            {"design": {"passes": 1.0}},
            "design.passes",
            "hardly a last phase to draw: the first 80.0 % of the run have read",
        ),
        (
            {
                "design": {"passes": 3.0},
                "first_phase": {"mixture": {"rus_Cyrl": 1}},
                "optimize": {"max_epochs": 1.5, "floors": {"spa_Latn": 0.3}},
            },
            "optimize",
            "floor 0.3 of spa_Latn over the whole run",
        ),
    ],
)
def test_what_the_first_phase_has_spent_is_said_before_anything_is_trained(told, where: str, words: str) -> None:
    unique = {"spa_Latn": 6400, "rus_Cyrl": 6400}
    config = check(LAST | told)
    (error,) = MixtureKind().problems_of_tokens(config, unique, Path())
    assert error.where == where
    assert words in error.message.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert MixtureKind().problems_of_tokens(check(LAST), unique, Path()) == []


def test_the_passes_that_are_told_instead_leave_a_last_phase() -> None:
    unique = {"spa_Latn": 6400, "rus_Cyrl": 6400}
    told = LAST | {"design": {"passes": 1.0}}
    (error,) = MixtureKind().problems_of_tokens(check(told), unique, Path())
    enough = float(error.expected.removesuffix(" or more"))
    assert enough < 2
    assert MixtureKind().problems_of_tokens(check(LAST | {"design": {"passes": enough}}), unique, Path()) == []
