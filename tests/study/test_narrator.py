"""Progress on a terminal is a bar; in a file it is a line at the beginning of a stage, and one now and then."""

import io

import pytest
from rich.console import Console

from glotmix.commands.output import show
from glotmix.study import narrator
from glotmix.study.narrator import Narrator


def told(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=60)
    with Narrator(console).bar("Fitting") as advance:
        advance("Fitting: law 1 of 2", 1, 2)
        advance("Fitting: law 2 of 2", 2, None)
    return console.file.getvalue()


def test_a_file_gets_the_stage_and_lines_now_and_then(monkeypatch):
    assert told(terminal=False) == "Fitting\n"
    monkeypatch.setattr(narrator, "LINE_EVERY", -1.0)
    assert told(terminal=False) == "Fitting\n  Fitting: law 1 of 2: 50%\n  Fitting: law 2 of 2\n"


def test_a_terminal_gets_a_bar():
    assert "\x1b" in told(terminal=True)


@pytest.mark.parametrize("width", ["40", "80"])
def test_a_path_stays_in_one_piece(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    path = "/".join(["folder"] * 30)
    show(False, {}, "A sentence that is longer than the narrowest of terminals", path)
    lines = capsys.readouterr().out.splitlines()
    assert path in lines
    assert all(len(line) <= int(width) for line in lines if line != path)
