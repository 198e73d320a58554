"""Whatever a user's text holds, YAML 1.1, YAML 1.2, JSON, Python and the shell read back the same text."""

import ast
import io
import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from glotmix.errors import BadInput
from glotmix.exporters.quoting import check_text, number, python_literal, python_text, read_constants, shell, yaml_text

yaml = pytest.importorskip("yaml", reason="PyYAML reads YAML 1.1")


characters = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff\ufffe\uffff")
texts = st.text(characters, min_size=1, max_size=20) | st.sampled_from(["no", "Y", "1e5", "0x1F", "2001-01-01", "~", "<<", "=", ".nan", "1_0", "12:30:00", "!!a", "&a", "*a", "%a", "@a", "`a", "- a", "a: b", "a #b", " a "])  # fmt: skip
values = st.recursive(
    texts | st.integers(-(10**15), 10**15) | st.floats(1e-12, 1e12) | st.booleans(),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(texts, inner, min_size=1, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, min_size=1, max_size=4))
def test_yaml_reads_the_same_in_both_versions(value):
    text = yaml_text(value, "a comment")
    assert yaml.safe_load(text) == value
    assert YAML(typ="safe", pure=True).load(io.StringIO(text)) == value


@given(st.dictionaries(texts, values, max_size=4))
def test_python_literals_read_back(value):
    assert ast.literal_eval(python_literal(value)) == value


@given(texts)
def test_what_formats_can_hold_is_not_refused(text):
    assert check_text(text, "text") == text


@given(st.lists(texts, min_size=1))
def test_shell_words_arrive_as_they_are(words):
    assert shlex.split(shell(words)) == words


@given(st.floats(1e-300, 1e300))
def test_numbers_keep_every_bit_and_have_no_exponent(value):
    assert float(number(value)) == value
    assert json.loads(number(value)) == value
    assert "e" not in number(value)


def test_generated_modules_are_read_without_being_run(tmp_path):
    path = tmp_path / "m.py"
    path.write_text(python_text("Doc.", {"A": ("One.", {"x": [1, 2.5]})}, "raise SystemExit('run')\n"))
    assert read_constants(path) == {"A": {"x": [1, 2.5]}}
    path.write_text("A = [")
    with pytest.raises(BadInput, match="not valid Python"):
        read_constants(path)
