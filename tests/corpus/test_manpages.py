"""Man pages: layout, encodings, stubs, and what was never translated."""

import gzip
import lzma

import pytest

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.manpages import is_english
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput
from tests.contracts.reader import ReaderContract

LONG = {
    "es": "Este programa muestra la hora y la fecha de la ciudad que se pide en la línea de órdenes. " * 4,
    "fr": "Ce programme affiche l'heure et la date de la ville qui est demandée dans la ligne de commande. " * 4,
    "en": "This program shows the time and the date of the city that is given in the command line. " * 4,
}


def page(text, name="hora"):
    return f".TH {name} 1\n.SH X\n{text} Página {name}.\n"


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = text.encode(encoding)
    path.write_bytes(
        gzip.compress(raw) if path.suffix == ".gz" else lzma.compress(raw) if path.suffix == ".xz" else raw
    )


@pytest.fixture
def tree(tmp_path):
    man = tmp_path / "man"
    for language, text in LONG.items():
        folder = man if language == "en" else man / language
        write(folder / "man1" / "hora.1.gz", page(text))
        write(folder / "man1" / "fecha.1.xz", page(text.upper(), "fecha"))
        write(folder / "man8" / "reloj.8", page(text.title(), "reloj"))
        write(folder / "man1" / "stub.1.gz", ".so man1/hora.1\n")
        (folder / "man1" / "enlace.1.gz").symlink_to("hora.1.gz")
    return tmp_path


@pytest.fixture
def reading(tree):
    def opened(languages=("spa_Latn", "fra_Latn"), **settings):
        return open_reader(CorpusConfig(reader="manpages", path=".", **settings), languages, tree)

    return opened


class TestManPages(ReaderContract):
    @pytest.fixture
    def make(self, reading):
        return reading


def test_translations_share_ids_and_stubs_and_links_are_left_out(reading):
    reader = reading(("spa_Latn", "fra_Latn", "eng_Latn"))
    ids = {language: [d.id for d in reader.documents(language)] for language in reader.languages}
    assert ids["spa_Latn"] == ids["fra_Latn"] == ids["eng_Latn"] == ["man1/fecha", "man1/hora", "man8/reloj"]


@pytest.mark.parametrize(
    ("folder", "tag"), [("pt_BR", "por_Latn"), ("zh_CN", "cmn_Hans"), ("zh_TW", "cmn_Hant"), ("sr@latin", "srp_Latn")]
)
def test_locale_directories_are_languages(reading, tree, folder, tag):
    write(tree / "man" / folder / "man1" / "x.1", page("palavra " * 60))
    assert [d.language for d in reading((tag,)).documents(tag)] == [tag]


def test_paragraphs_left_in_english_are_dropped_only_from_translations(reading, tree):
    mixed = page(
        LONG["es"] + "\n.PP\nThis paragraph was left in English by the translator.\n.PP\nÚltimo párrafo.", "mezcla"
    )
    write(tree / "man" / "es" / "man1" / "hora.1.gz", mixed)
    [kept] = [d.text for d in reading().documents("spa_Latn") if d.id == "man1/hora"]
    assert "translator" not in kept
    assert "Último párrafo." in kept
    assert "translator" in "".join(d.text for d in reading(drop_untranslated=False).documents("spa_Latn"))
    assert "This program" in "".join(d.text for d in reading(("eng_Latn",)).documents("eng_Latn"))


def test_what_two_translations_have_in_common_is_no_language(reading, tree):
    code = "\n.PP\nconst char *tz = getenv(TZ);\n"
    for language in ("es", "fr"):
        write(tree / "man" / language / "man1" / "hora.1.gz", page(LONG[language] + code))
    for language in ("spa_Latn", "fra_Latn"):
        assert "getenv" not in "".join(d.text for d in reading().documents(language))
    alone = reading(("spa_Latn",))
    assert "getenv" in "".join(d.text for d in alone.documents("spa_Latn"))


def test_a_notice_that_stands_in_every_page_is_kept_once(reading, tree):
    notice = "\n.PP\nEsta traducción es libre y " + "se distribuye sin ninguna garantía " * 4 + "\n.PP"
    for name in ("a", "b", "c"):
        write(tree / "man" / "es" / "man1" / f"{name}.1", page(LONG["es"] + name + notice, name))
    text = "\n".join(d.text for d in reading().documents("spa_Latn"))
    assert text.count("Esta traducción es libre") == 1


def test_declared_encodings_are_read_and_others_are_named_by_offset(reading, tree):
    write(
        tree / "man" / "es" / "man1" / "viejo.1",
        "'\\\" -*- coding: ISO-8859-1 -*-\n" + page(LONG["es"], "viejo"),
        "latin-1",
    )
    write(tree / "man" / "ru.KOI8-R" / "man1" / "x.1", ".TH x 1\n" + "Эта программа показывает время. " * 10, "koi8-r")
    assert "línea" in next(d.text for d in reading().documents("spa_Latn") if d.id == "man1/viejo")
    assert "показывает" in next(reading(("rus_Cyrl",)).documents("rus_Cyrl")).text
    bad = tree / "man" / "es" / "man1" / "zz.1"
    bad.write_bytes(b".TH x 1\nl\xednea\n")
    with pytest.raises(BadInput, match=r"zz\.1.*0xed at offset 9"):
        list(reading().documents("spa_Latn"))
    assert list(reading(errors="replace").documents("spa_Latn"))


def test_what_is_remembered_of_a_corpus_is_bounded(reading, monkeypatch):
    from glotmix.corpus.readers import manpages

    whole = list(reading().documents("spa_Latn"))
    monkeypatch.setattr(manpages, "REMEMBERED_CHARACTERS", 300)
    reader = reading()
    assert list(reader.documents("spa_Latn")) == whole
    assert len(reader._pages) == 1


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("The file is read from the directory that was given", True),
        ("Print the version and exit with status zero", True),
        ("Il file viene letto dalla directory in cui si trova", False),
        ("De file is in de map of in een andere map is hij niet", False),
        ("Diese Datei ist in dem Verzeichnis, das im Profil steht", False),
        ("O ficheiro as a no do por os com um de", False),
        ("ls cp mv rm mkdir rmdir", False),
        ("see the file", False),  # too short to tell
    ],
)
def test_english_is_told_by_its_function_words(text, english):
    assert is_english(text) == english
