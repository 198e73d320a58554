"""Blends that Megatron-core would refuse or hang on are given what they need, or are refused with the reason."""

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.exporters import all_exporters
from glotmix.exporters.blending import NO_SPLIT, held_out, needed_surplus, surplus
from glotmix.exporters.exporter import export
from glotmix.exporters.rules import greedy_deficit
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from tests.contracts.exporter import request_for


def zipf(count, exponent=1.0):
    return Schedule.constant(Mixture.normalised({f"l{i:03}": (i + 1) ** -exponent for i in range(count)}))


def request(count, documents=100_000, **changes):
    names = zipf(count).languages
    return request_for(
        zipf(count),
        unique=dict.fromkeys(names, 50.0 * documents),
        tokens_per_document=dict.fromkeys(names, 50.0),
        **changes,
    )


def test_a_hundred_languages_in_a_short_run_need_more_samples_built_than_the_default():
    # Megatron-core 0.16.1 with these weights: "requests 627 samples from GPTDataset number 0 in excess of its size 624"
    # (it had built 621, and its last epoch held three more).
    w_L = np.array([1 / (i + 1) for i in range(100)])
    asked = np.ceil(3200 * w_L / w_L.sum())[0]
    count = greedy_deficit(w_L, 0, int(np.ceil(3200 * w_L / w_L.sum()).sum()))[0]
    assert (count, np.ceil(asked * 1.005)) == (627, 621)
    enough = surplus(request(100, tokens=100 * 32 * 32), [3200])
    assert np.ceil(asked * (1 + enough)) >= count > np.ceil(asked * (1 + enough - 0.002))
    assert enough - 0.001 <= needed_surplus(w_L, 3200) < enough
    assert surplus(request(7), [3200]) is None
    assert surplus(request(100), [46_080]) is None


def test_the_surplus_is_written_or_the_export_refused(tmp_path):
    short = request(100, tokens=100 * 32 * 32)
    export(all_exporters()["megatron_lm"], short, tmp_path / "lm")
    assert "--mid-level-dataset-surplus 0.015" in (tmp_path / "lm" / "launch.sh").read_text()
    export(all_exporters()["megatron_bridge"], short, tmp_path / "bridge")
    assert "SURPLUS = 0.015" in (tmp_path / "bridge" / "mixture.py").read_text()
    with pytest.raises(BadInput, match="100 languages in stages of 3200 samples and more: the blend would oversample"):
        export(all_exporters()["nemo2"], short, tmp_path / "nemo")


@pytest.mark.parametrize(
    ("documents", "split"), [(100_000, "969,30,1"), (400, NO_SPLIT), (499, NO_SPLIT), (501, "969,30,1")]
)
def test_nothing_is_held_out_where_a_part_would_be_without_documents(documents, split, tmp_path):
    one = request(3, documents)
    assert held_out(one, "969,30,1")[0] == split
    realised = export(all_exporters()["megatron_lm"], one, tmp_path)
    assert f"SPLIT=${{SPLIT:-{split}}}" in (tmp_path / "launch.sh").read_text()
    assert any("never ends counting epochs" in remark for remark in realised.remarks) == (split == NO_SPLIT)


def test_nothing_is_held_out_where_a_small_evaluation_would_oversample():
    split, why = held_out(request(100, batch=2), "969,30,1")
    assert split == NO_SPLIT
    assert "100 languages in an evaluation of 32 batches of 2 would oversample" in why
    assert held_out(request(7, batch=2), "969,30,1") == ("969,30,1", None)
