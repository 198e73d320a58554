"""A design that spends its runs where the answer can be: what it reads how often."""

from __future__ import annotations

import pytest

from glotmix.errors import Infeasible
from glotmix.mixture.config import DesignConfig
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.planning import design_of

UNIQUE = {"a": 9e5, "b": 6e4, "c": 4e4}
D = 5e6
NATURAL = Mixture.normalised(UNIQUE)


def passes_of(design: DesignConfig, most: float | None) -> dict[str, dict[str, list[float]]]:
    """Passes over every language, by role and run."""
    caps = None if most is None else {name: most * tokens / D for name, tokens in UNIQUE.items()}
    runs = design_of(design, tuple(UNIQUE), NATURAL, D, caps=caps).runs
    found: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        share = run.schedule.average()
        found.setdefault(run.role, {})[run.run] = [share[name] * D / UNIQUE[name] for name in UNIQUE]
    return found


def test_a_swarm_stays_below_the_passes_and_a_few_runs_go_beyond() -> None:
    free = passes_of(DesignConfig(swarm=30), None)
    assert max(max(one) for one in free["swarm"].values()) > 40
    assert "turn" not in free
    held = passes_of(DesignConfig(swarm=30, passes=20, beyond=2), 20)
    assert len(held["swarm"]) == 30
    assert max(max(one) for one in held["swarm"].values()) <= 20 + 1e-9
    assert {name: round(max(one)) for name, one in held["turn"].items()} == {
        "turn-b-0-s0": 40,
        "turn-b-1-s0": 75,  # nine tenths of the run, and no more
        "turn-c-0-s0": 40,
        "turn-c-1-s0": 80,
    }


def test_too_few_passes_for_any_mixture_are_refused() -> None:
    with pytest.raises(Infeasible, match="caps sum to"):
        passes_of(DesignConfig(swarm=3, passes=2), 2)
