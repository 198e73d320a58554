"""Splits name a data set as often as it is read, so that fractions take away almost nothing."""

import json

import numpy as np
import pytest

from glotmix.exporters import all_exporters
from glotmix.exporters.exporter import export
from glotmix.exporters.trl import Trl, _split, kept_rows, splits
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from tests.contracts.exporter import THREE_STAGES, request_for


@pytest.mark.parametrize(
    ("count", "rows", "split", "named"),
    [
        (10, 1000, "train[:10]", 10),
        (870, 1000, "train[:87%]", 870),
        (1000, 1000, "train", 1000),
        (2370, 1000, "train+train+train[:37%]", 2370),
        (38, 37, "train+train[:3%]", 38),  # 3 % of 37 rows are rounded to one row
        (36, 37, "train[:98%]", 36),
    ],
)
def test_a_split_names_at_least_the_rows_that_are_read(count, rows, split, named):
    assert _split(count, rows) == (split, named)
    assert named >= count


def test_splits_are_read_by_datasets_as_they_are_meant(tmp_path):
    datasets = pytest.importorskip("datasets")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.jsonl").write_text("".join(f'{{"text": "{i}"}}\n' for i in range(37)))
    for count in (3, 20, 36, 37, 38, 100):
        split, named = _split(count, 37)
        data = datasets.load_dataset(str(tmp_path / "rows"), split=split, cache_dir=str(tmp_path / "cache"))
        assert len(data) == named


def test_the_mixture_is_as_large_as_the_stage_where_fractions_alone_would_leave_a_hundredth():
    schedule = Schedule.constant(Mixture({"big": 0.5, "small": 0.5}))
    request = request_for(schedule, unique={"big": 1e7, "small": 1e3}, tokens_per_document={"big": 50.0, "small": 50.0})
    phase = request.phases[0]
    q_L = request.documents(phase)
    alone = kept_rows(q_L, np.array([request.rows(name) for name in request.languages]))
    named = kept_rows(q_L, np.array([rows for _, rows in splits(request, phase)]))
    wanted = request.sequences * request.sequence_length / 50.0
    assert alone.sum() / wanted < 0.01
    assert 0.999 < named.sum() / wanted < 1.001  # to within a row of each language


def test_the_mixture_holds_the_stage_where_many_languages_have_a_few_rows():
    schedule = Schedule.constant(Mixture.normalised({f"l{i:02}": (i + 1) ** -2.0 for i in range(40)}))
    request = request_for(schedule, tokens=400 * 32 * 64, sequence_length=64)
    phase = request.phases[0]
    kept_L = kept_rows(request.documents(phase), np.array([rows for _, rows in splits(request, phase)]))
    assert 0.999 < (kept_L * request.lengths()).sum() / (request.sequences * request.sequence_length) < 1.02


def test_documents_are_split_and_not_cut_off(tmp_path):
    export(Trl(), request_for(THREE_STAGES), tmp_path)
    assert all('packing_strategy: "bfd_split"' in (tmp_path / f"mixture-{i}.yaml").read_text() for i in range(3))


def test_llama_factory_takes_counts_that_hold_the_stage(tmp_path):
    exporter = all_exporters()["llama_factory"]
    request = request_for(THREE_STAGES)
    export(exporter, request, tmp_path)
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    for i, phase in enumerate(request.phases):
        tokens = sum(
            entry["num_samples"] * request.tokens_per_document[name.removeprefix(f"stage {i} ")]
            for name, entry in info.items()
            if name.startswith(f"stage {i} ")
        )
        assert tokens / (phase.steps * request.batch * request.sequence_length) == pytest.approx(1, abs=0.01)
