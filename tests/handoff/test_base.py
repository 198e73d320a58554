"""Runs of somebody else's trainer that go on from a model."""

import json
from pathlib import Path

import pytest

from glotmix.config import checked
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import Waiting
from glotmix.exporters import EXPORTERS
from glotmix.exporters.flags import RunSettings, arguments, loads
from glotmix.handoff.asked import About, asked_runs
from glotmix.proxy.checkpoint import save_checkpoint
from glotmix.proxy.model import Shape, init_parameters
from glotmix.studies.mixture.config import StudyConfig
from glotmix.tokens.tokenizer import train_tokenizer
from tests.handoff.planted import row_of, train, waiting, write_csv
from tests.study.shell import ran

STUDY = {
    "name": "Foreign base",
    "languages": ["tr"],
    "base": {"languages": ["es"]},
    "corpus": {"reader": "embedded", "bytes_per_language": 60_000, "held_out": 0.2},
    "tokens": {"held_out_tokens": 1000},
    "design": {"coalitions": "all", "swarm": 4, "swarm_roles": "fit", "anchors": 0},
    "proxy": {"base": "model", "tokens": 50_000, "context": 32, "batch": 8},
    "fit": {"laws": ["null", "shapley_law"], "bootstrap": 0, "folds": 3},
    "validation": {"seeds": 2},
    "sweep": {
        "executor": "external",
        "trainer": "megatron_lm",
        "command": "bash train.sh {run_dir} {arguments}",
        "load": "/checkpoints/mcore model",
    },
}
BEFORE = {"tur_Latn": 4.5, "replay": 0.7, "spa_Latn": 0.6}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model and its tokenizer."""
    folder = tmp_path_factory.mktemp("foreign")
    shape = Shape(32, 1, 2, 48, 300, context=32)
    save_checkpoint(folder / "model", init_parameters(shape, [0]), shape)
    texts = open_reader(CorpusConfig(bytes_per_language=30_000), ["es"], Path()).documents("spa_Latn")
    train_tokenizer({"spa_Latn": (one.text for one in texts)}, 300, 20_000).save(folder / "model")
    return folder


def call(place, out, **sweep):
    config = checked(StudyConfig, STUDY | {"sweep": STUDY["sweep"] | sweep})
    try:
        return ran("mixture", config, place, out)
    except Waiting as waits:
        return waits.runs


def test_runs_load_the_model_and_what_they_say_of_it_is_gained_and_forgotten(place, tmp_path):
    out = tmp_path / "out"
    assert len(call(place, out)) == 6
    handoff = out / "handoff"
    script = (handoff / "commands" / f"{waiting(handoff)[0]}.sh").read_text()
    assert "--pretrained-checkpoint '/checkpoints/mcore model'" in script
    guide = (handoff / "README.md").read_text()
    assert "All runs go on from one model, `/checkpoints/mcore model`" in guide
    assert "the flags of every run say so" in guide
    train(handoff)
    asked, about = asked_runs(handoff), About.of(handoff)
    one = row_of(asked[waiting(handoff)[0]], about)
    start = {"run": one["run"], "D": 0, **{f"bits_per_byte/{target}": loss for target, loss in BEFORE.items()}}
    write_csv(handoff / "results" / "start.csv", [start])
    assert len(call(place, out)) > 1
    train(handoff, name="loop")
    assert call(place, out) == out / "report.html"
    assert json.loads((out / "base.json").read_text())["losses"] == BEFORE
    assert json.loads((out / "transfer.json").read_text())["notes"]["empty_loss"] == BEFORE
    assert "Gained and forgotten" in (out / "report.html").read_text()


def test_without_losses_before_training_the_page_says_nothing_of_them(place, tmp_path):
    out = tmp_path / "out"
    call(place, out, trainer="marin", load=None)
    guide = (out / "handoff" / "README.md").read_text()
    assert str(place / "model") in guide
    assert "the flag by which marin loads a model is not known here" in guide
    train(out / "handoff")
    call(place, out, trainer="marin", load=None)
    train(out / "handoff", name="loop")
    page = call(place, out, trainer="marin", load=None)
    assert 'id="kept"' not in page.read_text()
    assert json.loads((out / "transfer.json").read_text())["notes"]["empty"] == "unigram"


SETTINGS = RunSettings(64, 2, 4, 128, False, 1000, 128, 8, 1e-3, 0.1, 0.05, 0.1, 1.0)


@pytest.mark.parametrize("name", [name for name in EXPORTERS if EXPORTERS.find(name).flags])
def test_a_trainer_with_flags_is_told_the_model_only_where_there_is_one(name):
    from dataclasses import replace

    flags = EXPORTERS.find(name).flags
    assert loads(flags)
    plain = arguments(flags, SETTINGS, 100, 0)
    told = arguments(flags, replace(SETTINGS, base="/a model"), 100, 0)
    assert not [word for word in plain if "/a model" in word or word.endswith(("?base", "?random"))]
    assert len([word for word in told if "/a model" in word]) == 1
