import itertools

import pytest

from glotmix.errors import BadInput
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.ladder import SIZES, rung


@pytest.mark.parametrize("size", [*SIZES, 75_000, 333_333, 2e7, "2.5e8"])
def test_a_rung_has_nearly_the_parameters_that_were_asked_for(size):
    found = rung(size)
    wanted = float(str(size).replace("B", "e9").replace("M", "e6"))
    assert abs(found.shape.N / wanted - 1) < 0.2
    assert 15 < found.shape.width / found.shape.layers < 140


def test_from_rung_to_rung_the_rate_falls_and_batch_tokens_and_compute_grow():
    rungs = [rung(size) for size in SIZES]
    for small, large in itertools.pairwise(rungs):
        assert small.learning_rate >= large.learning_rate
        assert small.batch < large.batch
        assert small.tokens < large.tokens
        assert small.C < large.C
        assert small.memory() < large.memory()


def test_the_rules_at_their_reference_size():
    found = rung(108e6, context=2048)
    N = found.shape.N
    assert found.batch == pytest.approx(160 * (N / 108e6) ** (2 / 3), abs=1)
    assert found.learning_rate == pytest.approx(0.0047 * (N / 108e6) ** (-1 / 3))
    assert found.tokens == 20 * N


def test_a_rung_becomes_a_proxy_configuration():
    training = rung("1M", context=64).training(ProxyConfig())
    assert (training.width, training.layers, training.context) == (128, 5, 64)
    assert ProxyConfig.model_validate(training.model_dump()) == training


def test_the_dry_run_tells_every_cost():
    text = rung("1M").describe(1e12)
    for word in ("N = 1,0", "D = 20,0", "batch", "learning rate", "FLOP", "MB", " s"):
        assert word in text


@pytest.mark.parametrize("size", ["big", "1T", "10", "", "-5M", "1.2.3M", 1e12])
def test_a_size_that_is_none_is_bad_input(size):
    with pytest.raises(BadInput, match="size"):
        rung(size)
