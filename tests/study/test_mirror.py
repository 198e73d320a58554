"""What one machine finished the next one finds in the object store: whole, checked, and only when it is complete."""

import uuid

import pytest

from glotmix.artifact import checksum, creating, open_artifact, write_json
from glotmix.errors import BadInput, Corrupt, GlotmixError
from glotmix.study.mirror import Mirror

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def url():
    return f"memory://{uuid.uuid4().hex}/study"


def finish(directory, name, text="x"):
    with creating(directory / name, "run", {"name": name}) as part:
        (part / "checkpoints").mkdir()
        (part / "checkpoints" / "w.bin").write_text(text * 100)
        (part / "run.json").write_text(text)


@pytest.fixture
def here(tmp_path):
    directory = tmp_path / "here"
    finish(directory, "tokens")
    finish(directory, "runs/a")
    (directory / "runs" / "b.part").mkdir()
    (directory / "runs" / "b.part" / "half.json").write_text("half")
    write_json(directory / "packing.json", {"stack": 4})
    write_json(directory / "fits" / "law.json", {"law": 1})
    (directory / "jobs").mkdir()
    (directory / "jobs" / "a.log").write_text("said")
    return directory


def names(directory):
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def test_another_machine_gets_what_is_complete_and_no_more(here, tmp_path, url):
    assert Mirror(url, here, print).push() == ["tokens", "runs/a"]
    there = tmp_path / "there"
    assert Mirror(url, there, print).pull() == ["runs/a", "tokens"]
    assert names(there) == [name for name in names(here) if not name.startswith(("jobs", "runs/b.part"))]
    assert all(checksum(there / name) == checksum(here / name) for name in names(there))
    assert open_artifact(there / "runs" / "a", "run", {"name": "runs/a"}) is not None


def test_nothing_is_sent_or_fetched_twice_and_what_is_new_goes_on(here, tmp_path, url):
    mirror, there = Mirror(url, here, print), tmp_path / "there"
    mirror.push()
    assert mirror.push() == []
    Mirror(url, there, print).pull()
    finish(there, "runs/c")
    Mirror(url, there, print).look()
    assert Mirror(url, here, print).pull() == ["runs/c"]
    assert Mirror(url, here, print).pull() == []


def test_an_artifact_without_its_manifest_is_not_there(here, tmp_path, url):
    Mirror(url, here, print).push()
    store, root = fsspec.core.url_to_fs(url)
    store.rm(f"{root}/runs/a/artifact.json")
    assert Mirror(url, tmp_path / "there", print).pull() == ["tokens"]


def test_what_changed_on_the_way_is_refused(here, tmp_path, url):
    Mirror(url, here, print).push()
    store, root = fsspec.core.url_to_fs(url)
    store.pipe_file(f"{root}/runs/a/run.json", b"y")
    with pytest.raises(Corrupt, match=r"run\.json: content changed"):
        Mirror(url, tmp_path / "there", print).pull()
    assert not (tmp_path / "there" / "runs" / "a").exists()


@pytest.mark.parametrize("name", ["runs/a/../../../evil", "../evil", "fits/../../evil"])
def test_a_key_that_leads_out_of_the_study_is_refused(here, tmp_path, url, name, monkeypatch):
    """Object stores have keys, not paths: two dots are as good a name as any."""
    Mirror(url, here, print).push()
    mirror = Mirror(url, tmp_path / "there" / "study", print)
    found = [*mirror._store.find(mirror._root), f"{mirror._root}/{name}"]
    monkeypatch.setattr(mirror._store, "find", lambda root: found)
    with pytest.raises(Corrupt, match="would lie outside of the study"):
        mirror.pull()
    assert not (tmp_path / "there").exists()


def test_a_store_that_does_not_answer_is_an_error_at_the_end_and_a_sentence_on_the_way(here, url, monkeypatch):
    said = []
    mirror = Mirror(url, here, said.append)

    def fails(*_):
        raise ConnectionError("no route")

    monkeypatch.setattr(mirror._store, "put_file", fails)
    mirror.look()
    assert "no route" in said[0]
    with pytest.raises(GlotmixError, match=r"memory://.*no route"):
        mirror.push()


def test_an_unknown_url_is_bad_input(here):
    with pytest.raises(BadInput, match=r"sweep\.mirror = nowhere://x"):
        Mirror("nowhere://x", here, print)
