"""Tags: one language, one name, however it is spelled."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

import glotmix.language
from glotmix.errors import BadInput
from glotmix.language import Language
from tests.effort import counted

TABLE = list(
    csv.DictReader(Path(glotmix.language.__file__).with_suffix(".csv").read_text(encoding="utf-8").splitlines())
)


@pytest.mark.parametrize(
    ("spelling", "tag"),
    {
        "sw": "swh_Latn", "swh": "swh_Latn", "swa_Latn": "swh_Latn", "swa": "swh_Latn", "SW": "swh_Latn",
        "no": "nob_Latn", "nob": "nob_Latn", "nb": "nob_Latn", "nor": "nob_Latn", "nn": "nno_Latn",
        "zh": "cmn_Hans", "zh-Hans": "cmn_Hans", "zh_CN": "cmn_Hans", "zh_TW": "cmn_Hant", "zh-Hant-HK": "cmn_Hant",
        "zho_Hant": "cmn_Hant", "cmn_Hani": "cmn_Hani", "zh-yue": "yue_Hant", "pt_BR": "por_Latn", "pt-br": "por_Latn",
        "sr": "srp_Cyrl", "sr-Latn": "srp_Latn", "sr-Cyrl": "srp_Cyrl", "sr@latin": "srp_Latn", "sr_ME": "srp_Latn",
        "ar": "arb_Arab", "fa": "pes_Arab", "fas": "pes_Arab", "ms": "zsm_Latn", "sqi": "als_Latn", "iw": "heb_Hebr",
        "ja.UTF-8": "jpn_Jpan", "ko": "kor_Hang", "kor_Kore": "kor_Hang", "fre": "fra_Latn", "lv": "lvs_Latn",
        "Norwegian": "nob_Latn", "english": "eng_Latn", "Simplified Chinese": "cmn_Hans", "Chinese (Traditional)": "cmn_Hant",
        "Serbian (Latin)": "srp_Latn", "Brazilian Portuguese": "por_Latn", "Albanian": "als_Latn", "Tosk Albanian": "als_Latn",
        "grc": "grc_Grek", "non": "non_Latn", "got": "got_Goth", "cop": "cop_Copt", "xcl": "xcl_Armn", "orv": "orv_Cyrl",
        "sga": "sga_Latn", "udi": "udi_Cyrl", "mww": "mww_Latn", "Ancient Greek": "grc_Grek", "Persian": "pes_Arab", "Old Norse": "non_Latn",
        "et": "ekk_Latn", "ca@valencia": "cat_Latn", "es-419": "spa_Latn", "pdt_Latn": "pdt_Latn",
    }.items(),
)  # fmt: skip
def test_every_spelling_resolves_to_one_tag(spelling, tag):
    assert Language.resolve(spelling).tag == tag


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["code"])
def test_tag_and_bcp47_resolve_to_themselves_in_every_script(row):
    for script in row["scripts"].split():
        language = Language.resolve(f"{row['code']}_{script}")
        assert language.tag == f"{row['code']}_{script}"
        assert Language.resolve(language.tag) == Language.resolve(language.bcp47) == language
        assert language.name
        assert language.family


def test_no_code_stands_for_two_languages():
    codes = [code for row in TABLE for code in (row["code"], *row["aliases"].split())]
    assert len(codes) == len(set(codes))
    assert len(TABLE) > 300
    assert len({row["family"] for row in TABLE}) > 30


def test_macrolanguages_agree_with_langcodes():
    """Where langcodes maps an individual code to a macrolanguage (iw→he, cmn→zh), we map back to the same member."""
    import langcodes

    for row in TABLE:
        macro = langcodes.Language.get(langcodes.standardize_tag(row["code"], macro=True)).language
        if macro != row["code"] and macro in row["aliases"].split():
            assert Language.resolve(macro).code == row["code"]


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [("xx", ""), ("englsh", "eng_Latn"), ("swahil", "swh_Latn"), ("Portugese", "por_Latn"), ("", ""), ("e", ""),
     ("../etc", ""), ("es_!!", ""), ("qaa", ""), ("und", ""), ("no\0", ""), ("123", "")],
)  # fmt: skip
def test_what_is_no_language_is_bad_input_with_the_nearest_tag(text, suggestion):
    with pytest.raises(BadInput, match="is no language") as raised:
        Language.resolve(text)
    assert suggestion in str(raised.value)


@pytest.mark.parametrize("text", ["und", "null", "unknown", "mixed", "mul", "zzz", "data", "spn"])
def test_nothing_is_suggested_for_what_is_near_no_language(text):
    """und is no Rundi, and null no Cantonese."""
    with pytest.raises(BadInput) as raised:
        Language.resolve(text)
    assert "did you mean" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "suggestion"), [("Spanisch", "spa_Latn"), ("norwegan", "nob_Latn"), ("english_clean", "eng_Latn")]
)
def test_a_name_that_is_misspelt_is_not_taken_for_what_it_is_like(text, suggestion):
    with pytest.raises(BadInput, match=f"did you mean {suggestion}"):
        Language.resolve(text)


@pytest.mark.parametrize("text", ["rhg", "khb", "smp", "saz"])
def test_a_script_that_only_the_oldest_texts_are_in_is_not_taken_without_a_word(text):
    with pytest.raises(BadInput, match="its script is not known"):
        Language.resolve(text)


@pytest.mark.parametrize("text", [False, None, 3])
def test_a_tag_that_yaml_made_something_else_is_bad_input(text):
    with pytest.raises(BadInput, match="no language"):
        Language.resolve(text)


def test_a_script_that_is_none_is_named():
    with pytest.raises(BadInput, match="Xxyy is no script"):
        Language.resolve("spa_Xxyy")


def test_a_rare_language_without_a_known_script_asks_for_it():
    with pytest.raises(BadInput, match="gmh_Latn"):
        Language.resolve("gmh")
    assert Language.resolve("gmh_Latn").tag == "gmh_Latn"


def test_common_languages_need_no_large_import():
    code = (
        "import sys; from glotmix.language import Language; Language.resolve('zh_TW'); Language.resolve('sw');"
        "sys.exit('langcodes' in sys.modules or 'pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_name_of_megabytes_is_refused_without_being_compared():
    """Names come from corpora: ten million letters against eight thousand names would take hours."""
    with counted() as effort, pytest.raises(BadInput, match="is no language") as refused:
        Language.resolve("x" * 10_000_000)
    assert effort.calls < 50
    assert len(str(refused.value)) < 300
