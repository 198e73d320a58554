"""Tables at 80 characters: thirty groups can be read, nothing is cut, every column keeps its rows."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from glotmix.estimate import Estimate
from glotmix.mixture.mixture import Mixture
from glotmix.optimize.objective import Mean
from glotmix.optimize.optimum import Baseline, Gain, Optimum
from glotmix.optimize.scale import Scaled, Scaling, scaling_table
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
