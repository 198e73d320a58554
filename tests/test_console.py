"""What a terminal cannot show is replaced; no command ends in a traceback for it."""

import json
import os
import subprocess
import sys

import pytest

MIXTURE = {"عربي": 0.5, "हिन्दी": 0.5}


def glotmix(*arguments, command="{}", **environment):
    line = command.format(" ".join([sys.executable, "-m", "glotmix", *arguments]))
    return subprocess.run(["bash", "-c", line], capture_output=True, env=os.environ | environment, check=False)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "gbk"}, {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp437"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=lambda one: "-".join(one.values()),
)  # fmt: skip
def test_signs_that_the_encoding_lacks_are_replaced(environment):
    done = glotmix("laws", **environment)
    assert done.returncode == 0
    assert not done.stderr
    assert b"shapley_law" in done.stdout


def test_json_is_whole_in_every_encoding():
    wanted = json.loads(glotmix("laws", "--json").stdout)
    assert json.loads(glotmix("laws", "--json", PYTHONIOENCODING="cp1252").stdout.decode("cp1252")) == wanted


def test_an_export_in_scripts_that_the_encoding_lacks_is_written_and_told(tmp_path):
    (tmp_path / "mixture.json").write_text(json.dumps(MIXTURE, ensure_ascii=False), encoding="utf-8")
    done = glotmix(
        "export", str(tmp_path / "mixture.json"), "--to", "nanotron", "--tokens", "1e8", "--out", str(tmp_path / "out"),
        PYTHONIOENCODING="cp1252",
    )  # fmt: skip
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert b"?" in done.stdout
    realised = (tmp_path / "out/realised.json").read_text(encoding="utf-8")
    assert all(name in realised for name in MIXTURE)


@pytest.mark.parametrize(("command", "code"), [("{} | true", 0), ("{} >&-", 0), ("{} 2>&-", 0), ("{} >/dev/full", 1)])
def test_an_output_that_is_closed_or_full_leaves_no_traceback(command, code):
    done = glotmix("laws", command=command)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_an_error_in_letters_that_the_encoding_lacks_is_told():
    done = glotmix("run", "नहीं.yaml", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert b"no such file" in done.stderr
    assert b"Traceback" not in done.stderr
