"""What is uncertain about an optimum."""

import numpy as np
import pytest

from glotmix.fit import fit
from glotmix.measurements import Measurements
from glotmix.optimize import Constraints, Mean, Worst, minimise
from glotmix.optimize.question import standing
from tests.optimize.planted import equal

LANGUAGES = ("a", "b", "c")


def fitted(noise):
    rng = np.random.default_rng(0)
    p_RL = rng.dirichlet(np.ones(3), 30)
    loss_RT = (1 - 0.2 * np.log(p_RL + 0.05)) * np.exp(noise * rng.normal(size=(30, 3)))
    unknown, names = np.full(30, np.nan), tuple(f"r{r}" for r in range(30))
    runs = Measurements(names, LANGUAGES, LANGUAGES, p_RL, loss_RT, unknown, unknown, np.zeros(30, int), ("",) * 30)
    return fit("own_ratio_floored", runs, starts=2, bootstrap=25)


@pytest.mark.parametrize("kind", [Mean, Worst])
def test_rivals_are_asked_for_their_distance_to_the_optimum(kind):
    law, limits = fitted(0.02), Constraints(LANGUAGES)
    aim = kind(LANGUAGES, equal(LANGUAGES))
    found = minimise(law, aim, limits, resamples=0)
    here = standing(law, aim, limits, found.mixture, resamples=10)
    assert here.value == pytest.approx(found.objective.value)
    assert 0 <= here.regret <= here.most < 0.05 * here.value
    loss_QT = law.predict(here.question.p_QL).value_RT
    ahead_K = np.einsum("ktq,qt->k", here.question.weight_KTQ, loss_QT)
    if kind is Mean:
        value_Q = found.aim.value(loss_QT)
        np.testing.assert_allclose(ahead_K, value_Q[1:] - value_Q[0], atol=1e-9)
        assert (ahead_K >= -1e-9).all()  # on the fit itself no rival is better
    else:  # each share of resamples goes to the target that decides in it
        assert here.question.weight_KTQ[0, :, 1] @ [found.aim.best[t] for t in LANGUAGES] == pytest.approx(1, rel=0.05)


def test_with_little_noise_little_is_open():
    aim, limits = Mean(LANGUAGES, equal(LANGUAGES)), Constraints(LANGUAGES)
    most = []
    for noise in (0.0005, 0.03):
        law = fitted(noise)
        most.append(standing(law, aim, limits, minimise(law, aim, limits, resamples=0).mixture, resamples=10).most)
    assert most[0] < 0.05 * most[1]
