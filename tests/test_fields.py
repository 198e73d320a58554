"""The reference of study files is the configurations: every field has a meaning, and the documentation is what they say."""

import json
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glotmix.cli import app
from glotmix.errors import BadInput
from glotmix.studies import KINDS
from glotmix.studies.fields import field_rows, reference

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_type_and_a_meaning(kind):
    rows = field_rows(kind)
    assert len({row["field"] for row in rows}) == len(rows)
    assert [row["field"] for row in rows if not (row["type"] and row["meaning"])] == []
    config = KINDS.find(kind).config
    assert {row["field"].partition(".")[0].removesuffix("[]") for row in rows} == set(config.model_fields)


def test_the_documentation_is_what_the_configurations_say():
    """Written by ``glotmix fields --markdown > docs/study-file.md``."""
    assert (DOCS / "study-file.md").read_text(encoding="utf-8") == reference()


def test_one_section_is_shown_and_an_unknown_one_is_told_what_there_is():
    result = CliRunner().invoke(app, ["fields", "optimize", "--json"])
    rows = {row["field"]: row for row in json.loads(result.stdout)}
    assert rows["optimize.max_epochs"]["default"] == "auto"
    assert all(name.startswith("optimize.") for name in rows)
    with pytest.raises(BadInput, match=r"design \\| proxy|design"):
        field_rows("mixture", "desing")
    told = CliRunner().invoke(app, ["fields"]).stdout
    assert "proxy" in told
    assert "width" in told


def test_the_fields_are_told_without_torch():
    code = "import sys; from glotmix.studies.fields import reference; reference(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_command_line_reference_is_what_the_commands_say():
    """Written by ``python -m typer glotmix.cli utils docs --name glotmix --output docs/command-line.md``."""
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    command = get_command(app)
    with command.make_context("glotmix", [], resilient_parsing=True) as context:
        told = get_docs_for_click(obj=command, ctx=context, name="glotmix").strip()
    assert unescape((DOCS / "command-line.md").read_text(encoding="utf-8")).strip() == unescape(told)
