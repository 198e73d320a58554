"""What strangers send is read or refused with place and reason; nothing of it runs, hangs or fills the memory."""

import csv
import gzip
import hashlib
import json

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glotmix.artifact import checksum, compare, open_artifact, put
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput, Corrupt
from glotmix.fit.choice import open_fit
from glotmix.measurements import read_runs, write_csv
from glotmix.measurements import table as measurements_table
from glotmix.optimize.optimum import Optimum
from glotmix.reading import streams
from glotmix.studies.mixture.config import load_study
from tests.hostile import TARGETS


@pytest.fixture(scope="module", params=sorted(TARGETS))
def hostile(request, tmp_path_factory):
    return TARGETS[request.param](tmp_path_factory.mktemp(request.param))


def test_what_mutations_start_from_is_read(hostile):
    """Else the fuzzing would see the first line of each reader only."""
    assert hostile(hostile.seeds[0])


@settings(suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_input_gives_anything_but_a_result_or_an_error_with_place_and_reason(hostile, data):
    hostile(data.draw(hostile.strategy()))


@pytest.mark.parametrize(
    ("seed", "told"),
    [
        ("x", "column seed: 'x'"),
        ("nan", "column seed: 'nan'"),
        ("1.5", "column seed: 1.5"),
        ("1e30", "column seed: 1e"),
    ],
)
def test_a_seed_that_is_no_whole_number_is_named(tmp_path, seed, told):
    """The fuzzing's find: such cells went to numpy as they were."""
    (tmp_path / "t.csv").write_text(f"run,seed,p/es,p/fr,loss/es\na,3,0.5,0.5,2\nb,{seed},1,0,2\n")
    with pytest.raises(BadInput, match=rf"t\.csv: run b, {told}"):
        read_runs(tmp_path / "t.csv")


def test_whole_seeds_are_read_however_they_are_written(tmp_path):
    (tmp_path / "t.csv").write_text("run,seed,p/es,p/fr,loss/es\na,3.0,0.5,0.5,2\nb,,1,0,2\n")
    assert read_runs(tmp_path / "t.csv").seed_R.tolist() == [3, 0]


@pytest.mark.parametrize(
    ("shares", "losses", "told"),
    [
        ("run,es,fr\na,0.5,0.5\n,1,0\n", "run,es,fr\na,2,3\nb,3,2\n", r"shares\.csv: row 2, column run: empty"),
        ("run,,fr\na,0.5,0.5\n", "run,es,fr\na,2,3\n", r"shares\.csv: a column has no name"),
        ("run,es,fr\na,0.5,0.5\nb,1,0\n", "run,es,fr\na,2,3\n", "run b and 0 more stand in one table only"),
    ],
)
def test_two_tables_that_do_not_fit_are_refused_with_place_and_reason(tmp_path, shares, losses, told):
    (tmp_path / "shares.csv").write_text(shares)
    (tmp_path / "losses.csv").write_text(losses)
    with pytest.raises(BadInput, match=told):
        read_runs(tmp_path, mixtures=tmp_path / "shares.csv", losses=tmp_path / "losses.csv")


def test_names_of_nothing_but_separators_do_not_multiply_the_work(tmp_path):
    """Every pair of cuts of both tables is compared: of 400 separators in each, 26 thousand million pairs."""
    for name in ("shares", "losses"):
        columns = ",".join(f"{'_' * 200}{group}{'_' * 200}" for group in ("es", "fr"))
        (tmp_path / f"{name}.csv").write_text(f"run,{columns}\na,0.5,0.5\n")
    runs = read_runs(tmp_path, mixtures=tmp_path / "shares.csv", losses=tmp_path / "losses.csv")
    assert runs.languages == runs.targets


def test_a_formula_in_an_exported_table_is_text(tmp_path):
    """What a spreadsheet runs begins with one of six characters; numbers, negative ones too, stay numbers."""
    evil = ["=HYPERLINK('http://x')", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "sound"]
    write_csv(pl.DataFrame({"run": evil, "=evil": [-1.5] * 6, "p/es": [1.0] * 6}), tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["run", "'=evil", "p/es"]
    assert [row[0] for row in rows[1:]] == [f"'{text}" for text in evil[:5]] + ["sound"]
    assert {row[1] for row in rows[1:]} == {"-1.5"}


def test_a_table_of_many_rows_in_few_bytes_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(measurements_table, "MAX_TABLE_ROWS", 100_000)
    rows = pa.table({"run": pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, np.int8)), ["r"])})
    pq.write_table(rows, tmp_path / "t.parquet", compression="zstd")
    assert (tmp_path / "t.parquet").stat().st_size < 5_000
    with pytest.raises(BadInput, match=r"t\.parquet: 200000 rows"):
        read_runs(tmp_path / "t.parquet")


