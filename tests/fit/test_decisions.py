"""The benchmark of decisions, small: one table through the three commands, judged by its truth."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(("family", "most"), [("own_ratio", 0.05), ("no_effect", 1e-9)])
def test_a_planted_table_is_answered_within_its_intervals(
    family: str, most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regret in percent; uniform's is 0.5 where the mixture matters. No estimate lies outside its own interval."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import decisions
    import planted

    try:
        row = decisions.ask(planted.FAMILIES[family].make(np.random.default_rng(7)), tmp_path, decisions.in_process)
    finally:
        for name in ("decisions", "planted"):
            sys.modules.pop(name, None)
    assert row["regret"] <= most
    assert row["outside"] == 0
    assert not row["false_claim"]
    assert 0.8 <= np.mean(row["covered"]) <= 1
    assert row["width"] < 2


def test_the_tables_that_fits_are_timed_on_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made by the families of planted truths, whose interface they once lost without anyone noticing."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import fit_speed

    try:
        shapes = {}
        for name in ("ten", "checkpoints", "seven"):
            table = fit_speed.TABLES[name][2](np.random.default_rng(0))
            assert np.isfinite(table.loss_RT).all()
            shapes[name] = table.loss_RT.shape
    finally:
        for name in ("fit_speed", "decisions", "planted"):
            sys.modules.pop(name, None)
    assert shapes == {"ten": (64, 10), "checkpoints": (200, 4), "seven": (2222, 7)}
