"""Labels in any spelling name one language, none, or several; what is none of these is an error with a way out."""

import pytest

from glotmix.errors import BadInput
from glotmix.reading.labels import Labels


def read(value, meanings=None, script=None):
    return Labels(meanings).read(value, script, field="lang", place="a.jsonl:1")


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("es", "spa_Latn"), ("spa", "spa_Latn"), ("spa_Latn", "spa_Latn"), ("Spanish", "spa_Latn"), (["es"], "spa_Latn"),
        (["es", "spa_Latn"], "spa_Latn"), ("Norwegian", "nob_Latn"), ("Simplified Chinese", "cmn_Hans"),
        ("zh-TW", "cmn_Hant"), ("sr-Latn", "srp_Latn"), ("__label__rus_Cyrl", "rus_Cyrl"), (" es ", "spa_Latn"),
        ("grc", "grc_Grek"),
    ],
)  # fmt: skip
def test_spellings_of_a_language(value, tag):
    assert read(value).tag == tag


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no label"), ("", "no label"), (float("nan"), "no label"), ([], "no label"), ("und", "labelled und"),
        ("UND", "labelled UND"), ("unknown", "labelled unknown"), ("null", "labelled null"), ("mixed", "labelled mixed"),
        ("und_Cyrl", "labelled und_Cyrl"), ("zxx", "labelled zxx"), (["und"], "labelled und"), ([None], "labelled "),
        (["es", "ru"], "labelled with several languages"), ("es,ru", "labelled with several languages"),
        ("es; ru", "labelled with several languages"), (["es", "und"], "labelled with several languages"),
    ],
)  # fmt: skip
def test_labels_of_no_language_leave_the_row_out_and_say_why(value, reason):
    found = read(value)
    assert found.tag is None
    assert found.reason == reason


def test_a_script_in_a_field_of_its_own_counts():
    assert read("zho", script="Hant").tag == "cmn_Hant"
    assert read("srp", script="Latn").tag == "srp_Latn"
    assert read("srp", script=None).tag == "srp_Cyrl"


@pytest.mark.parametrize("value", ["klingonish", "spainsh", 3, True, {"lang": "es"}, "xx-yy-zz-!!"])
def test_what_is_no_label_is_named_with_what_would_leave_it_out(value):
    with pytest.raises(BadInput, match=r"a\.jsonl:1: lang") as raised:
        read(value)
    assert "corpus.labels" in str(raised.value) or "a language" in str(raised.value)


def test_meanings_say_what_labels_are():
    meanings = {"klingonish": "und", "castellano viejo": "osp_Latn", "sh": "hr"}
    assert read("klingonish", meanings).tag is None
    assert read("castellano viejo", meanings).tag == "osp_Latn"
    assert read("sh", meanings).tag == "hrv_Latn"
    with pytest.raises(BadInput, match=r"corpus\.labels: x: 'nonsense' is no language"):
        Labels({"x": "nonsense"})
