"""A study keeps the precision that it began in, says so, and refuses another by name."""

import pytest

from glotmix.artifact import read_json, write_json
from glotmix.errors import BadInput, Corrupt
from glotmix.proxy.model import Shape
from glotmix.study.precision import RECORD, described, settled

SHAPE = Shape(width=64, layers=3, heads=4, feed_forward=176, vocab=2048)
STEPS = [(SHAPE, 16)]


def settle(directory, wanted="auto"):
    said = []
    return settled(directory, wanted, STEPS, "cpu", said.append).precision, said


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_it_is_decided_once_and_read_by_every_later_call(tmp_path, name):
    assert described(tmp_path) == "not recorded"
    assert settle(tmp_path, name) == (name, [f"Matrix products in {name}: set by proxy.precision"])
    assert described(tmp_path) == f"{name} (set by proxy.precision)"
    assert settle(tmp_path, name) == (name, [])


def test_a_study_that_began_on_another_kind_of_machine_goes_on_as_it_began(tmp_path):
    write_json(tmp_path / RECORD, {"precision": "bfloat16", "reason": "there"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOTMIX_BF16", "0")
        name, said = settle(tmp_path)
    assert name == "bfloat16"
    assert said == [
        "Matrix products in bfloat16, in which this study began; float32 here (GLOTMIX_BF16=0 hides bf16 products)"
    ]
    assert read_json(tmp_path / RECORD)["reason"] == "there"


def test_another_precision_is_refused_by_name(tmp_path):
    settle(tmp_path, "float32")
    with pytest.raises(BadInput, match=r"its runs are in float32 .*proxy.precision asks for bfloat16"):
        settle(tmp_path, "bfloat16")
    write_json(tmp_path / RECORD, {"precision": "auto"})
    with pytest.raises(Corrupt, match="precision = 'auto'"):
        settle(tmp_path)
