"""What a dry run tells of time: by stage, for every kind, and near to what was spent when every recipe was run."""

import json
from functools import cache
from pathlib import Path

import pytest

from glotmix.config import read_yaml
from glotmix.proxy import flops
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Shape
from glotmix.proxy.pack import _measure
from glotmix.studies.start import open_study
from glotmix.study import cost

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
TRAINED_HERE = [path for path in RECIPES if "executor: external" not in path.read_text(encoding="utf-8")]
"""Of another's trainer no time is known."""
KEPT = sorted((ROOT / "benchmarks" / "results" / "price").glob("*.json"))
FACTOR = 1.5


@pytest.fixture(autouse=True)
def steps_of_one_speed(monkeypatch):
    """A hundred thousand tokens a second, whatever the machine does, told without starting processes."""
    monkeypatch.setattr("glotmix.proxy.pack._speed", lambda *_: 1e5)
    monkeypatch.setattr("glotmix.proxy.pack._measure_together", lambda *asked: _measure(*asked[:5]))


@cache
def tiny(recipe):
    return "tiny" if "tiny" in read_yaml(recipe).get("scales", {}) else None


def price(recipe, *changes):
    overrides = [*changes, *WORKERS.get(recipe.stem, ("sweep.workers=2",))]
    return open_study(recipe, scale=tiny(recipe), overrides=overrides).price()


WORKERS = {"tracin": ()}
"""Recipes that sweep nothing."""
TOKENS = {"tracin": "base.proxy.tokens=4_000_000", "post-training": "bases.tiny.proxy.tokens=25_000_000"}
"""Ten times the tokens that a recipe's proxies train on."""


@pytest.mark.parametrize("recipe", TRAINED_HERE, ids=lambda path: path.stem)
def test_every_recipe_tells_its_time_by_stage_and_longer_of_ten_times_the_tokens(recipe):
    found = price(recipe)
    assert found.amounts["seconds"] == pytest.approx(sum(stage.seconds for stage in found.stages))
    assert len(found.stages) > 1
    assert all(stage.processor_seconds > 0 for stage in found.stages)
    lines = {name.strip() for name in found.lines}
    assert {stage.name for stage in found.stages} <= lines
    assert price(recipe).to_json() == found.to_json()
    name = TOKENS.get(recipe.stem)
    change = name or f"proxy.tokens={10 * open_study(recipe, scale=tiny(recipe)).config.proxy.tokens:g}"
    before, after = (sum(s.processor_seconds for s in one.stages) for one in (found, price(recipe, change)))
    assert after > before


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_may_be_run_at_its_tiny_scale(recipe):
    assert open_study(recipe, scale=tiny(recipe)).problems() == []


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_was_predicted_is_near_to_what_was_spent(path):
    """Processor seconds of the whole study, run by ``benchmarks/price.py``."""
    kept = json.loads(path.read_text())
    predicted, spent = sum(s["processor_seconds"] for s in kept["predicted"]), sum(kept["measured"].values())
    assert 1 / FACTOR < predicted / spent < FACTOR


def test_the_price_of_a_tokenizer_that_is_not_here_says_what_it_assumes(tmp_path):
    text = (ROOT / "recipes" / "upsample-or-upweight.yaml").read_text(encoding="utf-8")
    study = tmp_path / "study.yaml"
    study.write_text(text.replace("vocab_size: 250_100, ", ""), encoding="utf-8")
    found = open_study(study, scale="paper").price()
    assert "2,048 ids assumed" in found.lines["vocabulary"]
    told = open_study(RECIPES[0].with_name("upsample-or-upweight.yaml"), scale="paper").price()
    assert "vocabulary" not in told.lines
    assert told.amounts["flops"] > 2 * found.amounts["flops"]


def test_the_speed_of_a_large_proxy_is_measured_on_a_part_of_its_batch(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "glotmix.proxy.pack._speed", lambda shape, training, K, *_: seen.append((training.batch, K)) or 1e5
    )
    for batch in (4, 4096):
        proxy = ProxyConfig(width=64, layers=3, heads=4, batch=batch)
        cost.packing(Shape.of(proxy, 2048), proxy, 8, device="cpu", stack=None, processes=1)
    assert {B for B, K in seen if K > 1} == {4}
    assert 100 < min(B for B, K in seen if B != 4) < 1000


@pytest.mark.parametrize(
    ("width", "layers", "vocab", "context"), [(768, 12, 250_100, 1024), (256, 6, 32_000, 2048), (64, 2, 500_000, 256)]
)
def test_where_a_sequence_takes_minutes_a_part_of_it_is_timed_and_the_rest_reckoned(
    monkeypatch, width, layers, vocab, context
):
    seen = []

    def speed(shape, training, *_):
        seen.append((shape, training))
        return 1e9 / flops.per_token(shape, training.context)  # a machine of one gigaflop a second

    monkeypatch.setattr("glotmix.proxy.pack._speed", speed)
    proxy = ProxyConfig(width=width, layers=layers, heads=4, context=context, batch=64)
    shape = Shape.of(proxy, vocab)
    found = cost.packing(shape, proxy, 8, device="cpu", stack=None, processes=2)
    assert found.tokens_per_second == pytest.approx(2e9 / flops.per_token(shape, context))
    for part, training in seen:
        assert flops.per_token(part, training.context) * training.context * training.batch <= 1.5 * cost.FLOPS_OF_A_STEP
        assert (part.width, part.heads) == (width, 4)
        assert part.layers <= layers
        assert part.vocab <= vocab
