"""A study that chooses its runs: within its budget, with a reason to stop, and the same when it is resumed."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.fit import fit
from glotmix.measurements import Measurements
from glotmix.mixture.mixture import Mixture
from glotmix.studies.mixture.active import shapley_question, train_chosen
from glotmix.studies.mixture.config import check
from glotmix.studies.mixture.plan import plan
from glotmix.studies.mixture.price import price
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study.directory import StudyDirectory
from glotmix.transfer.game import members
from glotmix.transfer.shapley import weights
from tests.study.shell import ran

STUDY = {
    "name": "Chosen",
    "languages": ["spa_Latn", "rus_Cyrl"],
    "corpus": {"reader": "embedded", "bytes_per_language": 60_000, "held_out": 0.1},
    "tokens": {"vocab_size": 400, "held_out_tokens": 1500},
    "design": {
        "coalitions": "none",
        "swarm": 3,
        "swarm_roles": "fit",
        "anchors": 2,
        "anchor_seeds": 1,
        "active": {"batch": 2, "runs": 8, "tolerance": 1e-9},
    },
    "proxy": {"width": 32, "layers": 1, "heads": 2, "tokens": 4000, "context": 32, "batch": 4, "learning_rate": 5e-3},
    "sweep": {"stack": 5, "workers": 1},
    "fit": {"laws": ["shapley_law"], "folds": 3, "bootstrap": 5},
    "validation": {"seeds": 0},
}


def study(directory, **active):
    design = STUDY["design"] | {"active": STUDY["design"]["active"] | active}
    return MixtureStudy.of(check(STUDY | {"design": design}), StudyDirectory(directory))


class Planted(MixtureStudy):
    """A study whose proxies cost nothing: losses follow a law, with noise of 1 %."""

    def run(self, runs, spec, label):
        done = json.loads(self.trained.read_text()) if self.trained.is_file() else []
        self.trained.write_text(json.dumps(done + [run.run for run in runs]))
        return {}

    @property
    def trained(self):
        return self.directory / "trained.json"

    def unique(self, store):
        return dict.fromkeys(self.config.languages, 1e6)

    def measure(self, runs, spec, failed):
        languages = tuple(self.config.languages)
        p_RL = np.array([run.schedule.average().vector(languages) for run in runs])
        share_RT = (p_RL**0.6 @ np.array([[1, 0.2], [0.1, 1]]) ** 0.6) ** (1 / 0.6)
        noise_RT = [np.random.default_rng([run.seed, len(run.run)]).normal(0, 0.01, 2) for run in runs]
        loss_RT = 2 * (1 - 0.2 * np.log(share_RT)) * np.exp(noise_RT)
        R, known = len(runs), np.full(len(runs), 1e4)
        roles = tuple(run.role for run in runs)
        return Measurements(tuple(r.run for r in runs), languages, languages, p_RL, loss_RT, known, known, np.zeros(R, int), roles)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("glotmix.studies.mixture.active.RESAMPLES", 20)


def planted(directory, seconds=lambda: 0.0, **active):
    made = study(directory, **active)
    directory.mkdir(exist_ok=True)
    made = Planted(made.config, made.base, made.directory, made.narrator)
    runs = plan(made.config, Mixture.normalised(dict.fromkeys(made.config.languages, 1.0)))
    all_runs, failed = train_chosen(made, SimpleNamespace(vocab_size=400), runs, None, {}, seconds)
    told = json.loads((directory / "active.json").read_text())
    assert [run.run for run in all_runs] == [run["run"] for run in json.loads((directory / "plan.json").read_text())]
    assert not failed
    return all_runs, told


def test_runs_are_chosen_until_the_budget_of_runs_is_spent(tmp_path):
    runs, told = planted(tmp_path / "a")
    assert [len(one["runs"]) for one in told["rounds"]] == [2, 1]  # 5 at first, 8 in all
    assert len(runs) == 8
    assert len({(run.schedule, run.seed) for run in runs}) == 8
    assert told["stopped"]["reason"].startswith("the budget of 8 runs is spent; another mixture could be better by")
    assert all(one["expected"][-1] < one["width"] for one in told["rounds"])
    # Asked again it does nothing; interrupted before its end it goes on to the same runs.
    assert planted(tmp_path / "a")[1] == told
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "active.json").write_text(json.dumps({"rounds": told["rounds"][:1], "stopped": None}))
    assert planted(tmp_path / "b")[1]["rounds"] == told["rounds"]


def test_it_stops_when_the_choice_is_settled(tmp_path):
    _, told = planted(tmp_path / "a", runs=50, tolerance=0.2)
    assert told["stopped"]["reason"].startswith("settled: ")
    assert told["stopped"]["unsure"] <= 0.2
    assert not told["rounds"]


def test_the_shapley_values_can_be_what_is_asked(tmp_path):
    _, told = planted(tmp_path / "a", runs=9, aim="shapley")
    assert "Shapley values are known to" in told["stopped"]["reason"]
    assert {one["asked"] for one in told["rounds"]} == {"the Shapley values"}


def test_a_budget_may_be_of_compute_or_of_time(tmp_path):
    one = price(study(tmp_path, runs=1)).amounts
    per_run = one["flops"] / one["runs"]
    runs, told = planted(tmp_path / "a", runs=None, flops=7.5 * per_run)
    assert len(runs) == 7
    assert "FLOPs is spent" in told["stopped"]["reason"]
    # 36 s a run, so 252 s are spent after seven of them.
    done = tmp_path / "b" / "trained.json"
    seconds = lambda: 36.0 * (5 + (len(json.loads(done.read_text())) if done.is_file() else 0))  # noqa: E731
    runs, told = planted(tmp_path / "b", seconds, runs=None, hours=0.07)
    assert len(runs) == 7
    assert "hours is spent" in told["stopped"]["reason"]


@pytest.mark.slow
def test_a_study_chooses_runs_until_its_budget_is_spent_and_resumes_to_the_same(tmp_path):
    ran("mixture", study(tmp_path).config, Path(), tmp_path)
    told = json.loads((tmp_path / "active.json").read_text())
    chosen = [run["run"] for one in told["rounds"] for run in one["runs"]]
    assert [len(one["runs"]) for one in told["rounds"]] == [2, 1]  # 5 at first, 8 in all
    assert told["stopped"]["reason"].startswith("the budget of 8 runs is spent")
    assert all(one["expected"][-1] < one["width"] for one in told["rounds"])
    assert all((tmp_path / "runs" / run / "run.json").is_file() for run in chosen)
    fitted = json.loads((tmp_path / "fits" / "shapley_law.json").read_text())
    assert fitted["fits"]["spa_Latn"]["runs"] == 8
    # As if it had been interrupted before the last batch was trained.
    (tmp_path / "active.json").write_text(json.dumps(told | {"stopped": None}))
    shutil.rmtree(tmp_path / "runs" / chosen[-1])
    ran("mixture", study(tmp_path).config, Path(), tmp_path)
    assert json.loads((tmp_path / "active.json").read_text()) == told
    assert price(study(tmp_path)).amounts["runs"] == 8


def test_a_study_without_a_budget_is_refused():
    with pytest.raises(BadInput, match=r"design.active.*no budget"):
        check(STUDY | {"design": STUDY["design"] | {"active": {"batch": 2}}})


def test_the_shapley_question_is_the_values_of_the_law():
    rng = np.random.default_rng(0)
    p_RL = rng.dirichlet(np.ones(3), 20)
    loss_RT = 2 - 0.3 * np.log(p_RL + 0.1)
    unknown, names = np.full(20, np.nan), tuple(f"r{r}" for r in range(20))
    runs = Measurements(names, ("a", "b", "c"), ("a", "b", "c"), p_RL, loss_RT, unknown, unknown, np.zeros(20, int), ("",) * 20)  # fmt: skip
    fitted = fit("log_linear", runs, starts=2)
    question = shapley_question(fitted, dict.fromkeys("abc", 1 / 3))
    inside = members(3)[1:]
    loss_CT = fitted.predict(inside / inside.sum(1, keepdims=True)).value_RT
    expected = -(weights(3)[:, 1:] @ loss_CT).T
    found = np.einsum("ktq,qt->k", question.weight_KTQ, fitted.predict(question.p_QL).value_RT).reshape(3, 3)
    np.testing.assert_allclose(found, expected, atol=1e-12)
