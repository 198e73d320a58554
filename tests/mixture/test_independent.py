"""Independent draws: the same sequences in the same order per language, and the noise of drawing one by one."""

import numpy as np
import pytest

from glotmix.mixture.mixture import Mixture
from glotmix.mixture.samplers.clones import CloneSampler
from glotmix.mixture.samplers.independent import IndependentSampler
from glotmix.mixture.samplers.scheduled import PIECE, Sampler
from glotmix.mixture.schedule import Schedule, Stage
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.run import StackRun

SHARES = {"a": 0.9, "b": 0.1, "c": 0.0}
SCHEDULE = Schedule((Stage(0.0, Mixture(SHARES)), Stage(0.5, Mixture({"a": 0.2, "b": 0.3, "c": 0.5}))))
AVAILABLE = {"a": 5000, "b": 70, "c": 900}
TOTAL = 3 * PIECE + 1000


def counts_by_batch(sampler, stop, batch):
    language, _ = sampler.draw(0, stop)
    return np.stack([(language.reshape(-1, batch) == k).sum(1) for k in range(3)], 1)


def test_batches_vary_as_draws_one_by_one_do_and_exact_ones_less():
    batch, stop = 512, 24 * 1024
    variance = {
        kind: np.mean([counts_by_batch(kind(SCHEDULE, TOTAL, AVAILABLE, s), stop, batch)[:, 1].var() for s in range(8)])
        for kind in (Sampler, IndependentSampler)
    }
    one_by_one = batch * 0.1 * 0.9
    # 384 batches: the standard error of a variance is 7 % of it. Exact draws fill half a block of 1,024 with each.
    assert variance[IndependentSampler] == pytest.approx(one_by_one, rel=0.2)
    assert variance[Sampler] == pytest.approx(one_by_one / 2, rel=0.2)


def test_a_gradient_has_the_noise_of_its_sequences():
    """Sequences of two languages with gradients of known mean and spread: the variance of a batch's mean is 1/B of
    one sequence's under independent draws, and smaller by what lies between the languages under exact ones."""
    batch, mean_L, spread_L = 512, np.array([0.0, 3.0, 0.0]), np.array([1.0, 0.5, 0.0])
    p_L = np.array(list(SHARES.values()))
    inside, between = p_L @ spread_L**2, p_L @ mean_L**2 - (p_L @ mean_L) ** 2
    found = {}
    for kind in (Sampler, IndependentSampler):
        rng, means = np.random.default_rng(0), []
        for seed in range(8):
            count_NL = counts_by_batch(kind(SCHEDULE, TOTAL, AVAILABLE, seed), 24 * 1024, batch)
            noise_N = np.sqrt(count_NL @ spread_L**2) * rng.standard_normal(len(count_NL))
            means.append((count_NL @ mean_L + noise_N) / batch)
        found[kind] = np.concatenate(means).var()
    assert found[IndependentSampler] * batch == pytest.approx(inside + between, rel=0.2)
    assert found[Sampler] * batch == pytest.approx(inside + between / 2, rel=0.2)


def test_counts_and_draws_do_not_depend_on_how_the_run_is_cut():
    whole = IndependentSampler(SCHEDULE, TOTAL, AVAILABLE, 3)
    language, sequence = whole.draw(0, TOTAL)
    for start, count in ((0, 10), (PIECE - 5, 20), (2 * PIECE + 7, 900), (TOTAL - 1, 1), (TOTAL, 0)):
        fresh = IndependentSampler(SCHEDULE, TOTAL, AVAILABLE, 3)
        for got, expected in zip(fresh.draw(start, count), (language, sequence), strict=True):
            np.testing.assert_array_equal(got, expected[start : start + count])
        drawn = np.bincount(language[start : start + count], minlength=3).tolist()
        assert list(fresh.counts(start, start + count).values()) == drawn
    assert not (language[: TOTAL // 2] == 2).any()


def test_the_sequences_of_a_language_come_as_with_exact_draws():
    exact, alone = (kind(SCHEDULE, TOTAL, AVAILABLE, 3).draw(0, TOTAL) for kind in (Sampler, IndependentSampler))
    for k in range(3):
        ours, theirs = alone[1][alone[0] == k], exact[1][exact[0] == k]
        n = min(len(ours), len(theirs))
        assert n > 1000
        np.testing.assert_array_equal(ours[:n], theirs[:n])


def test_clones_draw_their_language_one_by_one_as_well():
    schedule = Schedule.constant(Mixture({"x.1": 0.9, "x.2": 0.1}))
    first = CloneSampler(schedule, 4096, 5000, 0, "x", independent=True)
    exact = CloneSampler(schedule, 4096, 5000, 0, "x")
    language, sequence = first.draw(0, 4096)
    np.testing.assert_array_equal(sequence, exact.draw(0, 4096)[1])  # the same walk over the text
    assert set(exact.counts(0, 1024).values()) == {922, 102}
    assert list(first.counts(0, 1024).values()) == np.bincount(language[:1024]).tolist() != [922, 102]


def test_a_study_asks_for_them_in_the_section_of_its_proxies():
    class Store:
        def train(self, language):
            return np.arange(9001)

    run = StackRun("r", Schedule.constant(Mixture({"a": 0.5, "b": 0.5})), 64 * 16 * 8, 0)
    batches = [
        MixtureBatches(Store(), [run], ProxyConfig(context=8, batch=16, draws=draws))
        for draws in ("exact", "independent")
    ]
    exact, independent = (b.tokens_by_language(0, 64) for b in batches)
    assert set(exact.values()) == {4096}
    assert set(independent.values()) != {4096}
    assert sum(independent.values()) == 8192
