"""The grid is planned before anything is trained: the paper's 152 models, nested data, and named errors."""

import pytest
from pydantic import ValidationError

from benchmarks.posttrainer import XLSUM_JAPANESE, pool
from glotmix.errors import BadInput
from glotmix.posttraining.data import TaskConfig, prepare
from glotmix.posttraining.grid import Cell, GridConfig, Selection, cells, largest, paper_cells
from glotmix.posttraining.tasks import find_task

LANGUAGES = ["spa_Latn", "rus_Cyrl"]


def grid(**changes):
    return GridConfig(**{"samples": [0, 5, 20], "pivot_samples": 10, "seeds": 2} | changes)


def test_the_papers_152_models_have_their_counts():
    planned = paper_cells()
    assert len(planned) == len({cell.name for cell in planned}) == 152
    for cell in planned:
        n, languages = cell.size, len(cell.languages)
        assert cell.samples == (15_000 + 12 * n if len(cell.tasks) == 3 else 10_000 + languages * n)
    assert sum(len(cell.tasks) == 3 for cell in planned) == 32
    assert sum(len(cell.languages) == 2 for cell in planned) == 48
    assert max(cell.samples for cell in planned) == 99_000  # the text says 75,000


def test_every_manifest_is_built_without_training_and_nested():
    planned = [cell for cell in paper_cells() if cell.base == "aya-35b" and cell.size <= 1000]
    selection = Selection(pool(planned), "eng_Latn")
    before = {}
    for cell in planned:
        manifest = selection.manifest(cell)
        assert sum(len(ids) for of in manifest["ids"].values() for ids in of.values()) == cell.samples
        for task, by_language in manifest["ids"].items():
            for language, ids in by_language.items():
                assert len(set(ids)) == len(ids)
                key = (cell.base, cell.tasks, cell.mix, task, language)
                assert set(before.get(key, ())) <= set(ids)
                before[key] = ids


def test_japanese_summaries_are_the_ceiling_of_the_papers_grid():
    largest_cell = max(paper_cells(), key=lambda cell: cell.samples)
    assert largest_cell.size == 7000 < XLSUM_JAPANESE
    with pytest.raises(BadInput, match=r"summarisation has 6999 training samples of jpn_Jpan \(expected at least 7000"):
        Selection(pool([largest_cell], japanese=6999), "eng_Latn")(largest_cell)


def test_the_cell_without_other_languages_is_trained_once_or_once_per_mix():
    mixes = {"latin": ["spa_Latn"], "other": ["rus_Cyrl"]}
    once = cells(grid(mixes=mixes), ["mathematics"], ["tiny"], LANGUAGES)
    repeated = cells(grid(mixes=mixes, repeat_zero=True), ["mathematics"], ["tiny"], LANGUAGES)
    assert sum(cell.size == 0 for cell in once) == 2  # a seed each
    assert sum(cell.size == 0 for cell in repeated) == 4
    assert len(once) == 2 * (1 + 2 * 2)


def test_tasks_are_trained_apart_or_together():
    apart = cells(grid(), ["mathematics", "instructions"], ["tiny"], LANGUAGES)
    together = cells(grid(together=True), ["mathematics", "instructions"], ["tiny"], LANGUAGES)
    assert {cell.tasks for cell in apart} == {("mathematics",), ("instructions",)}
    assert {cell.tasks for cell in together} == {("mathematics", "instructions")}
    assert together[-1].samples == 2 * (10 + 2 * 20)
    assert Cell.from_json(together[-1].to_json()) == together[-1]


def test_smaller_cells_lie_inside_larger_ones_of_their_seed():
    planned = cells(grid(), ["mathematics"], ["tiny"], LANGUAGES)
    task = find_task("mathematics")
    there = {"mathematics": {tag: task.embedded(tag, "train", 40) for tag in ("eng_Latn", *LANGUAGES)}}
    selection = Selection(there, "eng_Latn")
    by_name = {cell.name: {(s.language, s.id) for s in selection(cell)} for cell in planned}
    for seed in (0, 1):
        small, large = (by_name[f"mathematics-tiny-n{n}-s{seed}"] for n in (5, 20))
        assert small < large
    assert by_name["mathematics-tiny-n20-s0"] != by_name["mathematics-tiny-n20-s1"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"samples": [5, 10]}, "0 among them"),
        ({"samples": [0, 5, 5]}, "none twice"),
        ({"samples": [0, -1]}, "negative"),
    ],
)
def test_sizes_without_a_zero_or_twice_are_refused(changes, error):
    with pytest.raises(ValidationError, match=error):
        grid(**changes)


def test_a_grid_that_names_what_the_study_does_not_have_is_refused():
    with pytest.raises(BadInput, match=r"grids.mixes.odd: 'fra_Latn'"):
        cells(grid(mixes={"odd": ["fra_Latn"]}), ["mathematics"], ["tiny"], LANGUAGES)
    with pytest.raises(BadInput, match=r"grids.bases: 'large'"):
        cells(grid(bases=["large"]), ["mathematics"], ["tiny"], LANGUAGES)


def test_data_are_prepared_once_and_the_same_for_more_seeds(tmp_path):
    tasks = {"mathematics": TaskConfig(test_samples=6, validation_samples=3)}
    measured = ("eng_Latn", *LANGUAGES, "por_Latn")
    planned = cells(grid(), list(tasks), ["tiny"], LANGUAGES)
    first = prepare(tmp_path / "data", tasks, planned, "eng_Latn", measured, tmp_path)
    more = cells(grid(seeds=5), list(tasks), ["tiny"], LANGUAGES)
    assert prepare(tmp_path / "data", tasks, more, "eng_Latn", measured, tmp_path).fingerprint == first.fingerprint
    assert largest(planned, "eng_Latn", "mathematics", "spa_Latn") == 20
    assert len(first.samples("mathematics", "train", "spa_Latn")) >= 20
    assert first.samples("mathematics", "train", "por_Latn") == []
    assert len(first.samples("mathematics", "test", "por_Latn")) == 6
    test, train = ({s.id for s in first.samples("mathematics", split, "spa_Latn")} for split in ("test", "train"))
    assert not test & train
