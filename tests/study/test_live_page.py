"""The page that is there while a study runs: it grows as runs end, reloads itself, and leads to the report at the end."""

import json
import threading

import pytest

from glotmix.artifact import write_json
from glotmix.errors import BadInput
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.studies import live_page
from glotmix.studies.live_page import LivePage, follow, live
from glotmix.sweep.lock import held

LANGUAGES = ("spa_Latn", "<b>other</b>")


def end(folder, number, status="complete"):
    """A run that has ended, as a worker leaves it."""
    tokens = {LANGUAGES[0]: 100 * number, LANGUAGES[1]: 1000 - 100 * number}
    losses = [{"step": 9, "tokens": 1000, "language": name, "metric": metric, "value": 1 + number / 10 + k}
              for k, name in enumerate(LANGUAGES) for metric in ("nats", "bpb")]  # fmt: skip
    result = {"run": f"r{number}", "status": status, "N": 10, "D": 1000, "C": 1e9, "tokens": tokens, "losses": losses}
    write_json(folder / "runs" / f"r{number}" / "run.json", result)


@pytest.fixture
def study(tmp_path):
    names = dict.fromkeys(LANGUAGES, 0.5)
    plan = [PlannedRun(f"r{i}", "swarm", Schedule.constant(Mixture(names)), 1000, i) for i in range(6)]
    write_json(tmp_path / "study.json", {"name": "A <i>study</i>", "description": "Which?"})
    write_json(tmp_path / "plan.json", [run.to_json() for run in plan])
    return tmp_path


def test_it_grows_as_runs_end_and_reloads_itself(study):
    page = LivePage(study)
    page.write()
    text = page.path.read_text()
    assert "0 of 6" in text
    assert "No run is complete yet" in text
    assert 'http-equiv="refresh" content="10"' in text
    for number in range(5):
        end(study, number)
    end(study, 5, status="diverged")
    page.write()
    text = page.path.read_text()
    assert "5 of 6" in text
    assert "5 runs so far" in text
    assert "diverged" in text
    points = json.loads(text.partition('"name":"share-0-0"')[2].partition('"rows":')[2].partition("]]")[0] + "]]")
    assert sorted(points) == [[f"r{n}", n / 10, 1 + n / 10] for n in range(5)]


def test_names_stay_text(study):
    end(study, 1)
    end(study, 2)
    LivePage(study).write()
    text = (study / "live.html").read_text()
    assert "<b>other" not in text
    assert "<i>study" not in text


def test_it_leads_to_the_report_when_the_study_is_finished(study):
    end(study, 0)
    (study / "report.html").write_text("x")
    with held(study):  # an older report: the study is worked on again
        LivePage(study).write()
        assert "url=report.html" not in (study / "live.html").read_text()
    assert follow(study) == study / "live.html"
    assert 'content="0; url=report.html"' in (study / "live.html").read_text()


def test_it_stays_as_it_is_where_the_study_was_stopped(study):
    end(study, 0)
    follow(study)
    assert "refresh" not in (study / "live.html").read_text().partition("<title>")[0]


def test_it_is_kept_beside_a_study_and_no_fault_of_it_stops_the_study(study, monkeypatch):
    monkeypatch.setattr(live_page, "EVERY", 0.01)
    written = threading.Event()
    write = LivePage.write
    monkeypatch.setattr(LivePage, "write", lambda page, **how: (written.set(), write(page, **how))[1])
    end(study, 0)
    with live(study):
        assert written.wait(60)
    with live(study / "nothing"):
        pass
    (study / "runs/r1").mkdir()
    (study / "runs/r1/run.json").write_text("{")
    written.clear()
    with live(study):
        assert written.wait(60)
    with pytest.raises(BadInput, match=r"no study\.json"):
        follow(study / "nothing")