def test_a_file_that_decompresses_to_a_thousand_times_its_size_is_stopped_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "_EXPANSION_FROM", 1 << 20)
    monkeypatch.setattr(streams, "MAX_EXPANSION", 100)
    with gzip.open(tmp_path / "es.jsonl.gz", "wb") as file:
        for _ in range(40):
            file.write(b'{"text": "' + b"a" * 250_000 + b'"}\n')
    reader = open_reader(CorpusConfig(reader="jsonl", path=str(tmp_path)), ["spa_Latn"], tmp_path)
    with pytest.raises(BadInput, match=r"es\.jsonl\.gz: decompresses to over"):
        list(reader.documents("spa_Latn"))


def test_a_column_of_one_text_again_and_again_is_stopped_and_does_not_fill_the_memory(tmp_path, monkeypatch):
    """Eight hundred gigabytes of text in a few kilobytes; a batch of 256 of its rows would be two of them."""
    monkeypatch.setattr(streams, "_EXPANSION_FROM", 1 << 25)
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), ["a" * 8_000_000])
    pq.write_table(pa.table({"text": text}), tmp_path / "es.parquet", compression="zstd")
    assert (tmp_path / "es.parquet").stat().st_size < 50_000
    reader = open_reader(CorpusConfig(reader="parquet", path=str(tmp_path)), ["spa_Latn"], tmp_path)
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(BadInput, match=r"es\.parquet: decompresses to over"):
        list(reader.documents("spa_Latn"))
    assert pa.default_memory_pool().max_memory() - before < 600_000_000


def test_a_line_without_end_is_refused_after_a_bounded_part_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 1000)
    with open(tmp_path / "es.jsonl", "wb") as file:
        file.truncate(10 << 30)  # ten gigabytes of nothing, which take no room on the disk
    reader = open_reader(CorpusConfig(reader="jsonl", path=str(tmp_path)), ["spa_Latn"], tmp_path)
    with pytest.raises(BadInput, match=r"es\.jsonl:1: line too long .*at most 1000 bytes"):
        list(reader.documents("spa_Latn"))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "alias"),
        ("a: &a x\nb: &a x\n", "anchor"),
        ("name: x\nlanguages: [es]\nscale: tiny\nscales: {1: {}}\n", "no scale 'tiny' .expected 1"),
        ("name: x\nlanguages: [es]\nscale: [tiny]\nscales: {tiny: {}}\n", "no scale .'tiny'"),
        ("name: x\nlanguages: [es]\nscale: tiny\nscales: {tiny: 3}\n", "scales is no mapping"),
        ("a: " + "[" * 2_000, "nested too deeply"),
        ("a: !!python/object/apply:os.system [true]\n", "not valid YAML"),
        ("name: x\nlanguages: [es]\ncorpus: {path: ../../etc, unknown: 1}\n", "corpus.unknown"),
        ("x" * 200_001, "at most 200000 bytes"),
    ],
)
def test_study_files_that_mean_harm_are_refused(tmp_path, text, match):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(BadInput, match=match):
        load_study(tmp_path / "s.yaml")


def test_a_manifest_cannot_name_a_file_outside_of_its_artifact(tmp_path):
    (tmp_path / "secret").write_text("s")
    for name in ("../secret", "/etc/passwd", "a/../../secret", "", "x" * 300, "\ud800"):
        files = {name: {"bytes": 1, "sha256": checksum(tmp_path / "secret")}}
        manifest = {"kind": "run", "fingerprint": "x", "made_from": {}, "files": files}
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / "artifact.json").write_text(json.dumps(manifest))
        with pytest.raises(Corrupt, match=r"is no file of it|not allowed"):
            open_artifact(tmp_path / "a", "run")


def test_a_manifest_with_numbers_that_are_none_is_refused(tmp_path):
    for told in ("Infinity", "NaN", "[]", "null", "9" * 5000):
        files = f'{{"x": {{"bytes": {told}, "sha256": "x"}}}}'
        text = f'{{"kind": "run", "fingerprint": "x", "made_from": {{}}, "files": {files}}}'
        (tmp_path / "artifact.json").write_text(text)
        with pytest.raises(Corrupt, match=r"artifact\.json: unreadable"):
            open_artifact(tmp_path, "run")


def test_a_store_of_more_bytes_than_there_are_is_refused(tmp_path):
    """A whole number of JSON may be larger than any of floating point, which a loss divides by."""
    hostile = TARGETS["shards"](tmp_path)
    summary = json.loads(hostile.sound["store.json"])
    summary["languages"]["spa_Latn"]["held_out"]["bytes"] = 1 << 2000
    assert not hostile(bytes([1]) + json.dumps(summary).encode())


