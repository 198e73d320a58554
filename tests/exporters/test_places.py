"""What a file asks of an exporter and cannot be is told with the file."""

import pytest

from glotmix.artifact import write_json
from glotmix.errors import BadInput
from glotmix.exporters.from_file import export_file

STAGES = [{"start": 0, "mixture": {"es": 0.5, "fr": 0.5}}, {"start": 1e-6, "mixture": {"es": 0.2, "fr": 0.8}}]


def test_a_stage_shorter_than_a_step_is_told_with_the_file_that_it_stands_in(tmp_path):
    path = tmp_path / "schedule.json"
    write_json(path, STAGES)
    with pytest.raises(BadInput, match="stage that starts at 0 covers no step") as refused:
        export_file(
            path,
            "megatron_lm",
            tmp_path / "out",
            tokens=1e5,
            sequence_length=64,
            batch=8,
            paths=(),
            seed=0,
            unique={},
            tokens_per_document={},
        )
    assert refused.value.where == path
