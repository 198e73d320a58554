"""Disks that are full, folders that cannot be written, clocks that jump: one line that says what, and nothing lost."""

import ast
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from glotmix.sweep.lock import held

SOURCE = Path(__file__).parents[2] / "src" / "glotmix"
STUDY = {
    "name": "Small",
    "languages": ["spa_Latn"],
    "corpus": {"reader": "embedded", "bytes_per_language": 150_000, "held_out": 0.1},
    "tokens": {"vocab_size": 400, "held_out_tokens": 1500},
}


def census(folder, out, **settings):
    YAML(typ="safe").dump(STUDY, folder / "study.yaml")
    command = [sys.executable, "-m", "glotmix", "census", str(folder / "study.yaml"), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)


def files_of_at_most(size):
    """What a full disk does to a process, done by the kernel: writes beyond it fail."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_on_a_full_disk_the_study_stops_with_one_line_and_goes_on_when_there_is_room(tmp_path):
    out = tmp_path / "out"
    full = census(tmp_path, out, preexec_fn=files_of_at_most(30_000))
    assert full.returncode == 1
    *stages, line = full.stderr.strip().splitlines()
    assert not any("error" in stage for stage in stages)
    assert line.startswith("error: ")
    assert "File too large" in line
    assert not (out / "tokens").exists()
    done = census(tmp_path, out)
    assert (done.returncode, done.stderr.strip()) == (0, "\n".join(stages))
    assert (out / "tokens" / "artifact.json").is_file()


@pytest.mark.parametrize("out", ["file/out", "/proc/glotmix/out"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, out):
    (tmp_path / "file").touch()
    refused = census(tmp_path, tmp_path / out)
    assert refused.returncode == 1
    assert refused.stderr.strip().startswith("error: ")
    assert out.removesuffix("/out") in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("command", ["census", "run"])
def test_the_second_driver_of_a_study_is_told_which_process_holds_it(tmp_path, command):
    YAML(typ="safe").dump(STUDY, tmp_path / "study.yaml")
    with held(tmp_path / "out"):
        argv = [sys.executable, "-m", "glotmix", command, str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out")]
        second = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert f"is being worked on by process {os.getpid()} on " in second.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def test_no_decision_hangs_on_a_clock_that_may_jump():
    """Durations come from the monotonic clock. The one place that reads the other tells when a run began and ended."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today", "st_mtime", "localtime"):
                found.add(path.relative_to(SOURCE).as_posix())
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "time.time":
                found.add(path.relative_to(SOURCE).as_posix())
    assert found <= {"sweep/worker.py"}