def test_a_vocabulary_that_no_tokenizer_has_is_refused(tmp_path):
    """The fuzzing's find: counts over 2³¹ ids took 16 GB and ten seconds."""
    hostile = TARGETS["shards"](tmp_path)
    summary = json.loads(hostile.sound["store.json"])
    assert not hostile(bytes([1]) + json.dumps(summary | {"vocab_size": 1 << 31}).encode())


def test_an_index_whose_metadata_are_no_text_is_read_without_them(tmp_path):
    """The fuzzing's find: polars panics at them."""
    hostile = TARGETS["shards"](tmp_path)
    index = hostile.sound["spa_Latn.train.parquet"]
    assert index.count(b"ARROW:schema") == 1
    assert hostile(bytes([2]) + index.replace(b"ARROW:schema", b"ARROW\xcc\xde\xe2\x92Gma"))


def test_an_index_with_names_that_are_no_unicode_is_refused(tmp_path):
    hostile = TARGETS["shards"](tmp_path)
    index = hostile.sound["spa_Latn.train.parquet"]
    for sound, broken in ((b"offset", b"of\xf5set"), (b"a#1", b"\xff#1")):
        assert index.count(sound) > 1
        assert not hostile(bytes([2]) + index.replace(sound, broken))


def test_a_table_that_changed_on_disk_is_not_read_and_one_that_was_being_replaced_is(tmp_path):
    path, folder = tmp_path / "measurements" / "runs.parquet", tmp_path / "measurements"
    folder.mkdir()
    for value in (1.0, 2.0):
        pl.DataFrame({"run": ["a"], "value": [value]}).write_parquet(folder / "part")
        old = path.read_bytes() if path.exists() else b""
        put(folder / "part", path)
    compare(path)
    note = path.with_name("runs.parquet.sha256")
    new = path.read_bytes()
    both = f"{hashlib.sha256(old).hexdigest()}  runs.parquet\n" + note.read_text()
    for killed_before in (True, False):
        note.write_text(both)
        path.write_bytes(old if killed_before else new)
        compare(path)
    path.write_bytes(new[:-1] + b"\0")
    with pytest.raises(Corrupt, match=r"runs\.parquet: content changed"):
        read_runs(tmp_path)


FIT_CHANGES = {
    "a language that is a number": lambda d: d["languages"].__setitem__(0, 1),
    "a language twice": lambda d: d["languages"].__setitem__(0, d["languages"][1]),
    "a parameter that is missing": lambda d: d["fits"][d["targets"][0]]["theta"].pop(next(iter(d["fits"][d["targets"][0]]["theta"]))),
    "resamples of another length": lambda d: d["fits"][d["targets"][0]]["bootstrap"].__setitem__(0, [1.0]),
    "a target that nothing was fitted to": lambda d: d["targets"].append("de"),
    "unique tokens of one language": lambda d: d.__setitem__("unique", [1.0]),
    "a share that is infinite": lambda d: d["measured"]["p"][0].__setitem__(0, float("inf")),
    "a number that is text": lambda d: d.__setitem__("N", "many"),
}  # fmt: skip


@pytest.mark.parametrize("change", FIT_CHANGES)
def test_a_fitted_law_whose_parts_do_not_fit_together_is_refused(tmp_path, change):
    """Each was a traceback, in the prediction or in the optimiser."""
    sound = json.loads(TARGETS["fit"](tmp_path).seeds[0])
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(sound))
    assert open_fit(path).languages == ("es", "fr")
    FIT_CHANGES[change](sound["fit"])
    path.write_text(json.dumps(sound))
    with pytest.raises(BadInput, match=r"fit\.json: .*expected"):
        open_fit(path)


@pytest.mark.parametrize(
    "change", [("baselines", [{"name": "x"}]), ("targets", [1]), ("spread", {"es": [1]}), ("active", [{}])]
)
def test_an_optimum_whose_parts_do_not_fit_together_is_refused(tmp_path, change):
    sound = json.loads(TARGETS["mixture"](tmp_path).seeds[0])
    Optimum.from_json(sound)
    with pytest.raises(BadInput, match=r"mixture\.json"):
        Optimum.from_json(sound | dict([change]), where="mixture.json")


def test_notes_of_a_study_that_are_damaged_are_named(tmp_path):
    study = TARGETS["results"](tmp_path)
    for number, data in (
        (2, b"[3]"),
        (3, b'{"r0": []}'),
        (4, b"[[]]"),
        (5, b'[{"run": "r0", "role": 1, "schedule": 4}]'),
    ):
        with pytest.raises(BadInput, match=study.files[number]):
            study.read(bytes([number]) + data)
