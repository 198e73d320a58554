"""A run as a Hugging Face data set holds the rows of the sampler's own order, from any position on."""

import datasets
import pytest

from glotmix.errors import BadInput
from glotmix.live.huggingface import in_training_order
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.samplers.scheduled import Sampler
from glotmix.mixture.schedule import Schedule, Stage

SIZES = {"swh_Latn": 7, "deu_Latn": 40, "fra_Latn": 30}
SCHEDULE = Schedule(
    (
        Stage(0.0, Mixture({"swh_Latn": 0.1, "deu_Latn": 0.5, "fra_Latn": 0.4})),
        Stage(0.5, Mixture({"swh_Latn": 0.6, "deu_Latn": 0.4, "fra_Latn": 0.0})),
    )
)
SAMPLER = Sampler(SCHEDULE, total=200, available=SIZES, seed=3, block=20)


def source(name, size):
    return datasets.Dataset.from_dict({"text": [f"{name} {i}" for i in range(size)]})


SOURCES = {name: source(name, size) for name, size in SIZES.items()}


@pytest.mark.parametrize("start", [0, 1, 99, 137, 199])
def test_rows_are_those_of_the_order_from_any_position_on(start):
    languages, sequences = SAMPLER.draw(start, 200 - start)
    names = [SAMPLER.languages[i] for i in languages]
    found = in_training_order(SOURCES, SAMPLER, start=start)
    assert found["text"][:] == [f"{name} {i}" for name, i in zip(names, sequences, strict=True)]
    assert found["language"][:] == names


def test_a_small_language_repeats_as_the_schedule_says():
    text = in_training_order(SOURCES, SAMPLER)["text"][:]
    drawn = sum(t.startswith("swh") for t in text)
    assert drawn == pytest.approx(0.35 * 200, abs=1)
    assert {t for t in text if t.startswith("swh")} == {f"swh_Latn {i}" for i in range(7)}
    assert not any(t.startswith("fra") for t in text[100:])


def test_no_row_is_copied():
    found = in_training_order(SOURCES, SAMPLER, language=None)
    assert found.data.num_rows == sum(SIZES.values())
    assert len(found) == 200
    assert found.column_names == ["text"]


def test_what_does_not_fit_is_bad_input():
    with pytest.raises(BadInput, match="swh_Latn has 0 rows"):
        in_training_order({k: v for k, v in SOURCES.items() if k != "swh_Latn"}, SAMPLER)
    with pytest.raises(BadInput, match="position 201"):
        in_training_order(SOURCES, SAMPLER, start=201)
    with pytest.raises(BadInput, match="'text' already"):
        in_training_order(SOURCES, SAMPLER, language="text")
