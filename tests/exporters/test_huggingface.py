"""The generated module, run with the real datasets library, draws the rows that were simulated."""

import importlib.util
from collections import Counter

import numpy as np
import pytest

from glotmix.exporters.huggingface import HuggingFace, replay_draws, rows_per_phase
from tests.contracts.exporter import CONSTANT, THREE_STAGES, request_for

datasets = pytest.importorskip("datasets", reason="needs the extra glotmix[hub]")


def load_module(path):
    spec = importlib.util.spec_from_file_location("generated_mixture", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def toy(sizes):
    """``load`` for the generated module: a stream of numbered rows for each path."""

    def rows(path, size):
        for number in range(size):
            yield {"path": path, "number": number}

    return lambda path: datasets.IterableDataset.from_generator(
        rows, gen_kwargs={"path": path, "size": sizes.get(path, 40)}
    )


@pytest.mark.parametrize("schedule", [CONSTANT, THREE_STAGES], ids=["constant", "three stages"])
def test_rows_drawn_by_datasets_are_the_rows_simulated(schedule, tmp_path):
    request = request_for(schedule, tokens=25 * 32 * 32)
    (tmp_path / "mixture.py").write_text(HuggingFace().files(request)["mixture.py"])
    module = load_module(tmp_path / "mixture.py")
    drawn = [row["path"] for row in module.rows(load=toy({}))]
    rows = rows_per_phase(request)
    assert len(drawn) == sum(rows)
    expected = replay_draws([request.documents(phase) for phase in request.phases], rows, request.seed)
    ends = np.cumsum([0, *rows])
    for start, end, count_L in zip(ends, ends[1:], expected, strict=False):
        counted = Counter(drawn[start:end])
        assert [counted[path] for path in module.SOURCES.values()] == count_L.tolist()


def test_each_language_goes_on_where_the_stage_before_left_it(tmp_path):
    request = request_for(THREE_STAGES, tokens=25 * 32 * 32)
    (tmp_path / "mixture.py").write_text(HuggingFace().files(request)["mixture.py"])
    module = load_module(tmp_path / "mixture.py")
    seen = {}
    for row in module.rows(load=toy({"data/no": 7})):
        seen.setdefault(row["path"], []).append(row["number"])
    for path, numbers in seen.items():
        size = 7 if path == "data/no" else 40
        # Without the state of the stage before, numbers would start over at stage changes.
        assert numbers == [i % size for i in range(len(numbers))]
    assert len(seen["data/no"]) > 7


def test_a_language_without_rows_is_named(tmp_path):
    request = request_for(CONSTANT, tokens=25 * 32 * 32)
    (tmp_path / "mixture.py").write_text(HuggingFace().files(request)["mixture.py"])
    module = load_module(tmp_path / "mixture.py")
    empty = module.SOURCES["zh-Hans"]
    with pytest.raises(ValueError, match=f"zh-Hans: no rows in '{empty}'"):
        next(iter(module.rows(load=toy({empty: 0}))))
