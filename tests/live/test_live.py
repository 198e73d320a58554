"""One global order, whoever reads it: ranks, workers, resumed or not."""

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader

from glotmix.errors import BadInput
from glotmix.live import GlotmixIterableDataset, GlotmixSampler, LossWeighting, TokenSequences, weighted_loss
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.samplers.scheduled import Sampler
from glotmix.mixture.schedule import Schedule, Stage
from glotmix.mixture.weighting import Weighting

COOLDOWN = Schedule(
    (
        Stage(0.0, Mixture({"swh_Latn": 0.2, "no": 0.5, "deu_Latn": 0.3})),
        Stage(0.5, Mixture({"swh_Latn": 0.6, "no": 0.4, "deu_Latn": 0.0})),
    )
)
SIZES = {"swh_Latn": 37, "no": 150, "deu_Latn": 70}
SAMPLER = Sampler(COOLDOWN, total=480, available=SIZES, seed=7, block=64)
SOURCES = {name: [{"id": torch.tensor([i, n])} for n in range(size)] for i, (name, size) in enumerate(SIZES.items())}
NAMES = list(SIZES)


def drawn(start=0, stop=480):
    languages, sequences = SAMPLER.draw(start, stop - start)
    order = [NAMES.index(name) for name in SAMPLER.languages]
    return [
        (order[language], sequence) for language, sequence in zip(languages.tolist(), sequences.tolist(), strict=True)
    ]


def ids(batches):
    return [[tuple(row) for row in batch["id"].tolist()] for batch in batches]


