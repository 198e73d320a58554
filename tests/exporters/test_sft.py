"""Where a document is a sequence: what is cut off is made up for, and the order is the schedule's."""

import importlib.util
import itertools
import json
from collections import Counter

import numpy as np
import pytest

from glotmix.exporters import all_exporters
from glotmix.exporters.exporter import export
from glotmix.exporters.sft import conversations, steps_of_conversations
from tests.contracts.exporter import THREE_STAGES, possible, request_for

LENGTHS = {name: 8.0 + 3 * i for i, name in enumerate(THREE_STAGES.languages)}


@pytest.mark.parametrize("name", ["open_instruct", "tinker_cookbook"])
def test_what_a_trainer_cuts_off_is_made_up_for_by_more_conversations(name, tmp_path):
    exporter = all_exporters()[name]
    schedule = possible(exporter, THREE_STAGES)
    long = {"on": [16.0] * 9 + [1000.0]}  # mean 114.4, of which 17.6 are kept at 32
    request = request_for(schedule, tokens_per_document={**LENGTHS, "on": 114.4}, document_lengths=long)
    assert request.kept_lengths()[request.languages.index("on")] == pytest.approx(17.6)
    realised = export(exporter, request, tmp_path)
    assert realised.total_variation < 2e-3  # taken for the mean, "on" would get a sixth of its share
    assert any("was not measured for" in remark for remark in realised.remarks)
    measured = request_for(
        schedule,
        tokens_per_document={**LENGTHS, "on": 114.4},
        document_lengths={**{name: [length] for name, length in LENGTHS.items()}, **long},
    )
    (remark,) = export(exporter, measured, tmp_path).remarks
    assert "85 % of on is beyond 32 tokens and cut off" in remark


def test_every_step_is_a_whole_batch_and_steps_follow_from_the_lengths():
    request = request_for(THREE_STAGES, tokens_per_document=LENGTHS)
    counts = conversations(request)
    assert all(count_L.sum() % request.batch == 0 for count_L in counts)
    assert steps_of_conversations(request)[-1] == sum(int(count_L.sum()) for count_L in counts) // request.batch
    tokens = sum(float(count_L @ request.kept_lengths()) for count_L in counts)
    assert tokens == pytest.approx(request.sequences * request.sequence_length, rel=0.01)


def test_the_cookbooks_rows_follow_the_schedule_and_no_row_comes_again_before_all_have(tmp_path):
    datasets = pytest.importorskip("datasets")
    request = request_for(THREE_STAGES, tokens=30 * 32 * 32, tokens_per_document=LENGTHS)
    export(all_exporters()["tinker_cookbook"], request, tmp_path)
    spec = importlib.util.spec_from_file_location("generated", tmp_path / "mixture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    size = 40
    names = {path: name for name, path in module.SOURCES.items()}

    def load(path):
        rows = [{"messages": [{"role": "user", "content": json.dumps([names[path], n])}]} for n in range(size)]
        return datasets.Dataset.from_list(rows)

    read = [tuple(json.loads(row["messages"][0]["content"])) for row in module.rows(load)]
    start = 0
    for counts in module.STAGES:
        part = read[start : start + sum(counts.values())]
        assert Counter(name for name, _ in part) == counts
        start += len(part)
    assert start == len(read) == module.LAST_STEPS[-1] * module.BATCH_SIZE
    for name in module.SOURCES:
        seen = [number for language, number in read if language == name]
        for turn in range(0, len(seen), size):
            assert len(set(seen[turn : turn + size])) == len(seen[turn : turn + size])
    first = [name for name, _ in read[:200]]
    assert np.mean([a == b for a, b in itertools.pairwise(first)]) < 0.6  # mixed, not one after the other
