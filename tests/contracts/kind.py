"""What every kind of study owes its users, whatever it trains: a subclass per kind names a study that was run."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glotmix.artifact import MANIFEST, checksum
from glotmix.cli import app
from glotmix.config import Section
from glotmix.errors import BadInput
from glotmix.studies import KINDS
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import Price, StudyKind, run_study
from glotmix.sweep.lock import held


@dataclass(frozen=True)
class Ran:
    """A study that was run to its end."""

    kind: str
    config: Section
    base: Path
    directory: Path

    @property
    def file(self):
        """The study as a file: JSON is YAML."""
        path = self.directory.parent / "as_resolved.json"
        path.write_text(self.config.model_dump_json())
        return path


def told(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def artifacts(directory):
    """Every complete artifact, by name and content of its manifest."""
    found = (path for path in directory.rglob(MANIFEST) if "jobs" not in path.parts)
    return {path.relative_to(directory).as_posix(): checksum(path) for path in found}


class KindContract:
    @pytest.fixture
    def ran(self) -> Ran:
        """Give a study that was run once for the module."""
        raise NotImplementedError

    def test_it_is_registered_by_its_name(self, ran):
        kind = KINDS.find(ran.kind)()
        assert isinstance(kind, StudyKind)
        assert kind.kind == ran.kind
        assert set(kind.fixed) <= set(kind.config.model_fields)
        assert isinstance(ran.config, kind.config)

    def test_its_price_is_a_table_and_numbers(self, ran):
        price = KINDS.find(ran.kind)().price(ran.config, ran.base)
        assert isinstance(price, Price)
        assert price.lines
        assert all(value is None or value >= 0 for value in price.amounts.values())
        assert json.dumps(price.to_json(), allow_nan=False)

    def test_status_counts_everything_as_done_and_never_more_than_was_planned(self, ran):
        state = told("status", ran.directory)
        assert state["planned"] > 0
        assert state["complete"] == state["planned"]
        assert state["report"] == str(ran.directory / "report.html")
        assert not state["failed"]
        assert not state["is_worked_on"]
        if state["flops_planned"] is not None:
            assert 0 < state["flops"] <= state["flops_planned"]

    def test_a_dry_run_tells_what_is_done_already(self, ran):
        cost = told("run", ran.file, "--out", ran.directory, "--dry-run")
        assert cost["complete"] == told("status", ran.directory)["complete"]
        assert "done already" in cost["lines"]

    def test_a_second_driver_is_refused_by_name(self, ran):
        with held(ran.directory), pytest.raises(BadInput, match=r"is being worked on by process \d+ on "):
            run_study(KINDS.find(ran.kind)(), ran.config, StudyDirectory(ran.directory, ran.base))

    def test_a_directory_of_another_kind_is_refused(self, ran, tmp_path):
        other = next(name for name in KINDS if name != ran.kind)
        (tmp_path / "study.json").write_text(json.dumps({"kind": other}))
        with pytest.raises(BadInput, match=f"holds a study of kind {other}"):
            run_study(KINDS.find(ran.kind)(), ran.config, StudyDirectory(tmp_path, ran.base))

    def test_another_machine_finds_it_in_the_mirror_and_makes_nothing_again(self, ran, tmp_path):
        pytest.importorskip("fsspec")
        kind, url = KINDS.find(ran.kind)(), f"file://{tmp_path}/store"
        StudyDirectory(ran.directory).mirrored(url).mirror.push()
        there = tmp_path / "there"
        sweep = (
            {"mirror": url}
            if not hasattr(ran.config, "sweep")
            else {"sweep": ran.config.sweep.model_copy(update={"mirror": url})}
        )
        finished = run_study(kind, ran.config.model_copy(update=sweep), StudyDirectory(there, ran.base))
        assert finished.report == there / "report.html"
        assert finished.report.is_file()
        assert artifacts(there) == artifacts(ran.directory)
