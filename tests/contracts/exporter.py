"""What every exporter must do; inherit and give ``exporter``."""

import ast
import io
import json
import math
import os
import stat
import subprocess
import warnings

import pytest
from ruamel.yaml import YAML

from glotmix.errors import BadInput
from glotmix.exporters.exporter import ExportRequest, export, read_export
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage

# Tags that formats trip over: YAML 1.1 booleans and null, numbers, scripts, quotes, shells, templates.
LANGUAGES = ("no", "on", "y", "zh-Hans", "srp_Cyrl", "null", "fa'o\"{x}$(id)`id`#:é文😀", "1e5", "gone_Latn")
GONE = "gone_Latn"
"""The language with share zero; it must be in no file."""
PATHS = (
    "plain/{}", "quo'te/{}", 'double"quote/{}', "dollar$(touch${{IFS}}PWNED)/{}", "back\\slash/{}", "hash#/{}", "{{brace}}/{}",
    "-dash/{}", "colon:/{}",
)  # fmt: skip


def request_for(schedule, **changes):
    """A run of 240 steps of 32 sequences over the languages of a schedule."""
    values = {
        "tokens": 240 * 32 * 32,
        "sequence_length": 32,
        "batch": 32,
        "unique": {name: 60_000.0 + 1_000 * i for i, name in enumerate(schedule.languages)},
        "tokens_per_document": {name: 20.0 + 7 * i for i, name in enumerate(schedule.languages)},
        "seed": 3,
    }
    return ExportRequest(schedule, **{**values, **changes})


def mixture(*weights):
    return Mixture.normalised(dict(zip(LANGUAGES, weights, strict=True)))


CONSTANT = Schedule.constant(mixture(5, 3, 1, 1 / 3, 0.7, 2, 0.1, 0.05, 0))
THREE_STAGES = Schedule(
    (
        Stage(0.0, mixture(5, 3, 1, 1, 0.7, 2, 0, 0.1, 0)),
        Stage(0.25, mixture(1, 1, 1, 1, 1, 1, 1, 1, 0)),
        Stage(0.75, mixture(0, 1, 2, 3, 4, 5, 1 / 3, 0.07, 0)),
    )
)
RESTARTED = Schedule((*THREE_STAGES.stages[:2], Stage(0.75, THREE_STAGES.stages[2].mixture, restart=True)))
ONE_LANGUAGE = Schedule.constant(Mixture({"no": 1.0, GONE: 0.0}))
SCHEDULES = {"constant": CONSTANT, "three stages": THREE_STAGES, "one language": ONE_LANGUAGE}


