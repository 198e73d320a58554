"""A study that chooses its runs: within its budget, with a reason to stop, and the same when it is resumed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from glotmix.config import check
from glotmix.errors import BadInput
from glotmix.fit import fit
from glotmix.measurements import Measurements
from glotmix.study import Narrator, Study
from glotmix.study.active import shapley_question
from glotmix.study.whole import dry_run, run_study
from glotmix.transfer.game import members
from glotmix.transfer.shapley import weights

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
    return Study(check(STUDY | {"design": design}), Path(), directory, Narrator())


def test_a_study_chooses_runs_until_its_budget_is_spent_and_resumes_to_the_same(tmp_path):
    run_study(study(tmp_path))
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
    run_study(study(tmp_path))
    assert json.loads((tmp_path / "active.json").read_text()) == told
    assert dry_run(study(tmp_path)).runs == 8


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
