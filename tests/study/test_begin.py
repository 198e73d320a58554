"""`glotmix init`: a folder of text becomes a study file that pre-flight passes and `glotmix run` takes at the first try."""

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

import glotmix as gm
from glotmix.cli import app
from glotmix.config import read_yaml
from glotmix.errors import BadInput
from glotmix.studies.begin import begin_study
from glotmix.studies.mixture import proposal
from glotmix.studies.mixture.proposal import SIZES, _size
from glotmix.studies.start import open_study
from glotmix.study.machine import HOURS, SPEED

FIVE = {"spa_Latn": 60_000, "fra_Latn": 30_000, "deu_Latn": 15_000, "rus_Cyrl": 25_000, "por_Latn": 8_000}


def rows(path, texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": one}, ensure_ascii=False) + "\n" for one in texts), encoding="utf-8")


@pytest.fixture(autouse=True)
def no_stopwatch(monkeypatch):
    """Nothing here depends on how fast a step is."""
    monkeypatch.setattr("glotmix.proxy.pack._speed", lambda *_: 1e5)


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    """Five small languages, unevenly much text of each."""
    folder = tmp_path_factory.mktemp("five")
    for language, size in FIVE.items():
        documents = gm.documents(language, reader="embedded", bytes_per_language=size)
        rows(folder / "text" / language / "a.jsonl", [one.text for one in documents])
    return folder


def init(folder, *more):
    return CliRunner().invoke(app, ["init", str(folder / "text"), "--out", str(folder / "study.yaml"), *more])


def test_the_proposal_runs_to_its_page_at_the_first_try(five, tmp_path):
    found = init(five, "--force", "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["problems"] == []
    assert [one["language"] for one in told["languages"]] == sorted(FIVE, key=lambda one: -FIVE[one])
    smaller = ["design.coalitions=none", "design.swarm=4", "design.anchors=0", "proxy.tokens=6000", "proxy.batch=4",
               "fit.laws=[null, own_ratio]", "fit.bootstrap=0", "fit.folds=2", "validation.seeds=0"]  # fmt: skip
    changes = [word for one in smaller for word in ("--set", one)]
    run = CliRunner().invoke(app, ["run", str(five / "study.yaml"), "--out", str(tmp_path / "out"), *changes])
    assert run.exit_code == 0, run.output
    assert (tmp_path / "out/report.html").is_file()


def test_every_choice_has_a_comment_and_the_same_folder_gives_the_same_file(five):
    assert init(five, "--force").exit_code == 0
    first = (five / "study.yaml").read_text()
    assert init(five, "--force").exit_code == 0
    assert (five / "study.yaml").read_text() == first
    for word in ("Spanish", "natural share", "one pass" if "\ntarget:" in first else "No target run", "--dry-run"):
        assert word in first
    choices = [line for line in first.splitlines() if line.startswith("  ") and ":" in line and "- " not in line]
    bare = [line.split(":")[0].strip() for line in choices if "#" not in line]
    assert set(bare) <= {"reader", "path", "swarm_roles", "parameters"}


def test_a_file_that_is_there_is_written_over_by_force_alone(five, tmp_path):
    (tmp_path / "study.yaml").write_text("mine")
    with pytest.raises(BadInput, match="is there already"):
        begin_study(five / "text", tmp_path / "study.yaml")
    assert (tmp_path / "study.yaml").read_text() == "mine"
    begin_study(five / "text", tmp_path / "study.yaml", force=True)
    assert read_yaml(tmp_path / "study.yaml")["languages"]


def test_one_language_is_no_mixture(tmp_path):
    rows(tmp_path / "text/es/a.jsonl", ["el perro duerme en la casa de mi tía"] * 5)
    rows(tmp_path / "text/xx9/a.jsonl", ["?"])
    found = init(tmp_path)
    assert isinstance(found.exception, BadInput)
    assert "one language, Spanish (spa_Latn)" in str(found.exception)
    assert "xx9: its name is no language's" in str(found.exception)
    assert not (tmp_path / "study.yaml").exists()


@pytest.mark.parametrize("seed", range(12))
def test_preflight_passes_by_construction(tmp_path, seed):
    """Corpora of all small sizes, with languages of a few words, of one document, and of documents of any length."""
    rng = random.Random(seed)
    names = rng.sample(["es", "sw", "ru", "tr", "et", "hi", "gl"], rng.randint(2, 7))
    for name in names:
        words = [f"{name}{rng.randrange(10**6)}" for _ in range(300)]
        length, documents = rng.choice([2, 20, 300]), rng.choice([1, 3, 30, 300])
        rows(tmp_path / "text" / name / "a.jsonl", [" ".join(rng.choices(words, k=length)) for _ in range(documents)])
    try:
        found = begin_study(tmp_path / "text", tmp_path / "study.yaml", hours=rng.choice([0.01, 1, 100]))
    except BadInput as error:
        if "expected two languages or more" not in str(error):
            raise
        return
    assert found.problems == ()
    assert len(found.proposal.kept) + len(found.proposal.left_out) == len(names)
    assert open_study(tmp_path / "study.yaml").problems() == []


def test_names_from_the_data_stay_text_in_the_file(tmp_path):
    evil = 'a"]}\nname: other #'
    lines = [{"text": f"uno dos tres {k}", "lang": "es"} for k in range(400)]
    lines += [{"text": f"moja mbili tatu {k}", "lang": "sw"} for k in range(400)]
    lines += [{"text": "x", "lang": evil}]
    (tmp_path / "text").mkdir()
    (tmp_path / "text/a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    found = begin_study(tmp_path / "text", tmp_path / "study.yaml", name=evil)
    study = read_yaml(tmp_path / "study.yaml")
    assert study["name"] == evil
    assert study["corpus"]["labels"] == {evil: "und"}
    assert found.problems == ()


def test_paths_lead_from_the_study_file_to_the_text(five, tmp_path, monkeypatch):
    monkeypatch.chdir(five)
    (five / "studies").mkdir(exist_ok=True)
    begin_study("text", Path("studies/a.yaml"), force=True)
    assert read_yaml(five / "studies/a.yaml")["corpus"]["path"] == "../text"
    assert open_study(Path("studies/a.yaml")).problems() == []


def test_more_hours_more_cores_and_more_text_give_larger_proxies(five):
    begun = begin_study(five / "text", five / "again.yaml", force=True)
    work = proposal._work(begun.proposal.study, five)

    def size(hours, text, cores=2):
        return SIZES.index(_size(text, SPEED["cpu"] * cores * hours * 3600, work, len(FIVE)))

    assert size(HOURS, 1e5) == 0  # no text for more
    rising = [size(hours, 1e12) for hours in (0.01, 1, 4, 40, 4000)]
    assert rising == sorted(rising)
    assert rising[0] < rising[2] < rising[-1]
    assert size(HOURS, 1e12, cores=64) > size(HOURS, 1e12)