class ExporterContract:
    """Inherited by the test class of every exporter, ours and a user's."""

    @pytest.fixture
    def exporter(self):
        raise NotImplementedError

    @pytest.fixture(params=list(SCHEDULES))
    def schedule(self, request, exporter):
        return possible(exporter, SCHEDULES[request.param])

    def test_it_says_what_it_is(self, exporter):
        assert exporter.name.isidentifier()
        for text in (exporter.title, exporter.target_version, exporter.notes):
            assert text.strip() == text != ""
        assert exporter.unit in ("sequences", "tokens", "documents", "rows")
        assert exporter.schedule_support in ("native", "phases", "materialised", "constant")
        assert exporter.packing in ("cut", "split", "truncated", "yours")
        assert "\n" not in exporter.notes

    def test_the_files_hold_the_schedule_to_a_millionth(self, exporter, schedule, tmp_path):
        request = request_for(schedule)
        export(exporter, request, tmp_path)
        back = exporter.read(tmp_path)
        assert back.languages == schedule.languages
        assert len(back.stages) == len(schedule.stages)
        for stage, wanted in zip(back.stages, schedule.stages, strict=True):
            # A document-counting trainer changes stage at a whole document; a wrong unit would be off by tenths.
            assert stage.start == pytest.approx(wanted.start, abs=1 / request.steps)
            for name in schedule.languages:
                assert stage.mixture[name] == pytest.approx(wanted.mixture[name], abs=exactness(exporter))

    def test_no_language_is_dropped_but_those_with_share_zero(self, exporter, schedule, tmp_path):
        realised = export(exporter, request_for(schedule), tmp_path)
        for name in schedule.languages:
            assert (realised.realised[name] > 0) == (realised.wanted[name] > 0)
        for name in realised.files:
            assert GONE not in (tmp_path / name).read_text()

    def test_realised_json_adds_up(self, exporter, schedule, tmp_path):
        request = request_for(schedule)
        realised = export(exporter, request, tmp_path)
        data = json.loads((tmp_path / "realised.json").read_text())
        assert data["exporter"] == exporter.name
        assert data["target_version"] == exporter.target_version
        shares = {name: row["realised"] for name, row in data["languages"].items()}
        assert math.fsum(shares.values()) == pytest.approx(1, abs=1e-9)
        wanted = schedule.average()
        assert data["total_variation"] == pytest.approx(wanted.total_variation(shares), abs=1e-9)
        for name, row in data["languages"].items():
            assert row["wanted"] == pytest.approx(wanted[name], abs=1e-9)
            if wanted[name]:
                # The run may be off by a document or a draw, never by more than a tenth in all.
                epochs = shares[name] * request.tokens / request.unique[name]
                assert row["epochs"] == pytest.approx(epochs, rel=0.1)
                assert row["relative_error"] == pytest.approx(shares[name] / wanted[name] - 1, abs=1e-9)
                assert (name in data["off_by_more_than_1_percent"]) == (abs(row["relative_error"]) > 0.01)
        assert [phase["first_step"] for phase in data["phases"]] == [phase.first_step for phase in request.phases]
        assert sum(phase["steps"] for phase in data["phases"]) == request.steps
        assert set(data["files"]) == set(realised.files)

    def test_the_realised_shares_are_near_the_wanted_ones(self, exporter, schedule, tmp_path):
        realised = export(exporter, request_for(schedule), tmp_path)
        # 7,000 random draws are off by about 0.01; document shares taken for token shares by more than 0.1.
        assert realised.total_variation < 0.03

    def test_the_learning_rate_spans_the_run_whatever_the_launch(self, exporter, schedule, tmp_path):
        export(exporter, request_for(schedule), tmp_path)
        launches = exporter.launches(tmp_path)
        # A trainer in which a document is a sequence has steps of its own; the others have those of the request.
        steps = [launches[-1].last_step] if exporter.unit == "documents" else [240]
        assert {launch.horizon for launch in launches} == set(steps)
        ends = [60, 180, 240] if len(schedule.stages) == 3 and exporter.schedule_support == "phases" else steps
        assert [launch.last_step for launch in launches] == ends

    def test_a_restart_begins_a_run_of_its_own(self, exporter, tmp_path):
        if exporter.schedule_support == "constant":
            pytest.skip("has no stages")
        realised = export(exporter, request_for(RESTARTED), tmp_path)
        assert {name.split("/")[0] for name in realised.files} == {"run-0", "run-1"}
        assert any("restarts optimiser and learning rate" in remark for remark in realised.remarks)
        assert [phase["first_step"] for phase in realised.phases] == [0, 60, 180]
        launches = exporter.launches(tmp_path / "run-1")
        assert launches[-1].horizon == launches[-1].last_step
        if exporter.unit != "documents":
            assert launches[-1].last_step == 60  # its own steps, from zero
        back = read_export(exporter, tmp_path)
        assert [stage.restart for stage in back.stages] == [False, False, True]
        for stage, wanted in zip(back.stages, RESTARTED.stages, strict=True):
            assert stage.start == pytest.approx(wanted.start, abs=1 / 240)
            assert same(exporter, stage.mixture, wanted.mixture)

    def test_a_stage_that_is_off_is_named_with_its_languages(self, exporter, tmp_path, caplog):
        schedule = possible(exporter, THREE_STAGES)
        realised = export(exporter, request_for(schedule), tmp_path)
        for i, (phase, wanted) in enumerate(zip(realised.phases, schedule.stages, strict=True)):
            errors = {n: phase["realised"][n] / share - 1 for n, share in wanted.mixture.items() if share}
            assert phase["relative_error"] == pytest.approx(errors)
            off = {name for name, error in errors.items() if abs(error) > 0.01}
            assert set(phase["off_by_more_than_1_percent"]) == off
            where = f" in stage {i} " if len(schedule.stages) > 1 else ""
            lines = [record.getMessage() for record in caplog.records if where in record.getMessage()]
            assert (len(lines) == 1) == bool(off)
            assert all(f"{name} " in line for name in off for line in lines)

    def test_every_file_parses_in_its_language(self, exporter, schedule, tmp_path):
        for name in export(exporter, request_for(schedule), tmp_path).files:
            check_syntax(tmp_path / name)

    def test_paths_arrive_as_they_are(self, exporter, tmp_path):
        paths = {name: path.format(f"l{i}") for i, (name, path) in enumerate(zip(LANGUAGES, PATHS, strict=True))}
        schedule = possible(exporter, THREE_STAGES)
        for name in export(exporter, request_for(schedule, paths=paths), tmp_path).files:
            check_syntax(tmp_path / name)
        assert same(exporter, exporter.read(tmp_path).stages[-1].mixture, schedule.stages[-1].mixture)
        assert not list(tmp_path.rglob("PWNED"))

    def test_a_path_with_spaces_arrives_or_is_refused_by_name(self, exporter, tmp_path):
        request = request_for(CONSTANT, paths={name: f"my data/l {i}" for i, name in enumerate(LANGUAGES)})
        if error := refusal(exporter, request, tmp_path):
            assert "my data/l 0" in error
            assert not list(tmp_path.iterdir())
        else:
            assert same(exporter, exporter.read(tmp_path).average(), CONSTANT.average())

    def test_names_of_sources_arrive_as_they_are(self, exporter, tmp_path):
        names = ("eng/web-high", "eng/web_high.v2", "code", "数学/网页")
        schedule = Schedule.constant(Mixture.normalised(dict(zip(names, (4, 3, 2, 1), strict=True))))
        export(exporter, request_for(schedule), tmp_path / "out")
        back = read_export(exporter, tmp_path / "out").average()
        assert dict(back) == pytest.approx(dict(schedule.average()), abs=0.02)
        paths = json.loads((tmp_path / "out" / "realised.json").read_text())["made_from"]["paths"]
        assert list(paths) == list(names)
        assert all(name in path for name, path in paths.items())

    def test_control_characters_are_refused(self, exporter, tmp_path):
        for bad in ("a\nb", "a\0b", "a\x1bb", "a\u2028b", "\ud800", ""):
            paths = {name: bad if name == "no" else f"x/{i}" for i, name in enumerate(LANGUAGES)}
            assert "path of no" in refusal(exporter, request_for(CONSTANT, paths=paths), tmp_path)

    def test_two_languages_with_one_path_are_refused(self, exporter, tmp_path):
        with pytest.raises(BadInput, match="one path"):
            export(exporter, request_for(CONSTANT, paths="data/all"), tmp_path)

    def test_a_language_too_rare_for_the_run_is_refused_or_named_never_dropped(self, exporter, tmp_path, caplog):
        # Megatron's rule gives every language a sample at the start; most others would give this one none.
        tiny = Schedule.constant(Mixture.normalised({"eng_Latn": 1.0, "fao_Latn": 1e-12}))
        if error := refusal(exporter, request_for(tiny), tmp_path / "out"):
            assert "fao_Latn" in error
            assert not (tmp_path / "out").exists()
        else:
            data = json.loads((tmp_path / "out" / "realised.json").read_text())
            assert data["off_by_more_than_1_percent"] == ["fao_Latn"]
            assert data["languages"]["fao_Latn"]["realised"] > 0
            assert "fao_Latn" in caplog.text

    def test_files_stay_in_the_folder(self, exporter, schedule, tmp_path):
        export(exporter, request_for(schedule), tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        for path in (tmp_path / "out").rglob("*"):
            assert path.resolve().is_relative_to((tmp_path / "out").resolve())
            if path.suffix == ".sh":
                assert os.stat(path).st_mode & stat.S_IXUSR

    def test_the_same_request_gives_the_same_bytes(self, exporter, schedule, tmp_path):
        export(exporter, request_for(schedule), tmp_path / "a")
        export(exporter, request_for(schedule), tmp_path / "b")
        for path in (tmp_path / "a").iterdir():
            assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()

    def test_an_earlier_export_leaves_no_stage_behind(self, exporter, tmp_path):
        export(exporter, request_for(possible(exporter, THREE_STAGES)), tmp_path)
        (tmp_path / "mine.txt").write_text("kept")
        realised = export(exporter, request_for(CONSTANT), tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {*realised.files, "realised.json", "mine.txt"}


def possible(exporter, schedule):
    """The schedule, or its last stage for a trainer that knows one mixture only (which refuses more by name)."""
    if exporter.schedule_support != "constant" or schedule.is_constant:
        return schedule
    with pytest.raises(BadInput, match="one mixture"):
        exporter.files(request_for(schedule))
    return Schedule.constant(schedule.stages[-1].mixture)


def exactness(exporter):
    """Weights are written to the last digit; counts of whole rows stand for shares to within a row, here of 2,000."""
    return 1e-6 if exporter.writes == "weights" else 5e-4


def same(exporter, mixture, other):
    return all(abs(share - other[name]) < exactness(exporter) for name, share in mixture.items())


def refusal(exporter, request, directory):
    """The message of the refusal, or "" when the export went through."""
    try:
        export(exporter, request, directory)
    except BadInput as error:
        return str(error)
    return ""


def check_syntax(path):
    """The file parses: Python compiles, JSON loads, bash accepts, and YAML 1.1 and 1.2 read the same."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        ast.parse(text)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compile(text, str(path), "exec")
    elif path.suffix == ".json":
        json.loads(text)
    elif path.suffix == ".sh":
        subprocess.run(["bash", "-n", str(path)], check=True)
    elif path.suffix in (".yaml", ".yml"):
        yaml = pytest.importorskip("yaml", reason="PyYAML reads YAML 1.1")
        old = yaml.safe_load(text)
        assert old == YAML(typ="safe", pure=True).load(io.StringIO(text))
        # At the top, null takes back a key of the configuration that a file is merged into; no tag stands there.
        top = {key: value for key, value in old.items() if value is not None} if isinstance(old, dict) else old
        assert_strings_and_numbers(top)


def assert_strings_and_numbers(value):
    """No tag became a boolean, a date or null as a key."""
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)
        for item in value.values():
            assert_strings_and_numbers(item)
    elif isinstance(value, list):
        for item in value:
            assert_strings_and_numbers(item)
    else:
        assert isinstance(value, str | int | float)
