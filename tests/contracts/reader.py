"""What every reader must do; inherit and give ``make`` and ``languages``."""

import json

import pytest

from glotmix.corpus.readers.reader import Reader
from glotmix.corpus.split import is_held_out, split_documents
from glotmix.errors import BadInput


class ReaderContract:
    """Inherited by the test class of every reader, ours and a user's."""

    languages = ("spa_Latn", "fra_Latn")
    """Tags that the corpus of :meth:`make` holds."""

    @pytest.fixture
    def make(self):
        """A function ``make(**settings) -> Reader`` over one small corpus; settings go into CorpusConfig."""
        raise NotImplementedError

    def test_documents_say_where_they_are_from_and_are_not_empty(self, make):
        reader = make()
        assert isinstance(reader, Reader)
        for language in self.languages:
            documents = list(reader.documents(language))
            assert documents
            for document in documents:
                assert document.language == language
                assert document.text.strip() == document.text != ""
                assert "\r\n" not in document.text
                assert document.id
                assert document.place
                document.text.encode("utf-8")

    def test_two_readings_are_equal(self, make):
        for language in self.languages:
            assert list(make().documents(language)) == list(make().documents(language))

    def test_ids_are_unique_inside_a_language(self, make):
        for language in self.languages:
            ids = [document.id for document in make().documents(language)]
            assert len(ids) == len(set(ids))

    def test_reading_stops_at_the_document_that_reaches_the_limit(self, make):
        language = self.languages[0]
        everything = list(make(bytes_per_language=None).documents(language))[:3]
        first = everything[0].bytes
        assert list(make(bytes_per_language=first).documents(language)) == everything[:1]
        assert list(make(bytes_per_language={language: first + 1}).documents(language)) == everything[:2]

    def test_a_language_that_is_not_there_is_bad_input(self, make):
        with pytest.raises(BadInput):
            list(make().documents("xho_Latn"))

    def test_inputs_are_json_and_do_not_change(self, make):
        assert json.dumps(make().inputs(), allow_nan=False) == json.dumps(make().inputs(), allow_nan=False)

    def test_no_text_and_no_id_is_on_both_sides(self, make):
        sides = {"train": set(), "held_out": set()}
        for document, side in split_documents(make(), self.languages[0], 0.5):
            assert (side == "held_out") == is_held_out(document.id, 0.5)
            sides[side].add(document.text)
        assert not sides["train"] & sides["held_out"]
