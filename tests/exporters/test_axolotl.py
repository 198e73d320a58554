"""premix.py, run as a stranger would, writes the documents that were simulated."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from glotmix.exporters.axolotl import Axolotl, size_text
from glotmix.exporters.exporter import export
from tests.contracts.exporter import LANGUAGES, THREE_STAGES, request_for


def data(tmp_path, rows):
    """A file of rows per language, and the request for them."""
    for i, name in enumerate(LANGUAGES):
        (tmp_path / f"l{i}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(i, name)))
    return {name: str(tmp_path / f"l{i}.jsonl") for i, name in enumerate(LANGUAGES)}


def premix(tmp_path, request):
    realised = export(Axolotl(), request, tmp_path / "out")
    subprocess.run([sys.executable, str(tmp_path / "out" / "premix.py")], check=True)
    return realised, [json.loads(line) for line in (tmp_path / "out" / "premixed.jsonl").read_text().splitlines()]


def test_the_premixed_file_has_the_simulated_tokens_in_the_order_of_the_schedule(tmp_path):
    lengths = {name: 16 + i for i, name in enumerate(LANGUAGES)}
    paths = data(tmp_path, lambda i, name: [{"text": f"é {name} {n}"} for n in range(5 + i)])
    realised, rows = premix(tmp_path, request_for(THREE_STAGES, paths=paths, tokens_per_document=lengths))
    counts = Counter(row["language"] for row in rows)
    total = sum(lengths[name] * count for name, count in counts.items())
    for name in LANGUAGES:
        assert lengths[name] * counts[name] / total == pytest.approx(realised.realised[name], abs=1e-12)
    first_stage = rows[: len(rows) // 5]
    assert not [row for row in first_stage if row["language"] == LANGUAGES[6]]  # share 0 until a quarter of the run
    texts = [row["text"] for row in rows if row["language"] == "no"]
    assert texts[:6] == ["é no 0", "é no 1", "é no 2", "é no 3", "é no 4", "é no 0"]  # exhausted, it starts over


def test_tokens_come_as_full_sequences_of_which_none_is_lost(tmp_path):
    def rows(i, name):
        return [{"input_ids": [1000 * i + n] * (7 + i + n)} for n in range(5)]

    request = request_for(THREE_STAGES, paths=data(tmp_path, rows))
    _, mixed = premix(tmp_path, request)
    assert len(mixed) == request.sequences  # every step of the trainer reads what the plan says
    assert {len(row["input_ids"]) for row in mixed} == {request.sequence_length}
    assert all(row["labels"] == row["input_ids"] and len(row["attention_mask"]) == 32 for row in mixed)
    for phase in request.phases:
        part = mixed[phase.first_step * 32 : (phase.first_step + phase.steps) * 32]
        counts = Counter(row["language"] for row in part)
        for name, share in phase.mixture.items():
            assert abs(counts[name] - share * len(part)) <= 2
    stream = [token for row in mixed if row["language"] == "on" for token in row["input_ids"]]
    one_pass = [token for row in rows(1, "on") for token in row["input_ids"]]
    assert stream[: 3 * len(one_pass)] == 3 * one_pass  # documents joined end to end, again and again


@pytest.mark.parametrize("linked", [False, True])
def test_what_the_trainer_prepared_of_an_older_mixture_is_not_trained_on(tmp_path, linked):
    paths = data(tmp_path, lambda i, name: [{"text": f"{name} {n}"} for n in range(5)])
    export(Axolotl(), request_for(THREE_STAGES, paths=paths), tmp_path / "out")
    (tmp_path / "mine.yaml").write_text("dataset_prepared_path: last_run_prepared\n")
    environ = {"PATH": "/usr/bin:/bin", "CONFIG": str(tmp_path / "mine.yaml"), "PYTHON": sys.executable}
    subprocess.run(["bash", str(tmp_path / "out" / "launch.sh"), "true"], env=environ, check=True)
    merged = (tmp_path / "out" / "merged-0.yaml").read_text()
    prepared = tmp_path / "out" / "prepared"
    assert f"dataset_prepared_path: {prepared}\n" in merged
    place = tmp_path / "larger disk" if linked else prepared
    (place / "a1b2").mkdir(parents=True)
    (place / "a1b2" / "data.arrow").write_text("of another order")
    if linked:
        prepared.symlink_to(place)
    subprocess.run([sys.executable, str(tmp_path / "out" / "premix.py")], check=True)
    assert list(prepared.iterdir()) == []  # Axolotl would find it there by the file's name


@pytest.mark.parametrize(
    ("size", "text"), [(33_000, "33 kB"), (8.2e12, "8.2 TB"), (7.9e15, "7,900 TB"), (5.0, "5.0 B")]
)
def test_sizes_are_readable(size, text):
    assert size_text(size) == text
