"""What a file asks of an exporter and cannot be is told with the file."""

import pytest

from glotmix.artifact import write_json
from glotmix.errors import BadInput
from glotmix.exporters.from_file import export_file

STAGES = [{"start": 0, "mixture": {"es": 0.5, "fr": 0.5}}, {"start": 1e-6, "mixture": {"es": 0.2, "fr": 0.8}}]


def exported(path, **options):
    usual = {"tokens": 1e5, "sequence_length": 64, "batch": 8, "paths": (), "seed": 0}
    return export_file(path, "megatron_lm", path.parent / "out", unique={}, tokens_per_document={}, **usual | options)


def test_a_stage_shorter_than_a_step_is_told_with_the_file_that_it_stands_in(tmp_path):
    path = tmp_path / "schedule.json"
    write_json(path, STAGES)
    with pytest.raises(BadInput, match="stage that starts at 0 covers no step") as refused:
        exported(path)
    assert refused.value.where == path


@pytest.mark.parametrize(("option", "place"), [({"seed": -1}, "export"), ({"paths": ("a", "b")}, "--path")])
def test_a_wrong_option_is_not_laid_at_the_file(tmp_path, option, place):
    path = tmp_path / "mixture.json"
    write_json(path, {"es": 0.5, "fr": 0.5})
    with pytest.raises(BadInput) as refused:
        exported(path, **option)
    assert refused.value.where == place
