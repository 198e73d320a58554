"""Results show themselves in a notebook: every value is there, nothing of a name becomes markup."""

from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Group
from rich.table import Table

from glotmix.mixture.mixture import Mixture
from glotmix.notebook import rich_html, table_html
from glotmix.transfer.matrix import TransferMatrix

ATTACK = "<img src=x onerror=alert(1)>"


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.rows, self.tags, self.styles = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.styles.append(dict(attributes).get("style", ""))

    def handle_data(self, text):
        if self.rows:
            self.rows[-1].append(text)


def read(html):
    reader = Reader()
    reader.feed(html)
    return reader


def test_a_matrix_is_a_table_whose_colours_have_the_signs_of_its_values():
    value_TL = np.array([[0.9, -0.2], [0.1, 0.0]])
    found = read(TransferMatrix(("a", "b"), ("a", "b"), value_TL)._repr_html_())
    assert found.rows == [["a", "b"], ["a", "+0.900", "-0.200"], ["b", "+0.100", "+0.000"]]
    blue, orange = "rgba(10,79,158", "rgba(168,67,0"
    assert [blue in s for s in found.styles] == [True, False, True, False]
    assert [orange in s for s in found.styles] == [False, True, False, False]


def test_a_mixture_shows_its_largest_share_first():
    found = read(Mixture({"swh_Latn": 0.25, "eng_Latn": 0.75})._repr_html_())
    assert [row[0] for row in found.rows] == ["eng_Latn", "swh_Latn"]
    assert "75.00 %" in found.rows[0]


@pytest.mark.parametrize(
    "html",
    [
        Mixture({ATTACK: 1.0})._repr_html_(),
        TransferMatrix((ATTACK,), (ATTACK,), np.ones((1, 1)), method=ATTACK, unit=ATTACK)._repr_html_(),
        table_html(ATTACK, [ATTACK], [[ATTACK, ATTACK]]),
        rich_html(ATTACK),
    ],
)
def test_names_stay_text(html):
    assert "img" not in read(html).tags


def test_what_a_terminal_shows_is_all_there():
    table = Table(title="scores", caption="of two laws")
    table.add_column("law")
    table.add_column("error")
    table.add_row("null", "8.9")
    table.add_row("shapley_law", "1.5")
    html = rich_html(Group(table, "chosen: shapley_law"))
    assert read(html).rows[:3] == [
        ["law", "error"],
        ["null", "8.9"],
        ["shapley_law", "1.5", "of two laws", "chosen: shapley_law"],
    ]
    assert "scores" in html
