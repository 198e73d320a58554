"""What every adaptive method owes its trainer."""

import json

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.mixture.adaptives import ADAPTIVES
from glotmix.mixture.adaptives.adaptive import Observation, ObservationCost
from glotmix.mixture.balancing import uniform
from glotmix.mixture.mixture import Mixture

START = Mixture({"eng": 0.7, "spa": 0.2, "swh": 0.1})
ARGUMENTS = {
    "ado": {"first_fit": 8, "ignored": 2, "every": 4},
    "pike": {"zeta1": 0.1, "zeta2": 0.1, "batch": 8, "every": 1},
    "gradvac": {"seed": 0},
}


def observation(step, rng):
    g = rng.normal(size=(3, 5))
    per_language = [dict(zip(START, map(float, row), strict=True)) for row in rng.uniform(0.5, 3, size=(4, 3))]
    table = {a: {b: float(g[i] @ g[j]) for j, b in enumerate(START)} for i, a in enumerate(START)}
    cosine = {a: {b: float(np.tanh(table[a][b])) for b in START} for a in START}
    counts = dict(zip(START, map(int, rng.integers(1, 9, size=3)), strict=True))
    return Observation(step, per_language[0], per_language[1], counts, per_language[2], per_language[3], table, cosine)


@pytest.fixture(params=sorted(ADAPTIVES))
def name(request):
    return request.param


def made(name):
    return ADAPTIVES.find(name)(START, **ARGUMENTS.get(name, {}))


@pytest.mark.filterwarnings("error")
def test_every_update_leaves_a_mixture_and_weights_over_all_languages(name):
    rng, method = np.random.default_rng(0), made(name)
    for step in range(1, 15):
        method.update(observation(step, rng))
        assert tuple(method.mixture) == tuple(START) == tuple(method.result)
        assert min(method.mixture.values()) > 0
        if method.weighting is not None:
            assert tuple(method.weighting) == tuple(START)


def test_state_as_json_goes_on_exactly(name):
    rng, method = np.random.default_rng(1), made(name)
    seen = [observation(step, rng) for step in range(1, 17)]
    for one in seen[:9]:
        method.update(one)
    other = made(name)
    other.restore(json.loads(json.dumps(method.state())))
    for one in seen[9:]:
        method.update(one)
        other.update(one)
    assert other.mixture == method.mixture
    assert other.weighting == method.weighting
    assert other.result == method.result


def test_needs_are_fields_of_an_observation_and_sources_are_told(name):
    method = ADAPTIVES.find(name)
    assert method.needs <= set(Observation.__dataclass_fields__)
    assert "arXiv" in method.source


def test_before_any_update_the_start_is_what_is_sampled(name):
    method = made(name)
    assert method.mixture.total_variation(uniform(START) if name == "doremi" else START) < 1e-12


def test_extra_flops_count_passes_updates_and_whole_runs():
    # 100 steps, an update every 10: 10 · (2·1 + 4·2) N B; one run more: 6 · 100 N B.
    assert ObservationCost(forward=1, backward=2, every=10).flops(N=1000, batch_tokens=64, steps=100) == 100 * 64_000
    assert ObservationCost(runs=1).flops(N=1000, batch_tokens=64, steps=100) == 600 * 64_000
    assert ObservationCost().flops(1e6, 1e4, 1000) == 0


def test_a_missing_language_in_a_full_observation_is_named():
    method = made("pike")
    with pytest.raises(BadInput, match="pike: no square_norm of swh at step 3"):
        method.update(Observation(3, square_norm={"eng": 1.0, "spa": 1.0}))
