"""Sources: a study whose shares are of parts of the data, and not of languages alone."""

import csv
import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from glotmix import cli
from glotmix.corpus.readers.reader import open_reader
from glotmix.corpus.sketch import quick_census
from glotmix.errors import BadInput, Problems
from glotmix.exporters import all_exporters
from glotmix.exporters.exporter import read_export
from glotmix.studies.mixture.config import StudyConfig, check
from glotmix.studies.mixture.kind import MixtureKind
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import run_study
from glotmix.tokens.opening import open_store

SMALL = {
    "name": "Sources",
    "corpus": {"reader": "embedded", "bytes_per_language": 60_000, "held_out": 0.1},
    "tokens": {"vocab_size": 400, "held_out_tokens": 1500},
    "design": {"coalitions": "all", "swarm": 4, "swarm_roles": "fit", "anchors": 1, "anchor_seeds": 1},
    "proxy": {"width": 32, "layers": 1, "heads": 2, "tokens": 8000, "context": 32, "batch": 4, "learning_rate": 5e-3},
    "sweep": {"stack": 8, "workers": 1},
    "fit": {"laws": ["null", "own_ratio", "log_linear"], "folds": 3, "bootstrap": 5},
    "validation": {"seeds": 2, "baselines": ["natural", "uniform"]},
}
FOUR = {
    "eng/dialogue": {"language": "en", "subset": "dialogue day", "group": "talk"},
    "eng/sums": {"language": "eng", "subset": "sums", "group": "figures", "tokens": 5e6, "tokens_per_document": 321.0},
    "spa/dialogue": {"language": "es", "subset": "dialogue day", "group": "talk"},
    "Sums-2.spa": {"language": "spa", "subset": "sums", "group": "figures"},
}
NAMES = list(FOUR)


def small(**changes):
    return check(SMALL | changes)


class TestNames:
    def test_sources_stand_where_languages_do(self):
        config = small(sources=FOUR, outside=["fr"], optimize={"floors": {"eng/SUMS ": 0.1, "sums-2.spa": 0.2}})
        assert config.languages == NAMES
        assert config.outside == ["fra_Latn"]
        assert config.optimize.floors == {"eng/sums": 0.1, "Sums-2.spa": 0.2}
        assert [config.corpus.tag(name) for name in NAMES] == ["eng_Latn", "eng_Latn", "spa_Latn", "spa_Latn"]

    def test_they_may_stand_beside_languages_and_outside_of_the_mixture(self):
        config = small(languages=["es", "ru"], outside=["math"], sources={"code": "data/code", "math": {"path": "m"}})
        assert (config.languages, config.outside) == (["spa_Latn", "rus_Cyrl", "code"], ["math"])
        assert config.corpus.tag("code") == ""
        assert config.corpus.tag("spa_Latn") == "spa_Latn"

    def test_a_stored_study_reads_back_as_itself(self):
        config = small(sources=FOUR, outside=["fr"])
        assert StudyConfig.model_validate(config.model_dump(mode="json")) == config

    def test_a_study_of_languages_says_nothing_of_sources(self):
        config = small(languages=["es", "ru"])
        assert config.model_dump(mode="json")["corpus"]["sources"] == {}
        assert "sources" not in config.model_dump(mode="json")

    @pytest.mark.parametrize(
        "name", ["", " ", "../up", "a//b", "/a", "a/", ".hidden", "-option", "a b", "a,b", "a:b", "a~b", "a\nb", "x" * 101,
                 "a/..", "a/.", "<b>", "=1", "a'b", 'a"b', "a|b", "a\\b", "a*"]
    )  # fmt: skip
    def test_names_that_are_not_safe_everywhere_are_refused(self, name):
        with pytest.raises(BadInput, match="sources"):
            small(sources={name: {"language": "en"}, "other": {"language": "sw"}})

    @pytest.mark.parametrize("twin", ["ENG/sums", " eng/sums ", "Eng/Sums"])
    def test_names_are_unique_after_trimming_and_case_folding(self, twin):
        with pytest.raises(BadInput, match="are one name"):
            small(sources={"eng/sums": {"language": "en"}, twin: {"language": "en"}})

    def test_a_source_may_not_be_called_as_a_language_of_the_list_is(self):
        with pytest.raises(BadInput, match="are one name"):
            small(languages=["es"], sources={"SPA_latn": {"language": "es"}})

    def test_letters_of_any_script_are_letters(self):
        assert small(sources={"код": "a", "数学/网页": "b"}).languages == ["код", "数学/网页"]

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ({"language": "klingonian"}, "klingonian"),
            ({"path": "a", "hub": "b"}, "path and hub at once"),
            ({"tokens": -1}, "tokens"),
            ({"paht": "a"}, "paht"),
            ({"path": "a", "prompt_field": "question"}, "only targets and pairs have prompts"),
        ],
    )
    def test_a_field_that_is_wrong_is_told_with_its_source(self, source, said):
        with pytest.raises(BadInput, match=said):
            small(sources={"code": source, "other": {"language": "en"}})


