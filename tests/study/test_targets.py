"""Targets: texts of any kind that are measured and never trained on, completions given their prompts among them."""

import json
import random

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput
from glotmix.proxy import model
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.evaluate import Evaluation
from glotmix.proxy.model import Shape
from glotmix.studies.mixture.config import StudyConfig, check
from glotmix.tokens.build import build_store
from glotmix.tokens.store import HeldOutText
from tests.study.test_sources import SMALL, glotmix

SOURCES = {"eng": {"language": "en", "subset": "dialogue day"}, "spa": {"language": "es", "subset": "dialogue day"}}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A parallel text, questions with answers (two of them the same), and a study that measures both."""
    place = tmp_path_factory.mktemp("targets")
    write(place / "flores.jsonl", [{"text": f"Sentence {k} is about the number {k * k}."} for k in range(60)])
    rng = random.Random(0)
    asked = [{"prompt": f"Question: what is {a} plus {b}? Answer:", "completion": f" {a + b}"}
             for a, b in ((rng.randrange(90), rng.randrange(90)) for _ in range(80))]  # fmt: skip
    write(place / "sums.jsonl", [*asked, {"prompt": "Other question. Answer:", "completion": asked[0]["completion"]}])
    study = SMALL | {
        "sources": SOURCES,
        "tokens": {"vocab_size": 400, "held_out_tokens": 20_000},
        "targets": {
            "flores/eng": {"path": "flores.jsonl", "reader": "jsonl", "language": "en"},
            "sums": {"path": "sums.jsonl", "reader": "jsonl", "prompt_field": "prompt", "weight": 2},
        },
    }
    with (place / "study.yaml").open("w") as file:
        YAML().dump(study, file)
    return place


def config_of(folder):
    return check(YAML(typ="safe").load(folder / "study.yaml"))


def test_targets_are_measured_outside_of_the_mixture_and_weigh_what_is_said(folder):
    config = config_of(folder)
    assert config.languages == ["eng", "spa"]
    assert config.outside == ["flores/eng", "sums"]
    assert config.optimize.weights == {"sums": 2}
    assert config.corpus.described["sums"].text_field == "completion"
    assert StudyConfig.model_validate(config.model_dump(mode="json")) == config


def test_a_target_is_not_called_as_a_source_is():
    with pytest.raises(BadInput, match="are one name"):
        check(SMALL | {"sources": SOURCES, "targets": {"ENG": {"path": "x"}}})


@pytest.fixture(scope="module")
def store(folder):
    config = config_of(folder)
    names = [*config.languages, *config.outside]
    return build_store(folder / "store", open_reader(config.corpus, names, folder), names, config.tokens, 0.1)


def test_all_of_a_target_is_measured_and_nothing_trained_on(store):
    assert store.totals("flores/eng", "held_out")["documents"] == 60
    assert store.totals("flores/eng", "train") == {"documents": 0, "tokens": 0, "bytes": 0, "words": 0}
    assert store.unique_tokens("sums") == 0


def test_only_completions_are_scored_and_only_their_bytes_count(store, folder):
    rows = [json.loads(line) for line in (folder / "sums.jsonl").read_text().splitlines()]
    held, tokenizer = store.held_out("sums"), store.tokenizer()
    assert held.documents == 81 == len(rows)  # the same answer to another question is another document
    assert held.bytes == sum(len(row["completion"].encode()) for row in rows)
    ends = [*held.starts[1:].tolist(), len(held.tokens)]
    told = set()
    for start, end in zip(held.starts.tolist(), ends, strict=True):
        ids, scored = held.tokens[start:end], held.scored[start:end]
        told.add((tokenizer.decode(ids[:-1][~scored[:-1]].tolist()), tokenizer.decode(ids[scored].tolist())))
        assert ids[-1] == store.end_of_document
        assert not scored[-1]
    assert told == {(row["prompt"], row["completion"]) for row in rows}


def by_hand(parameters, shape, text, eod, context):
    """Summed nats of every completion, each from its prompt alone, one document at a time."""
    total, ends = 0.0, [*text.starts[1:].tolist(), len(text.tokens)]
    for start, end in zip(text.starts.tolist(), ends, strict=True):
        ids = [eod, *np.asarray(text.tokens[start:end]).tolist()]
        scored = np.flatnonzero(np.append(False, text.scored[start:end]))
        for place in scored.tolist():  # within the one window that holds the completion, or a further one
            first, last = int(scored[0]), int(scored[-1]) + 1
            begin = max(0, min(last - context - 1, first - 1))
            while place > begin + context:
                begin += context
            window = torch.tensor([[ids[begin : place + 1]]])
            total += float(model.token_losses(parameters, window, shape)[0, 0, -1])
    return total


@pytest.mark.parametrize("context", [8, 16, 64])
def test_losses_are_those_of_each_document_by_itself(context):
    rng = np.random.default_rng(context)
    lengths = [(3, 4), (30, 5), (2, 40), (0, 6), (20, 20), (5, 1)]
    tokens, scored, starts = [], [], []
    for prompt, completion in lengths:
        starts.append(len(tokens))
        tokens += [*rng.integers(1, 50, prompt + completion).tolist(), 0]
        scored += [False] * prompt + [True] * completion + [False]
    text = HeldOutText(np.array(tokens), 100, len(lengths), None, np.array(starts), np.array(scored))
    shape = Shape.of(ProxyConfig(width=16, layers=1, heads=2, context=context), 50)
    parameters = model.init_parameters(shape, [3])
    evaluation = Evaluation({"a": text}, context, end_of_document=0)
    nats = evaluation.losses(parameters, shape)[0, 0] * sum(scored)
    assert nats == pytest.approx(by_hand(parameters, shape, text, 0, context), rel=1e-5)
    assert evaluation.bits_per_byte(np.array([[nats / sum(scored)]]))[0, 0] == pytest.approx(nats / 100 / np.log(2))


def test_training_text_that_a_target_holds_is_left_out(folder, tmp_path):
    shared = [{"text": f"Sentence {k} is about the number {k * k}."} for k in range(0, 60, 2)]
    write(tmp_path / "web.jsonl", [*shared, *({"text": f"own text number {k} with some words"} for k in range(200))])
    write(tmp_path / "flores.jsonl", [{"text": f"Sentence {k} is about the number {k * k}."} for k in range(60)])
    config = check(
        SMALL | {"corpus": {"reader": "jsonl"}, "sources": {"web": "web.jsonl"}, "targets": {"flores": "flores.jsonl"}}
    )
    names = [*config.languages, *config.outside]
    store = build_store(tmp_path / "s", open_reader(config.corpus, names, tmp_path), names, config.tokens, 0.1)
    leaked = store.overlap.leaks["flores"]["web"]
    assert leaked == store.overlap.left_out["web"]
    assert 20 <= leaked <= 30  # those of the thirty that the web's own split does not hold out


@pytest.fixture(scope="module")
def done(folder):
    glotmix("run", folder / "study.yaml", "--out", folder / "out")
    return folder / "out"


def test_targets_reach_laws_objective_and_page(done):
    optimum = json.loads((done / "optimum.json").read_text())
    assert set(optimum["predicted"]) == {"eng", "spa", "flores/eng", "sums"}
    assert optimum["objective"]["weights"] == {"eng": 1.0, "spa": 1.0, "sums": 2.0}
    transfer = json.loads((done / "transfer.json").read_text())["values"]
    assert set(transfer) == {"eng", "spa", "flores/eng", "sums"}
    census = {row["language"]: row for row in json.loads((done / "census.json").read_text())["languages"]}
    assert census["sums"]["unique_tokens"] == 0
    assert census["sums"]["epochs"] is None
    page = (done / "report.html").read_text()
    assert "flores/eng" in page
    assert "sums" in page
