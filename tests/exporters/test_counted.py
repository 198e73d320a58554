"""Counts of rows: what chance leaves open of a share, and that it is said."""

import numpy as np
import pytest

from glotmix.exporters import all_exporters
from glotmix.exporters.counted import chance
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from tests.contracts.exporter import request_for

SCHEDULE = Schedule.constant(Mixture({"a": 0.5, "b": 0.5}))
LENGTHS = np.random.default_rng(0).lognormal(3, 0.8, 400)


def request(rows=400, **changes):
    mean = float(LENGTHS.mean())
    return request_for(
        SCHEDULE,
        unique={"a": mean * rows, "b": mean * rows},
        tokens_per_document={"a": mean, "b": mean},
        document_lengths={"a": LENGTHS.tolist(), **changes},
    )


@pytest.mark.parametrize(("count", "again"), [(150, False), (400, False), (1000, False), (150, True), (1000, True)])
def test_chance_is_that_of_the_trainers_own_draws(count, again):
    rng = np.random.default_rng(1)

    def draw():
        whole = rng.permutation(400)[:count] if again else np.tile(np.arange(400), count // 400)
        rest = count - len(whole)
        return (
            LENGTHS[whole].sum() + LENGTHS[rng.integers(400, size=rest) if again else rng.permutation(400)[:rest]].sum()
        )

    sums = [draw() for _ in range(3000)]
    expected = np.std(sums) / (count * LENGTHS.mean())
    found = chance(request(), np.array([count, count]), again=again)
    assert found[0] == pytest.approx(expected, rel=0.05, abs=1e-12)
    assert found[1] == 0  # nobody measured b


@pytest.mark.parametrize("name", ["llama_factory", "ms_swift", "trl", "maxtext"])
def test_a_share_that_chance_moves_by_more_than_a_percent_is_named(name):
    remarks = all_exporters()[name].simulate(request(rows=9000)).remarks
    assert any("moves shares by chance: a by up to" in remark for remark in remarks)
    alike = request(rows=9000, a=[float(LENGTHS.mean())] * 9)
    assert not any("by chance" in remark for remark in all_exporters()[name].simulate(alike).remarks)
