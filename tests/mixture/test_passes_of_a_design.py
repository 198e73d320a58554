"""A design that spends its runs where the answer can be: what it reads how often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glotmix.errors import BadInput, Infeasible
from glotmix.mixture.balancing import unimax
from glotmix.mixture.config import DesignConfig
from glotmix.mixture.design import filled
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.planning import design_of
from glotmix.studies.mixture.config import check
from glotmix.studies.mixture.plan import plan
from glotmix.studies.mixture.price import price
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study.directory import StudyDirectory

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
        found.setdefault(run.role, {})[run.run] = [share[name] * run.tokens / UNIQUE[name] for name in UNIQUE]
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


def test_capped_coalitions_fill_up_to_the_passes_and_give_the_rest_to_nobody() -> None:
    design = DesignConfig(budget="capped", passes=20, swarm=0, anchors=2, anchor_seeds=1)
    caps = {name: 20 * tokens / D for name, tokens in UNIQUE.items()}
    runs = {run.run: run for run in design_of(design, tuple(UNIQUE), NATURAL, D, caps=caps).runs}
    tokens = {name.split("-")[1]: run.tokens for name, run in runs.items() if run.role == "coalition"}
    # Twenty passes over b and c are 1.2 and 0.8 million tokens; with a the run is whole, and a takes what they leave.
    assert tokens == {"a": 5e6, "b": 1.2e6, "c": 8e5, "b+c": 2e6, "a+b": 5e6, "a+c": 5e6, "full": 5e6}
    full = runs["coalition-full-s0"].schedule.average()
    assert full.total_variation(unimax(UNIQUE, D, 20)) < 1e-12
    assert runs["anchor-full-s1"].schedule == runs["coalition-full-s0"].schedule
    assert runs["anchor-a-s1"].tokens == 5e6
    held = passes_of(design, 20)
    assert max(max(one) for role in ("coalition", "anchor") for one in held[role].values()) == pytest.approx(20)


def test_what_is_filled_keeps_its_proportions_below_the_caps() -> None:
    wanted = {"a": 0.6, "b": 0.3, "c": 0.1, "d": 0.0}
    assert filled(wanted, {}) == pytest.approx(wanted)
    held = filled(wanted, {"b": 0.06, "d": 0.5})
    assert held == pytest.approx({"a": 0.94 * 6 / 7, "b": 0.06, "c": 0.94 / 7, "d": 0.0})
    assert filled(wanted, {"a": 0.2, "b": 0.1, "c": 0.3}) == pytest.approx({"a": 0.2, "b": 0.1, "c": 0.3, "d": 0.0})


def test_a_study_caps_at_the_passes_of_the_target_run_and_needs_a_number() -> None:
    study = {
        "name": "s",
        "languages": ["deu_Latn", "ces_Latn"],
        "design": {"budget": "capped", "passes": 10, "swarm": 0, "beyond": 0, "anchors": 0},
        "proxy": {"tokens": 1e6},
        "target": {"tokens": 1e8},
    }
    unique = {"deu_Latn": 9e7, "ces_Latn": 2e6}
    runs = {run.run: run.tokens for run in plan(check(study), NATURAL.normalised(unique), unique=unique)}
    assert runs == {"coalition-deu-s0": 1e6, "coalition-ces-s0": 2e5, "coalition-full-s0": 1e6}
    with pytest.raises(BadInput, match=r"design.*budget: capped.*give passes"):
        check(study | {"design": {"budget": "capped"}})


def test_shorter_coalitions_are_priced_where_the_file_tells_the_tokens() -> None:
    """Alone, ten passes over two million tokens of Czech are a fifth of a run; one run reads it twice as often."""
    study: dict[str, Any] = {
        "name": "s",
        "languages": ["deu_Latn", "ces_Latn"],
        "design": {"budget": "capped", "passes": 10, "swarm": 0, "beyond": 1, "anchors": 0},
        "proxy": {"tokens": 1e6},
        "target": {"tokens": 1e8},
        "validation": {"seeds": 0},
    }

    def trained(target: dict[str, Any]) -> tuple[float | None, float | None]:
        config = check(study | {"target": study["target"] | target})
        amounts = price(MixtureStudy.of(config, StudyDirectory(Path("unused")))).amounts
        return amounts["runs"], amounts["tokens"]

    assert trained({}) == (3 + 2, 5e6)
    assert trained({"unique_tokens": {"deu_Latn": 9e7}}) == (3 + 2, 5e6)
    assert trained({"unique_tokens": {"deu_Latn": 9e7, "ces_Latn": 2e6}}) == (3 + 1, pytest.approx(3.2e6))
