"""A result's directory is complete or absent, however the process died, and never reused for another configuration."""

import json
import subprocess
import sys

import pytest

from glotmix.artifact import canonical_json, creating, fingerprint, first_difference, open_artifact
from glotmix.errors import BadInput, Corrupt

CONFIG = {"width": 64, "languages": ["spa_Latn"]}


def make(directory, text="losses"):
    with creating(directory, "run", CONFIG) as part:
        (part / "losses.txt").write_text(text)


def test_a_complete_artifact_opens_and_verifies(tmp_path):
    make(tmp_path / "a")
    artifact = open_artifact(tmp_path / "a", "run", CONFIG)
    artifact.verify()
    assert artifact.path("losses.txt").read_text() == "losses"
    assert not list(tmp_path.glob("*.part"))


def test_an_error_half_way_leaves_the_old_artifact_and_no_rest(tmp_path):
    make(tmp_path / "a", "old")
    with pytest.raises(ValueError, match="half way"), creating(tmp_path / "a", "run", CONFIG) as part:
        (part / "losses.txt").write_text("new")
        raise ValueError("half way")
    assert (tmp_path / "a" / "losses.txt").read_text() == "old"
    assert not list(tmp_path.glob("*.part"))


def test_what_a_killed_process_left_is_not_taken_for_a_result(tmp_path):
    (tmp_path / "a.part").mkdir()
    (tmp_path / "a.part" / "rest.txt").write_text("half")
    (tmp_path / "a.2.part" / "folder").mkdir(parents=True)
    assert open_artifact(tmp_path / "a", "run") is None
    make(tmp_path / "a")
    assert not (tmp_path / "a" / "rest.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_two_that_make_the_same_do_not_disturb_each_other(tmp_path):
    with creating(tmp_path / "a", "run", CONFIG) as slow:
        (slow / "losses.txt").write_text("losses")
        make(tmp_path / "a")
        reading = (tmp_path / "a").stat().st_ino
        assert [path.name for path in slow.iterdir()] == ["losses.txt"]
    assert (tmp_path / "a").stat().st_ino == reading  # whoever opened the first one's still finds its files
    open_artifact(tmp_path / "a", "run", CONFIG).verify()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_is_damaged_or_of_another_configuration_is_replaced_and_what_is_whole_stays(tmp_path):
    make(tmp_path / "a", "old")
    make(tmp_path / "a", "new")
    assert (tmp_path / "a" / "losses.txt").read_text() == "old"
    (tmp_path / "a" / "losses.txt").write_text("odd")
    make(tmp_path / "a", "new")
    assert (tmp_path / "a" / "losses.txt").read_text() == "new"
    with creating(tmp_path / "a", "run", CONFIG | {"width": 96}) as slow:
        (slow / "losses.txt").write_text("wide")
        make(tmp_path / "a", "newer")
    assert (tmp_path / "a" / "losses.txt").read_text() == "wide"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


MAKER = """
import sys
from pathlib import Path
from glotmix.artifact import creating, open_artifact
folder = Path(sys.argv[1])
for i in range(60):
    place = folder / f"{i}"
    if open_artifact(place, "run", {"i": i}) is None:
        with creating(place, "run", {"i": i}) as part:
            for j in range(5):
                (part / f"{j}.txt").write_text(str(i * j))
    assert sum(int((place / f"{j}.txt").read_text()) for j in range(5)) == 10 * i
    open_artifact(place, "run", {"i": i}).verify()
"""


def test_many_processes_make_and_read_the_same_artifacts_at_once(tmp_path):
    makers = [subprocess.Popen([sys.executable, "-c", MAKER, tmp_path], stderr=subprocess.PIPE) for _ in range(4)]
    ends = [maker.communicate()[1].decode() for maker in makers]
    assert ends == [""] * 4
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(range(60))


def test_another_configuration_is_named(tmp_path):
    make(tmp_path / "a")
    with pytest.raises(BadInput, match=r"width: 64 there, 96 here"):
        open_artifact(tmp_path / "a", "run", CONFIG | {"width": 96})


def test_another_kind_is_named(tmp_path):
    make(tmp_path / "a")
    with pytest.raises(BadInput, match="'run'"):
        open_artifact(tmp_path / "a", "tokens")


@pytest.mark.parametrize(("text", "match"), [("losse", "5 bytes, was written with 6"), ("lossez", "checksum")])
def test_truncated_and_changed_files_are_found(tmp_path, text, match):
    make(tmp_path / "a")
    (tmp_path / "a" / "losses.txt").write_text(text)
    with pytest.raises(Corrupt, match=match):
        open_artifact(tmp_path / "a", "run").verify()


def test_a_missing_file_is_found(tmp_path):
    make(tmp_path / "a")
    (tmp_path / "a" / "losses.txt").unlink()
    with pytest.raises(Corrupt, match="missing"):
        open_artifact(tmp_path / "a", "run").verify()


def test_a_broken_manifest_says_what_to_do(tmp_path):
    make(tmp_path / "a")
    (tmp_path / "a" / "artifact.json").write_text('{"kind": "run"')
    with pytest.raises(Corrupt, match="delete"):
        open_artifact(tmp_path / "a", "run")


def test_fingerprints_ignore_key_order_and_see_every_value():
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.5})
    assert json.loads(canonical_json({"é": 1})) == {"é": 1}


def test_the_first_difference_is_the_innermost():
    assert first_difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == "a.c: 2 there, 3 here"