def stream(**options):
    return GlotmixIterableDataset(SOURCES, SAMPLER, **options)


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_step_reads_the_same_sequences_for_any_ranks_and_workers(world, workers):
    per_rank = 12 // world
    batches = [
        ids(DataLoader(stream(rank=rank, world=world, batch_size=per_rank), batch_size=per_rank, num_workers=workers))
        for rank in range(world)
    ]
    expected = drawn()
    for step in range(40):
        together = [row for rank in range(world) for row in batches[rank][step]]
        assert sorted(together) == sorted(expected[12 * step : 12 * step + 12])
    assert all(len(rank) == 40 for rank in batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_after_any_step_the_rest_is_the_same(workers):
    whole = ids(DataLoader(stream(batch_size=8), batch_size=8))
    for step in (1, 29, 30, 31, 59, 60):
        data = stream(batch_size=8)
        data.resume(step * 8)
        assert ids(DataLoader(data, batch_size=8, num_workers=workers)) == whole[step:]


def test_a_state_goes_on_at_the_next_item_and_on_other_ranks():
    data = stream()
    items = iter(data)
    first = [tuple(next(items)["id"].tolist()) for _ in range(123)]
    assert first == drawn(0, 123)
    rest = {}
    for rank in range(3):
        other = stream(rank=rank, world=3)
        other.load_state_dict(data.state_dict())
        rest[rank] = [tuple(item["id"].tolist()) for item in other]
    merged = [rest[i % 3][i // 3] for i in range(357)]
    assert merged == drawn(123)


def test_a_worker_goes_on_with_its_own_batches():
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is optional")
    loader = stateful.StatefulDataLoader(stream(batch_size=8), batch_size=8, num_workers=2)
    batches = iter(loader)
    head = [next(batches) for _ in range(7)]
    other = stateful.StatefulDataLoader(stream(batch_size=8), batch_size=8, num_workers=2)
    other.load_state_dict(loader.state_dict())
    assert ids(head) + ids(other) == ids(DataLoader(stream(batch_size=8), batch_size=8))


def test_the_state_of_another_run_is_refused():
    state = GlotmixIterableDataset(SOURCES, Sampler(COOLDOWN, 480, SIZES, seed=8)).state_dict()
    with pytest.raises(BadInput, match="another seed"):
        stream().load_state_dict(state)
    with pytest.raises(BadInput, match="position 481"):
        stream().resume(481)


def test_the_sampler_indexes_a_concatenation_in_the_same_order():
    data = ConcatDataset([SOURCES[name] for name in SAMPLER.languages])
    sampler = GlotmixSampler(SAMPLER)
    seen = [tuple(row) for batch in ids(DataLoader(data, batch_size=10, sampler=sampler)) for row in batch]
    assert seen == drawn()
    sampler.resume(250)
    assert len(sampler) == 230
    items = iter(sampler)
    assert [tuple(data[next(items)]["id"].tolist()) for _ in range(30)] == drawn(250, 280)
    ranks = [GlotmixSampler(SAMPLER, rank, 2) for rank in range(2)]
    for rank in ranks:
        rank.load_state_dict(sampler.state_dict())
    pairs = [tuple(data[i]["id"].tolist()) for both in zip(*ranks, strict=True) for i in both]
    assert pairs == drawn(280)


def test_realised_shares_follow_the_schedule():
    languages = np.array([language for language, _ in drawn()])
    # Within one sequence of the quota; uniform sampling would be off by up to 76.
    assert np.abs(np.bincount(languages[:240], minlength=3) - 240 * np.array([0.2, 0.5, 0.3])).max() <= 1
    assert np.bincount(languages[240:], minlength=3).tolist() == [144, 96, 0]


def test_missing_items_and_bad_ranks_are_named():
    with pytest.raises(BadInput, match="no has 149 items"):
        GlotmixIterableDataset({**SOURCES, "no": SOURCES["no"][:149]}, SAMPLER)
    with pytest.raises(BadInput, match="rank 2 of 2"):
        stream(rank=2, world=2)


def test_token_sequences_cover_every_token_once():
    rows = TokenSequences(np.arange(103, dtype=np.uint16), 10)
    assert torch.cat([row["input_ids"] for row in rows]).tolist() == list(range(100))
    with pytest.raises(IndexError):
        rows[10]


class Uniform(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(11))

    def forward(self, input_ids):
        return {"logits": self.bias + torch.nn.functional.one_hot(input_ids, 11).float()}


def test_weights_of_one_give_the_plain_mean_and_weights_move_the_gradient_as_the_mixture_would():
    torch.manual_seed(0)
    model = Uniform()
    ids_by_language = torch.randint(0, 11, (2, 40, 9))

    def gradient(rows, weights, languages):
        model.zero_grad()
        wrapped = LossWeighting(model, weights, ["a", "b"])
        wrapped(labels=rows, language=languages, input_ids=rows)["loss"].backward()
        return model.bias.grad.clone()

    rows, languages = ids_by_language.flatten(0, 1), torch.arange(2).repeat_interleave(40)
    logits = model(rows)["logits"]
    plain = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), rows[:, 1:].flatten())
    assert weighted_loss(logits, rows, torch.ones(80)).item() == pytest.approx(plain.item(), rel=1e-6)
    # Sampling one half each with weights 0.4 and 1.6 stands for a mixture of 0.2 and 0.8.
    weights = Weighting.between(Mixture({"a": 0.5, "b": 0.5}), Mixture({"a": 0.2, "b": 0.8}))
    weighted = gradient(rows, weights, languages)
    ones = {"a": 1.0, "b": 1.0}
    separate = [gradient(ids_by_language[i], ones, torch.full((40,), i)) for i in range(2)]
    torch.testing.assert_close(weighted, 0.2 * separate[0] + 0.8 * separate[1])
    with pytest.raises(BadInput, match="no loss weight for b"):
        LossWeighting(model, {"a": 1.0}, ["a", "b"])


def test_ignored_labels_count_for_nothing():
    logits, labels = torch.zeros(1, 4, 5), torch.tensor([[1, 2, -100, -100]])
    assert weighted_loss(logits, labels, torch.tensor([2.0])).item() == pytest.approx(2 * np.log(5))
