"""Tables at 80 characters: thirty groups can be read, nothing is cut, every column keeps its rows."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from glotmix.commands.listings import listing
from glotmix.corpus.census import Census, CensusRow
from glotmix.corpus.overlap import TextOverlap
from glotmix.corpus.sketch import QuickCensus, Sketch
from glotmix.corpus.survey import LanguageFound, Survey
from glotmix.estimate import Estimate
from glotmix.exporters.listing import exporter_rows
from glotmix.laws.listing import law_rows
from glotmix.mixture.mixture import Mixture
from glotmix.optimize.objective import Mean
from glotmix.optimize.optimum import Baseline, Gain, Optimum
from glotmix.optimize.scale import Scaled, Scaling, scaling_table
from glotmix.reading.tally import ReadTally
from glotmix.studies.begun import Begun
from glotmix.studies.mixture.proposal import Proposal
from glotmix.studies.recipes import all_recipes
from glotmix.study.kind import Price, Stage
from glotmix.tables import by_group

GOLDEN = Path(__file__).parent / "golden"
GROUPS = [f"g{i:02d}_Latn" for i in range(30)]
NAMES = ("natural", "uniform", "temperature", "unimax", "current", "optimum of log_linear", "optimum of own_ratio")


def shown(*tables, width=80):
    console = Console(file=io.StringIO(), width=width, highlight=False, legacy_windows=False)
    for table in tables:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def optimum(N=None, D=None):
    """Thirty groups, seven baselines, an interval wherever there can be one."""
    weights = [1.0 + i for i in range(30)]
    mixture = Mixture.normalised(dict(zip(GROUPS, weights, strict=True)))
    even = Mixture.normalised(dict.fromkeys(GROUPS, 1.0))
    return Optimum(
        mixture=mixture,
        predicted={},
        objective=Estimate(1.2345, 1.2001, 1.2689),
        honest=1.24,
        baselines=tuple(Baseline(name, even, {}, Estimate(1.3, 1.25, 1.35), ()) for name in NAMES),
        gains={name: Gain(0.0655, 0.05, 0.08, 0.06) for name in NAMES},
        active=(),
        prices={},
        spread={group: (0.9 * p, 1.1 * p) for group, p in mixture.items()},
        nearest=None,
        epochs={},
        status="converged",
        gap=0.0,
        agreeing=1.0,
        aim=Mean(tuple(GROUPS), dict.fromkeys(GROUPS, 1.0)),
        N=N,
        D=D,
    )


def check(name, text):
    """No line is too long, none is cut, and the text is the one that was looked at."""
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for group in GROUPS:
        assert any(line.split("│")[1].strip() == group for line in text.splitlines() if line.startswith("│"))
    path = GOLDEN / name
    assert text == path.read_text(encoding="utf-8"), f"{path} is another table"


def test_an_optimum_of_thirty_groups_can_be_read():
    check("optimum_80.txt", shown(optimum().table()))


def test_sizes_of_thirty_groups_can_be_read():
    sizes = tuple(Scaled(optimum(N, 20 * N), ()) for N in (1e6, 1e7, 1e8, 1e9))
    check("scale_80.txt", shown(scaling_table(Scaling(sizes, None))))


def census():
    """Thirty languages of any size, some of them in scripts without words, rows left out for seven reasons, and each
    language sharing texts with two others."""
    rows = tuple(
        CensusRow(
            language=group, documents=12_345_678 // (i + 1), bytes=987_654_321_012 // (i + 1) ** 4,
            unique_tokens=34_567_890_123 // (i + 1) ** 4, held_out_documents=1234, held_out_tokens=50_000,
            held_out_bytes=234_567, fertility=2.34 + i, fertility_unit="word" if i % 3 else "character",
            bytes_per_token=4.1, byte_premium=1.23 if i else 1.0, parallel_documents=12, share=1 / 30,
            epochs=0.0123 * (i + 1) ** 3, tokens_per_byte=0.312, parity=1.2, vocabulary_share=0.4,
            unknown_tokens=0.001, lost_text=0.0, files=12, rows=1_400_000,
            left_out={f"reason {k}": 100 * k + i for k in range(7)},
        )
        for i, group in enumerate(GROUPS)
    )  # fmt: skip
    shared = {one: {GROUPS[(i + k) % 30]: 10 * i + k for k in (1, 29)} for i, one in enumerate(GROUPS)}
    return Census(rows, GROUPS[0], 2e10, TextOverlap(dict.fromkeys(GROUPS, 1000), shared, {}))


def test_a_census_of_thirty_languages_can_be_read():
    check("census_80.txt", shown(*census().tables()[:-1]))  # the last is a sentence


def test_a_quick_census_of_thirty_languages_can_be_read():
    hashes = np.arange(5000, dtype=np.uint64) << np.uint64(50)
    sketches = {group: Sketch(12_345_678 + i, 9_876_543_210, hashes[: 4096 - i]) for i, group in enumerate(GROUPS)}
    tallies = {group: ReadTally(12, 1, 1_400_000, 1, Counter({"without text": 12, "no label": 3})) for group in GROUPS}
    check("quick_census_80.txt", shown(*QuickCensus(sketches, tallies).tables()))


def test_languages_of_a_proposal_can_be_read():
    found = tuple(
        LanguageFound(group, f"A language with a long name {i}", f"folder {i}", 12_345_678, 987_654_321_012 // (i + 1), True)
        for i, group in enumerate(GROUPS)
    )  # fmt: skip
    proposal = Proposal(Survey({}, found), {}, found, {}, {}, 1, 1.0, 1.0, "cpu", "2 cores")
    check("begun_80.txt", shown(Begun(Path("study.yaml"), proposal, Price({}, {}), ()).table()))


def test_a_price_tells_its_time_by_stage():
    stages = [Stage("reading", 30.0), Stage("training", 7200.0, 4), Stage("page", 10.0)]
    price = Price.timed({"proxies": ", ".join(GROUPS)}, {"runs": 3}, stages)
    assert price.amounts["seconds"] == 30 + 7200 / 4 + 10
    assert [one["processor_seconds"] for one in price.to_json()["stages"]] == [30, 7200, 10]
    text = shown(price.table())
    assert max(map(len, text.splitlines())) <= 80
    for group in GROUPS:
        assert group in text
    told = text.replace("\u202f", " ")
    assert "about 30 min 40 s with 4 workers, by stage" in told
    assert [line.split("│")[2].strip() for line in told.splitlines()[-4:-1]] == ["30 s", "30 min", "10 s"]


def test_listings_can_be_read():
    for rows in (all_recipes(), law_rows(), exporter_rows()):
        text = shown(listing("Listing", rows))
        assert max(map(cell_len, text.splitlines())) <= 80  # a combining sign takes no room
        for row in rows:
            for word in " ".join(row.values()).split():
                assert len(word) > 30 or word in text


@pytest.mark.parametrize("width", [40, 80, 120])
def test_columns_that_do_not_fit_go_below_with_the_same_rows(width):
    columns = [(f"column {i}", [f"{i}.{row}" for row in range(3)]) for i in range(12)]
    tables = by_group("title", ["a", "bb", "ccc"], columns, width)
    text = shown(*tables, width=width)
    assert max(map(len, text.splitlines())) <= width
    for header, cells in columns:
        assert text.count(header) == 1 or header == "column 1"
        assert all(cell in text for cell in cells)
    assert sum(len(table.columns) - 1 for table in tables) == 12
