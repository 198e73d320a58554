"""Which law a study takes: by the mixtures that an optimum needs, not by the corners that its game was played in."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np

from glotmix.fit import choose
from glotmix.fit.holdout import cross_validate
from glotmix.laws import find_law
from glotmix.measurements import Measurements
from glotmix.studies.mixture.config import check
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study.directory import StudyDirectory

LANGUAGES = ("spa_Latn", "fra_Latn", "rus_Cyrl", "tur_Latn")
LAWS = ("null", "own_ratio", "log_linear")
ROLES = ("coalition",) * 15 + ("swarm",) * 16


def measured() -> Measurements:
    """Coalitions whose losses say nothing of the mixture, and a swarm whose losses fall with a language's own share, to .3 %."""
    rng = np.random.default_rng(0)
    corners = [
        np.isin(range(4), members) / len(members) for size in range(1, 5) for members in combinations(range(4), size)
    ]
    p_RL = np.vstack([corners, rng.dirichlet(np.full(4, 1.5), 16)])
    loss_RT = (1 + 0.5 * np.exp(-2 * p_RL)) * np.exp(0.003 * rng.standard_normal((31, 4)))
    loss_RT[:15] = 1.3 * np.exp(0.15 * rng.standard_normal((15, 4)))
    names, size = tuple(f"r{r}" for r in range(31)), np.full(31, 1e6)
    return Measurements(names, LANGUAGES, LANGUAGES, p_RL, loss_RT, size, size, np.zeros(31, int), ROLES)


def test_a_law_that_wins_nothing_in_the_corners_is_chosen_by_the_swarm(tmp_path: Path) -> None:
    """Cross-validation over the coalitions takes null; the held-out mixtures of all languages know better."""
    runs, laws = measured(), [find_law(name) for name in LAWS]
    corners = cross_validate(laws, runs.with_role("coalition"), folds=5, seed=0)
    assert choose(corners, LANGUAGES) == "null"
    asked = check(
        {
            "name": "Corners",
            "languages": list(LANGUAGES),
            "corpus": {"reader": "embedded"},
            "design": {"coalitions": "all", "swarm": 16, "swarm_roles": "held_out"},
            "fit": {"laws": list(LAWS), "bootstrap": 0, "folds": 5},
        }
    )
    judgement = MixtureStudy.of(asked, StudyDirectory(tmp_path)).laws(runs, None)
    assert judgement.law == "own_ratio"
    assert judgement.crossed.mean("own_ratio") < 0.5 * judgement.crossed.mean("null")