def write_rows(path: Path, texts, **fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for k, text in enumerate(texts):
            file.write(
                json.dumps({fields.get("field", "text"): text, "lang": fields.get("lang", "en")}) + f"{'':{k % 2}}\n"
            )


class TestReading:
    def test_each_source_is_read_in_its_own_place_and_format(self, tmp_path):
        write_rows(tmp_path / "web" / "eng" / "high" / "a.jsonl", ["one", "two"])
        write_rows(tmp_path / "code" / "x.jsonl", ["def f", "def g"], field="content")
        write_rows(tmp_path / "shards" / "p0.jsonl", ["p zero"])
        write_rows(tmp_path / "shards" / "p1.jsonl", ["p one"])
        write_rows(tmp_path / "shards" / "q.jsonl", ["not this"])
        (tmp_path / "eng").mkdir()
        (tmp_path / "eng" / "low.txt").write_text("low text\n")
        (tmp_path / "math.csv").write_text("text\nsum\n")
        config = small(
            corpus={"reader": "files", "path": "."},
            sources={
                "eng/high": {"language": "en", "path": "web/eng/high"},
                "eng/low": {"language": "en"},
                "code": {"path": "code", "text_field": "content"},
                "parts": {"path": "shards/p*.jsonl"},
                "math": {"path": "math.csv"},
            },
        )
        reader = open_reader(config.corpus, config.languages, tmp_path)
        texts = {name: [one.text for one in reader.documents(name)] for name in config.languages}
        assert texts == {
            "eng/high": ["one", "two"],
            "eng/low": ["low text"],
            "code": ["def f", "def g"],
            "parts": ["p zero", "p one"],
            "math": ["sum"],
        }
        assert {d.language for d in reader.documents("eng/low")} == {"eng_Latn"}
        assert {d.language for d in reader.documents("code")} == {""}

    def test_rows_of_another_language_than_the_sources_are_left_out(self, tmp_path):
        write_rows(tmp_path / "a.jsonl", ["hello"], lang="en")
        write_rows(tmp_path / "b.jsonl", ["habari"], lang="sw")
        corpus = {"reader": "files", "language_field": "lang"}
        sources = {
            "sw/all": {"language": "sw", "path": "*.jsonl"},
            "en/all": {"language": "en", "path": "*.jsonl"},
            "any": {"path": "*.jsonl"},
        }
        config = small(corpus=corpus, sources=sources)
        reader = open_reader(config.corpus, config.languages, tmp_path)
        texts = {name: [one.text for one in reader.documents(name)] for name in config.languages}
        assert texts == {"sw/all": ["habari"], "en/all": ["hello"], "any": ["hello", "habari"]}

    def test_all_places_that_are_not_there_are_told_at_once(self, tmp_path):
        config = small(corpus={"reader": "files"}, sources={"a": "nowhere", "b": "neither", "c": {}})
        with pytest.raises(Problems) as told:
            open_reader(config.corpus, config.languages, tmp_path)
        assert len(told.value.problems) == 3
        assert "sources.c" in str(told.value)

    def test_what_is_read_elsewhere_changes_the_fingerprint(self, tmp_path):
        write_rows(tmp_path / "a.jsonl", ["one"])
        write_rows(tmp_path / "b.jsonl", ["two"])
        config = small(corpus={"reader": "files"}, sources={"a": "a.jsonl", "b": "b.jsonl"})
        first = open_reader(config.corpus, config.languages, tmp_path).inputs()
        assert open_reader(config.corpus, config.languages, tmp_path).inputs() == first
        write_rows(tmp_path / "b.jsonl", ["tw0"])
        assert open_reader(config.corpus, config.languages, tmp_path).inputs() != first

    def test_a_quick_census_counts_sources(self, tmp_path):
        write_rows(tmp_path / "a.jsonl", ["one", "two", "three"])
        write_rows(tmp_path / "b.jsonl", ["two"])
        config = small(corpus={"reader": "files"}, sources={"x/a": "a.jsonl", "x/b": "b.jsonl"})
        reader = open_reader(config.corpus, config.languages, tmp_path)
        found = quick_census(reader, config.languages, lambda *_: None)
        assert {name: one.documents for name, one in found.sketches.items()} == {"x/a": 3, "x/b": 1}
        assert found.overlap().shared == {"x/a": {"x/b": 1}, "x/b": {"x/a": 1}}


def glotmix(*arguments):
    """Output of a command that must succeed."""
    found = CliRunner().invoke(cli.app, list(map(str, arguments)), catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A whole study of four sources: two domains in two languages."""
    folder = tmp_path_factory.mktemp("sources")
    exporters = [name for name in all_exporters() if name != "axolotl"]
    study = SMALL | {"sources": FOUR, "target": {"tokens": 40_000}, "export": exporters}
    with (folder / "study.yaml").open("w") as file:
        YAML().dump(study, file)
    glotmix("run", folder / "study.yaml", "--out", folder / "out")
    return folder / "out"


def test_every_table_is_keyed_by_the_sources(done):
    assert set(json.loads((done / "optimum.json").read_text())["mixture"]) == set(NAMES)
    values = json.loads((done / "transfer.json").read_text())["values"]
    assert set(values) == set(NAMES)
    assert all(set(row) == set(NAMES) for row in values.values())
    census = json.loads((done / "census.json").read_text())
    assert [row["language"] for row in census["languages"]] == NAMES
    assert census["reference"] == "eng/dialogue"
    premium = {row["language"]: row["byte_premium"] for row in census["languages"]}
    assert premium["eng/sums"] is None  # another source of the reference's own language
    assert premium["spa/dialogue"] is not None


def test_files_of_sources_lie_in_the_store_and_nowhere_else(done):
    store = open_store(done / "tokens")
    assert store.languages == tuple(NAMES)
    assert [store.tag(name) for name in NAMES] == ["eng_Latn", "eng_Latn", "spa_Latn", "spa_Latn"]
    assert (done / "tokens" / "eng~sums.train.bin").is_file()
    assert all(store.unique_tokens(name) > 0 and len(store.held_out(name).tokens) for name in NAMES)
    assert not [path for path in (done / "tokens").iterdir() if path.is_dir()]


def test_what_a_source_tells_of_the_target_is_taken(done):
    assert json.loads((done / "optimum.json").read_text())["unique"]["eng/sums"] == 5e6
    realised = json.loads((done / "export" / "megatron_lm" / "realised.json").read_text())
    if "eng/sums" in realised["made_from"]["tokens_per_document"]:
        assert realised["made_from"]["tokens_per_document"]["eng/sums"] == 321.0


def test_every_trainer_is_given_the_sources_by_name(done):
    optimum = json.loads((done / "optimum.json").read_text())["mixture"]
    written = sorted(path.name for path in (done / "export").iterdir())
    assert len(written) >= 12
    for name in written:
        realised = json.loads((done / "export" / name / "realised.json").read_text())
        assert set(realised["made_from"]["paths"]) <= set(NAMES)
        back = read_export(all_exporters()[name], done / "export" / name).average()
        assert {n for n, p in back.items() if p > 0} == set(realised["made_from"]["paths"])
        for source, share in back.items():
            assert share == pytest.approx(optimum[source], abs=0.02), (name, source)


def test_the_page_calls_sources_by_their_names(done):
    page = (done / "report.html").read_text()
    for name in NAMES:
        assert name in page
    assert "no language" not in page


def test_runs_are_imported_and_reported_by_the_same_names(done, tmp_path):
    said = glotmix("fit", done, "--law", "log_linear", "--bootstrap", "0", "--out", tmp_path / "law.json")
    assert "eng/sums" in said
    glotmix("report", done, "--out", tmp_path / "again.html")
    assert "eng/sums" in (tmp_path / "again.html").read_text()


def test_a_wide_table_of_sources_survives_csv(done, tmp_path):
    from glotmix.measurements.reading import read_runs

    runs = read_runs(done)
    path = tmp_path / "runs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["run", *(f"p/{n}" for n in runs.languages), *(f"loss/{n}" for n in runs.targets)])
        for r, run in enumerate(runs.runs):
            writer.writerow([run, *runs.p_RL[r], *runs.loss_RT[r]])
    again = read_runs(path)
    assert again.languages == runs.languages
    assert again.targets == runs.targets


def test_the_same_study_by_the_shell_does_nothing_again(done):
    before = {path: path.stat().st_mtime_ns for path in (done / "runs").glob("*/run.json")}
    place = StudyDirectory(done)
    config = place.stored(StudyConfig)
    run_study(MixtureKind(), config, place)
    assert {path: path.stat().st_mtime_ns for path in (done / "runs").glob("*/run.json")} == before


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """A whole study with two groups as players, one of which keeps the shares inside it."""
    folder = tmp_path_factory.mktemp("groups")
    design = SMALL["design"] | {"players": "group", "anchors": 2, "anchor_seeds": 2}
    limits = {"current": {"eng/dialogue": 0.3, "spa/dialogue": 0.1, "eng/sums": 0.3, "Sums-2.spa": 0.3},
              "groups": {"talk": {"keep": "within", "floor": 0.2}, "figures": {"max_epochs": 3}}}  # fmt: skip
    study = SMALL | {"sources": FOUR, "design": design, "optimize": limits, "outside": ["fr"]}
    with (folder / "study.yaml").open("w") as file:
        YAML().dump(study, file)
    glotmix("run", folder / "study.yaml", "--out", folder / "out")
    return folder / "out"


class TestGroups:
    """Groups of sources as players, and limits on them."""

    def test_sources_are_grouped_by_what_is_asked(self):
        sources = FOUR | {"code": {"path": "code"}}
        groups = {by: small(sources=sources, design={"players": by, "coalitions": "none"}).groups for by in
                  ("sources", "group", "language", "family")}  # fmt: skip
        assert groups["sources"] is None
        assert groups["group"] == {
            "talk": ("eng/dialogue", "spa/dialogue"), "figures": ("eng/sums", "Sums-2.spa"), "code": ("code",)
        }  # fmt: skip
        assert groups["language"] == {
            "eng_Latn": ("eng/dialogue", "eng/sums"), "spa_Latn": ("spa/dialogue", "Sums-2.spa"), "code": ("code",)
        }  # fmt: skip
        assert groups["family"] == {"Indo-European": tuple(NAMES), "code": ("code",)}

    def test_limits_on_a_group_know_its_members(self):
        limits = {
            "groups": {"talk": {"floor": 0.3, "keep": "within"}, "es": {"languages": ["SPA/dialogue", "sums-2.spa"]}}
        }
        config = small(sources=FOUR, outside=["fr"], optimize=limits)
        assert config.optimize.groups["talk"] == {
            "languages": ["eng/dialogue", "spa/dialogue"], "floor": 0.3, "keep": "within"
        }  # fmt: skip
        assert config.optimize.groups["es"]["languages"] == ["spa/dialogue", "Sums-2.spa"]
        assert StudyConfig.model_validate(config.model_dump(mode="json")) == config

    def test_a_group_is_not_called_as_a_source_is(self):
        with pytest.raises(BadInput, match="give the group another name"):
            small(sources={"web": {"language": "en"}, "a": {"language": "es", "group": "web"}})

    @pytest.mark.parametrize(
        ("design", "match"),
        [
            ({"coalitions": "between"}, "players"),
            ({"players": "domain"}, "players"),
            ({"coalitions": "some"}, "between"),
        ],
    )
    def test_what_cannot_be_played_is_refused(self, design, match):
        with pytest.raises(BadInput, match=match):
            from glotmix.errors import refuse

            refuse(MixtureKind().problems(small(sources=FOUR, design=SMALL["design"] | design), Path()))

    def test_more_coalitions_of_groups_than_are_trained_are_refused_with_a_way_out(self):
        many = {f"g{k % 4}/{k}": {"language": "en", "group": f"g{k % 4}"} for k in range(12)}
        found = MixtureKind().problems(small(sources=many, design={"players": "group"}), Path())
        assert any("coalitions: between" in str(one) for one in found)

    def test_only_the_coalitions_that_values_need_are_trained(self, grouped):
        plan = json.loads((grouped / "plan.json").read_text())
        assert sum(run["role"] == "coalition" for run in plan) == 11  # of 15

    def test_values_between_groups_are_the_sums_of_those_inside(self, grouped):
        inside = json.loads((grouped / "transfer.json").read_text())
        between = json.loads((grouped / "transfer_between.json").read_text())
        assert inside["method"] == "Owen"
        for target, row in between["values"].items():
            for group, members in between["notes"]["groups"].items():
                total = sum(inside["values"][target][one]["value"] for one in members)
                assert row[group]["value"] == pytest.approx(total, abs=1e-12)
                assert row[group]["low"] is not None

    def test_efficiency_holds_on_the_runs_themselves(self, grouped):
        from glotmix.measurements.reading import read_runs

        runs, inside = read_runs(grouped), json.loads((grouped / "transfer.json").read_text())
        full = [r for r, role in enumerate(runs.role_R) if role in ("coalition", "anchor") and (runs.p_RL[r] > 0).all()]
        for t, target in enumerate(runs.targets):
            won = inside["notes"]["empty_loss"][target] - runs.loss_RT[full, t].mean()
            assert sum(cell["value"] for cell in inside["values"][target].values()) == pytest.approx(won, abs=1e-9)

    def test_the_optimum_keeps_what_is_kept(self, grouped):
        mixture = json.loads((grouped / "optimum.json").read_text())["mixture"]
        assert mixture["eng/dialogue"] == pytest.approx(3 * mixture["spa/dialogue"], rel=1e-4)
        assert mixture["eng/dialogue"] + mixture["spa/dialogue"] >= 0.2 - 1e-9

    def test_the_page_folds_by_group(self, grouped):
        page = (grouped / "report.html").read_text()
        assert "Shapley values between groups" in page
        assert "<summary>Owen values inside groups</summary>" in page
        assert "kept the shares inside talk" in page
