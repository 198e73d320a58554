"""premix.py, run as a stranger would, writes the documents that were simulated."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from glotmix.exporters.axolotl import Axolotl
from glotmix.exporters.exporter import export
from tests.contracts.exporter import LANGUAGES, THREE_STAGES, request_for


def test_the_premixed_file_has_the_simulated_tokens_in_the_order_of_the_schedule(tmp_path):
    lengths = {name: 16 + i for i, name in enumerate(LANGUAGES)}
    paths = {name: str(tmp_path / f"l{i}.jsonl") for i, name in enumerate(LANGUAGES)}
    for i, name in enumerate(LANGUAGES):
        rows = [{"text": f"é {name} {n}", "input_ids": [0] * lengths[name]} for n in range(5 + i)]
        (tmp_path / f"l{i}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    request = request_for(THREE_STAGES, paths=paths, tokens_per_document=lengths)
    realised = export(Axolotl(), request, tmp_path / "out")
    subprocess.run([sys.executable, str(tmp_path / "out" / "premix.py")], check=True)
    rows = [json.loads(line) for line in (tmp_path / "out" / "premixed.jsonl").read_text().splitlines()]
    counts = Counter(row["language"] for row in rows)
    total = sum(lengths[name] * count for name, count in counts.items())
    for name in LANGUAGES:
        assert lengths[name] * counts[name] / total == pytest.approx(realised.realised[name], abs=1e-12)
    first_stage = rows[: len(rows) // 5]
    assert not [row for row in first_stage if row["language"] == LANGUAGES[6]]  # share 0 until a quarter of the run
    texts = [row["text"] for row in rows if row["language"] == "no"]
    assert texts[:6] == ["é no 0", "é no 1", "é no 2", "é no 3", "é no 4", "é no 0"]  # exhausted, it starts over
