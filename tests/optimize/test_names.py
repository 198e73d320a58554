"""A language is named alike in every option: by its tag or any other spelling; what is none has a near one told."""

import pytest

from glotmix.errors import BadInput
from glotmix.language import named_among
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import constraints_from
from glotmix.optimize.objective import objective_from

LANGUAGES = ("spa_Latn", "rus_Cyrl", "est_Latn")


@pytest.mark.parametrize("spelling", ["es", "spa", "spa_Latn", "Spanish", "es_MX"])
def test_limits_weights_and_groups_take_any_spelling(spelling):
    config = OptimizeConfig(
        floors={spelling: 0.2}, ceilings={spelling: 0.5}, weights={spelling: 2.0},
        groups={"west": {"languages": [spelling, "et"], "floor": 0.4}},
    )  # fmt: skip
    found = constraints_from(config, LANGUAGES, unique={spelling: 1e6, "ru": 1e6, "et": 1e6}, D=1e6)
    assert found.floors == {"spa_Latn": 0.2}
    assert found.ceilings == {"spa_Latn": 0.5}
    assert set(found.unique) == set(LANGUAGES)
    assert found.groups["west"].languages == ("spa_Latn", "est_Latn")
    assert objective_from(config, LANGUAGES, LANGUAGES)


def test_groups_of_a_table_keep_their_names():
    assert named_among("code", ["es", "code"]) == "code"
    assert named_among("spa_Latn", ["es", "code"]) == "es"
    assert named_among("nothing", ["es", "code"]) == "nothing"


def test_an_unknown_name_is_told_with_a_near_one_and_two_spellings_of_one_are_named():
    with pytest.raises(BadInput, match=r"rus_Cyrr is not in the mixture; did you mean rus_Cyrl\?"):
        constraints_from(OptimizeConfig(floors={"rus_Cyrr": 0.1}, max_epochs=None), LANGUAGES)
    with pytest.raises(BadInput, match=r"weight of spa_Lat, .*; did you mean spa_Latn\?"):
        objective_from(OptimizeConfig(weights={"spa_Lat": 1.0}), LANGUAGES, LANGUAGES)
    with pytest.raises(BadInput, match="a language twice, in two spellings"):
        constraints_from(OptimizeConfig(floors={"es": 0.1, "spa_Latn": 0.2}, max_epochs=None), LANGUAGES)
