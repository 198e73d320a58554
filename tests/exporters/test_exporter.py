"""Requests are checked by field, and what an exporter may write is bounded."""

import pytest

from glotmix.errors import BadInput
from glotmix.exporters.exporter import Exporter, Simulation, export
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage
from tests.contracts.exporter import CONSTANT, request_for


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": 0}, "tokens is 0"),
        ({"tokens": float("nan")}, "tokens is nan"),
        ({"sequence_length": 0}, "sequence_length is 0"),
        ({"batch": -1}, "batch is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"unique": {}}, "unique of no is None"),
        ({"tokens_per_document": {"no": 0.0}}, "tokens_per_document of no is 0"),
    ],
)
def test_bad_requests_name_the_field(changes, message):
    with pytest.raises(BadInput, match=message):
        request_for(CONSTANT, **changes)


def test_a_stage_shorter_than_a_step_is_refused():
    two = Schedule((Stage(0, Mixture({"a": 1.0})), Stage(0.999999, Mixture({"a": 1.0}))))
    with pytest.raises(BadInput, match=r"starts at 0\.999999 covers no step"):
        request_for(two)


def test_a_language_without_a_path_is_named():
    with pytest.raises(BadInput, match="no path for on"):
        export(Fixed({"a": "b"}), request_for(CONSTANT, paths={"no": "x"}), None)


class Fixed(Exporter):
    """Writes what it is told."""

    name = title = target_version = notes = "fixed"
    unit = "tokens"
    schedule_support = "phases"
    packing = "cut"

    def __init__(self, files):
        self.written = files

    def files(self, request):
        self.paths(request)
        return self.written

    def simulate(self, request):
        return Simulation(tuple(phase.mixture.to_json() for phase in request.phases))

    def read(self, directory):
        raise NotImplementedError

    def launches(self, directory):
        raise NotImplementedError


@pytest.mark.parametrize("name", ["../up", "/etc/x", "a/../../b", "", "realised.json", "a\\b"])
def test_no_file_leaves_the_folder(name, tmp_path):
    with pytest.raises(BadInput, match="wants to write"):
        export(Fixed({name: "x"}), request_for(CONSTANT), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_list_of_files_that_was_tampered_with_deletes_nothing_outside(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("x")
    export(Fixed({"a": "x"}), request_for(CONSTANT), tmp_path / "out")
    (tmp_path / "out" / "realised.json").write_text('{"files": ["../victim"]}')
    with pytest.raises(BadInput, match="victim"):
        export(Fixed({"a": "x"}), request_for(CONSTANT), tmp_path / "out")
    assert victim.exists()
