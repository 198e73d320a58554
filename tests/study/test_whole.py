"""A whole small study: it ends with a report, resumes to the same bytes, and refuses what does not belong to it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import polars as pl
import pytest

from glotmix import cli
from glotmix.artifact import checksum, write_json
from glotmix.errors import BadInput
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.report.frames.accuracy import law_rows
from glotmix.report.frames.cautions import cautions
from glotmix.studies.mixture.config import check
from glotmix.studies.mixture.evidence import evidence_of
from glotmix.studies.mixture.kind import MixtureKind
from glotmix.studies.mixture.pipeline import findings_of
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study.directory import StudyDirectory
from glotmix.tokens.opening import open_store
from tests.contracts.kind import KindContract, Ran
from tests.recomputed import Study, card_of, fixed, large, numbers_in, plain, share, signed, table_of
from tests.recomputed_figures import figures_of_mixture
from tests.study.shell import ran

STUDY = {
    "name": "Small",
    "languages": ["spa_Latn", "rus_Cyrl"],
    "outside": ["por_Latn"],
    "corpus": {"reader": "embedded", "bytes_per_language": 60_000, "held_out": 0.1},
    "tokens": {"vocab_size": 400, "held_out_tokens": 1500},
    "design": {"coalitions": "all", "swarm": 3, "anchors": 1, "anchor_seeds": 1},
    "proxy": {"width": 32, "layers": 1, "heads": 2, "tokens": 8000, "context": 32, "batch": 4, "learning_rate": 5e-3},
    "sweep": {"stack": 4, "workers": 1},
    "fit": {"laws": ["null", "own_ratio", "shapley_law"], "folds": 3, "bootstrap": 5},
    "validation": {"seeds": 2, "baselines": ["natural", "uniform"]},
    "export": ["megatron_lm"],
}
TABLES = (
    "measurements/runs.parquet",
    "measurements/losses.parquet",
    "transfer.json",
    "optimum.json",
    "closed_loop.json",
)


def study(directory, **changes):
    return MixtureStudy.of(check(STUDY | changes), StudyDirectory(directory))


def run(small):
    return ran("mixture", small.config, small.base, small.directory)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    directory = tmp_path_factory.mktemp("study") / "out"
    run(study(directory))
    return directory


def test_a_study_ends_with_a_report_and_every_result_beside_it(done):
    page = (done / "report.html").read_text()
    assert "Spanish" in page
    assert len(page) < 6e6
    runs = pl.read_parquet(done / "measurements" / "runs.parquet")
    assert set(runs["status"]) == {"complete"}
    assert runs["role"].value_counts().sort("role").rows() == [
        ("anchor", 1),
        ("coalition", 3),
        ("swarm", 3),
        ("validation", 6),
    ]
    optimum = json.loads((done / "optimum.json").read_text())
    assert sum(optimum["mixture"].values()) == pytest.approx(1)
    realised = json.loads((done / "export" / "megatron_lm" / "realised.json").read_text())
    assert realised["total_variation"] < 0.05


def test_the_terminal_ends_with_the_verdict_of_the_page_and_the_path(done, capsys, monkeypatch, tmp_path):
    """The same words in both; what is said of the laws and of repetition is true of this study."""
    path = tmp_path / "study.json"
    path.write_text(json.dumps(STUDY))
    monkeypatch.setattr(sys, "argv", ["glotmix", "run", str(path), "--out", str(done)])
    succeed()
    lines = capsys.readouterr().out.replace("\n", " ").split()
    page = (done / "report.html").read_text()
    headline = re.sub(r"<[^>]+>", "", re.search(r'<p class="answer">(.*?)</p>', page, flags=re.S)[1])
    said = " ".join(lines)
    assert " ".join(headline.replace("\u202f", " ").split()) in said.replace("\u202f", " ")
    assert "".join(said.split()).endswith("report.html")
    assert "mixtures kept apart" in page


def test_laws_judged_by_cross_validation_were_judged_and_no_target_run_repeats_nothing(done):
    """What the page says of the held-out check and of repetition is true; its error is the one that chose the law."""
    small = study(done)
    found = findings_of(small, open_store(done / "tokens"), train=False)
    alone = replace(found, judgement=replace(found.judgement, held_out=None))
    evidence = evidence_of(alone)
    titles = {caution.title for caution in cautions(evidence)}
    assert not titles & {"No held-out check", "Repetition was not simulated"}
    assert evidence.simulated_epochs is None  # there is no target run that would read anything more than once
    chosen = next(row for row in law_rows(evidence) if row.chosen)
    assert chosen.error == pytest.approx(found.judgement.crossed.mean(found.judgement.law))


def test_a_report_trains_nothing_where_the_optimum_has_moved(done, tmp_path, capsys, monkeypatch):
    """Other weights, and the study told to report again: its page is of the new optimum, which nobody has measured."""
    moved = shutil.copytree(done, tmp_path / "moved")
    config = json.loads((moved / "study.json").read_text())
    config["optimize"] |= {"objective": "weighted", "weights": {"spa_Latn": 1.0, "rus_Cyrl": 25.0}}
    write_json(moved / "study.json", config)
    before = sorted(path.name for path in (moved / "runs").iterdir())
    monkeypatch.setattr(sys, "argv", ["glotmix", "report", str(moved)])
    succeed()
    assert sorted(path.name for path in (moved / "runs").iterdir()) == before
    told = " ".join(capsys.readouterr().err.split())
    assert "not the ones that closed the loop: `glotmix run` trains them" in told
    assert "predicted and not measured" in " ".join((moved / "report.html").read_text().split())


def test_every_difference_is_told_language_by_language(done):
    loop = json.loads((done / "closed_loop.json").read_text())
    runs = loop["measured"]
    for name, targets in loop["by_target"].items():
        for target, told in targets.items():
            gap = sum(runs[name][target]) / 2 - sum(runs["optimum"][target]) / 2
            assert told["value"] == pytest.approx(gap)
            assert told["low"] <= told["value"] <= told["high"]
            assert told["verdict"] in ("better", "worse", "within the noise")


def test_losses_are_those_of_models_that_learned_their_own_language(done):
    losses = pl.read_parquet(done / "measurements" / "losses.parquet").filter(pl.col("metric") == "bpb")
    table = {(row["run"], row["language"]): row["value"] for row in losses.iter_rows(named=True)}
    for own, other in (("spa", "rus"), ("rus", "spa")):
        tag = {"spa": "spa_Latn", "rus": "rus_Cyrl"}[own]
        assert table[f"coalition-{own}-s0", tag] < 0.9 * table[f"coalition-{other}-s0", tag]


def test_a_ladder_adds_sizes_and_checkpoints_are_kept(tmp_path):
    transformers = pytest.importorskip("transformers")
    design = {"coalitions": "all", "swarm": 2, "ladder": ["60k"], "ladder_tokens": 0.1, "ladder_mixtures": 2}
    changes = {
        "design": design | {"anchors": 0},
        "proxy": STUDY["proxy"] | {"keep_checkpoints": True, "evaluations": 2, "tokens": 4000},
        "fit": STUDY["fit"] | {"laws": ["null", "own_ratio_floored"]},
        "validation": {"seeds": 0},
        "target": {"parameters": 1e6, "tokens": 4000},
    }
    run(study(tmp_path / "one", **changes))
    runs = pl.read_parquet(tmp_path / "one" / "measurements" / "runs.parquet")
    assert sorted(runs.filter(pl.col("role") == "ladder")["D"]) == pytest.approx([6000, 6000], rel=0.2)
    assert runs["N"].n_unique() == 2
    climbed = json.loads((tmp_path / "one" / "scale.json").read_text())["sizes"]
    assert [one["optimum"]["N"] for one in climbed][-1] == 1e6
    assert len(climbed) == 3
    assert any("N = 1e+06 lies far outside" in warning for warning in climbed[-1]["warnings"])
    assert "N = 1e+06 lies far outside" in (tmp_path / "one" / "report.html").read_text()
    kept = sorted((tmp_path / "one" / "runs" / "coalition-full-s0" / "checkpoints").iterdir())
    assert [path.name for path in kept] == ["step-16", "step-31"]
    assert transformers.LlamaForCausalLM.from_pretrained(kept[-1]).config.hidden_size == 32


def test_two_processes_that_share_a_run_measure_what_one_measures(tmp_path):
    def losses(name, **sweep):
        design = {"coalitions": "none", "swarm": 2, "swarm_roles": "fit", "anchors": 0}
        whole = study(tmp_path / name, design=design, sweep={"stack": 2, "workers": 1} | sweep)
        store = whole.tokens()
        runs = whole.plan(store)
        spec = whole.sweep_spec(store, len(runs))
        assert whole.run(runs, spec, "Training") == {}
        return whole.measure(runs, spec, {}).loss_RT

    one, two = losses("one"), losses("two", devices_per_run=2)
    assert two == pytest.approx(one, rel=1e-4)
    with pytest.raises(BadInput, match="batch of 4 over 3 devices"):
        losses("three", devices_per_run=3)


def test_the_size_dial_sets_what_the_file_does_not(tmp_path):
    sizes = {key: value for key, value in STUDY["proxy"].items() if key in ("context", "batch")}
    resolved = MixtureKind().resolved
    config = resolved(check(STUDY | {"proxy": sizes | {"size": "1M"}}))
    assert config.proxy.batch == 4
    assert 0.8e6 < 12 * config.proxy.layers * config.proxy.width**2 < 1.25e6
    assert config.proxy.tokens == pytest.approx(20e6, rel=0.2)
    assert resolved(check(config.model_dump(mode="json"))) == config
    with pytest.raises(BadInput, match="size 'huge'"):
        resolved(check(STUDY | {"proxy": {"size": "huge"}}))


def test_shapley_values_share_out_what_the_full_coalition_gains(done):
    transfer = json.loads((done / "transfer.json").read_text())
    losses = pl.read_parquet(done / "measurements" / "losses.parquet").filter(pl.col("metric") == "bpb")
    for target, values in transfer["values"].items():
        full = losses.filter(
            pl.col("run").is_in(["coalition-full-s0", "anchor-full-s1"]) & (pl.col("language") == target)
        )
        gain = transfer["notes"]["empty_loss"][target] - full["value"].mean()
        assert sum(v["value"] for v in values.values()) == pytest.approx(gain, abs=1e-9)


def test_called_again_it_trains_nothing_and_its_tables_stay_the_same_bytes(done):
    before = {name: checksum(done / name) for name in TABLES}
    made = {path: path.stat().st_mtime_ns for path in (done / "runs").glob("*/run.json")}
    run(study(done))
    assert {name: checksum(done / name) for name in TABLES} == before
    assert {path: path.stat().st_mtime_ns for path in (done / "runs").glob("*/run.json")} == made


def test_laws_and_limits_may_change_between_calls_but_runs_may_not(done, capsys, monkeypatch, tmp_path):
    path = tmp_path / "study.json"  # JSON is YAML
    path.write_text(json.dumps(STUDY | {"proxy": STUDY["proxy"] | {"width": 48}}))
    monkeypatch.setattr(sys, "argv", ["glotmix", "run", str(path), "--out", str(done)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "proxy.width: 32 there, 48 here" in capsys.readouterr().err


def test_status_and_report_read_a_finished_study(done, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["glotmix", "status", str(done), "--json"])
    succeed()
    state = json.loads(capsys.readouterr().out)
    assert (state["complete"], state["planned"]) == (13, 13)
    monkeypatch.setattr(sys, "argv", ["glotmix", "status", str(done)])
    succeed()
    assert "it is finished" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["glotmix", "report", str(done), "--out", str(tmp_path / "again.html")])
    succeed()
    assert (tmp_path / "again.html").read_text().startswith("<!doctype html>")


def test_fit_takes_the_directory_of_a_study(done, capsys, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["glotmix", "fit", str(done), "--law", "own_ratio", "--folds", "3", "--bootstrap", "0", "--json"]
    )
    succeed()
    assert json.loads(capsys.readouterr().out)["chosen"] == "own_ratio"


def test_a_truncated_shard_is_named_and_nothing_is_trained_on_it(tmp_path, monkeypatch, capsys):
    small = study(tmp_path / "out")
    StudyDirectory(small.directory).claim(small.config, MixtureKind.fixed)
    small.tokens()
    shard = tmp_path / "out" / "tokens" / "spa_Latn.train.bin"
    shard.write_bytes(shard.read_bytes()[:-100])
    code, error = called(STUDY, tmp_path, monkeypatch, capsys)
    assert code == 1
    assert "spa_Latn.train.bin" in error
    assert not list((tmp_path / "out").glob("runs/*/run.json"))


def test_killed_again_and_again_it_resumes_to_the_same_bytes(done, tmp_path):
    # Killed at what has appeared, not by a clock: before anything is trained, in the middle of it, in the closed loop.
    for sign in ("study.json", "runs/*/run.json", "optimum.json"):
        process = command(tmp_path / "out", tmp_path)
        while process.poll() is None and not list((tmp_path / "out").glob(sign)):
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stderr.close()
    process = command(tmp_path / "out", tmp_path)
    assert process.wait() == 0, process.stderr.read()
    process.stderr.close()
    for name in TABLES:
        assert checksum(tmp_path / "out" / name) == checksum(done / name), name


def test_a_dry_run_tells_runs_tokens_and_time_and_writes_nothing(tmp_path, monkeypatch, capsys):
    path = tmp_path / "study.json"
    path.write_text(json.dumps(STUDY))
    monkeypatch.setattr(
        sys, "argv", ["glotmix", "run", str(path), "--out", str(tmp_path / "out"), "--dry-run", "--json"]
    )
    succeed()
    cost = json.loads(capsys.readouterr().out)
    assert (cost["runs"], cost["closed_loop_runs"], cost["tokens"]) == (7, 6, 13 * 8000)
    assert cost["flops"] > 6 * cost["N"] * cost["tokens"]
    assert cost["seconds"] > 0
    assert cost["complete"] == 0
    assert not (tmp_path / "out").exists()


def test_a_dry_run_tells_what_an_earlier_call_has_done(tmp_path, monkeypatch, capsys):
    path, out = tmp_path / "study.json", tmp_path / "out"
    path.write_text(json.dumps(STUDY))
    plan = [PlannedRun(f"r{i}", "swarm", Schedule.constant(Mixture({"spa_Latn": 1.0})), 100, i) for i in range(3)]
    write_json(out / "study.json", {})
    write_json(out / "plan.json", [run.to_json() for run in plan])
    for run in plan[:2]:
        write_json(out / "runs" / run.run / "run.json", {"status": "complete", "C": 1.0})
    monkeypatch.setattr(sys, "argv", ["glotmix", "run", str(path), "--out", str(out), "--dry-run"])
    succeed()
    assert "2 runs in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"corpus": {"reader": "plain", "path": "nowhere"}}, "nowhere"),
        ({"corpus": {"reader": "embedded", "bytes_per_language": 300}}, "_"),
        ({"languages": ["spa_Latn", "isl_Latn"]}, "isl_Latn"),
        ({"fit": {"laws": ["magic"]}}, "magic"),
        ({"target": {"tokens": 1e12}}, "sequence"),
    ],
)
def test_what_cannot_be_studied_is_refused_with_a_reason(tmp_path, monkeypatch, capsys, changes, reason):
    code, error = called(STUDY | changes, tmp_path, monkeypatch, capsys)
    assert code == 2, error
    assert reason in error


def called(told, folder, monkeypatch, capsys):
    """Exit code and standard error of ``glotmix run`` that ends early, neither with a traceback."""
    path = folder / "study.json"
    path.write_text(json.dumps(told))
    monkeypatch.setattr(sys, "argv", ["glotmix", "run", str(path), "--out", str(folder / "out")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return end.value.code, error


def succeed():
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code


def command(out, folder):
    path = folder / "study.json"
    path.write_text(json.dumps(STUDY))
    return subprocess.Popen(
        [sys.executable, "-m", "glotmix", "run", str(path), "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


class TestKind(KindContract):
    @pytest.fixture
    def ran(self, done):
        small = study(done)
        return Ran("mixture", small.config, small.base, done)


def test_every_number_of_the_first_screen_follows_from_the_files(done):
    """The card and the tables of differences, computed a second time from JSON and Parquet without the report's code."""
    files, page = Study(done), (done / "report.html").read_text(encoding="utf-8")
    against = "natural"
    allowed = files.allowed_on_the_card(against)
    said = numbers_in(card_of(page))
    assert len(said) > 12
    assert [number for number in said if number not in allowed] == []
    value, low, high = files.change(files.objective(), against)
    told = {
        "use": f"{signed(value)} bpb (95\u202f% interval {signed(low)} to {signed(high)})",
        "keep": f"it gains {fixed(-value, 4)} ({fixed(-high, 4)} to {fixed(-low, 4)}) bpb over {against}",
        "reject": f"{fixed(value)} bpb lower (95\u202f% interval {fixed(low)} to {fixed(high)})",
    }
    verdict = re.search(r'class="card card-(\w+)"', page)[1]
    assert told["use" if verdict == "accept" else verdict] in card_of(page)
    assert verdict == "keep" or not low <= 0 <= high
    rows = {row[0].split()[0]: row for row in table_of(page, "Loss of each language")}
    for name, target in (("Spanish", "spa_Latn"), ("Russian", "rus_Cyrl"), ("Portuguese", "por_Latn")):
        value, low, high = files.change(files.measured(target), against)
        mean = files.measured(target).mean(axis=1)
        told = [fixed(mean[files.mixtures.index(m)]) for m in ("optimum", against)]
        verdict = "gains" if high < 0 else "pays" if low > 0 else "not told apart"
        assert rows[name][3:] == [*told, f"{signed(value)} ({signed(low)} to {signed(high)})", verdict]
    for row in table_of(page, "What the optimum gains over each other mixture"):
        if row[0] in files.mixtures:
            value, low, high = (-x for x in files.change(files.objective(), row[0]))
            assert row[2] == f"{fixed(value, 4)} ({fixed(high, 4)} to {fixed(low, 4)})"
            assert row[3] == ("✓ optimum better" if high > 0 else "✗ optimum worse" if low < 0 else "? not told apart")


def header_of(page, caption):
    """Column names of the table with this caption."""
    found = re.search(rf"<table[^>]*><caption><span>{re.escape(caption)}.*?</thead>", page, flags=re.S)[0]
    heads = re.findall(r"<th[ >].*?</th>", found, flags=re.S)
    return [" ".join(plain(re.sub(r"<small.*?</small>", "", head, flags=re.S)).split()) for head in heads]


def test_every_number_of_the_other_tables_follows_from_the_files(done):
    """Shares, laws' errors, the corpus and the optimum under other aims, computed a second time."""
    files, page = Study(done), (done / "report.html").read_text(encoding="utf-8")
    tags = {"Spanish": "spa_Latn", "Russian": "rus_Cyrl", "Portuguese": "por_Latn"}
    compared, optimum = "Every mixture compared: share of the training tokens", files.optimum["mixture"]
    names = header_of(page, compared)
    laws = files.holdout["held_out"]["scores"]
    called = {law: f"optimum of {law}" for law in laws}
    shares = {called.get(b["name"], b["name"]): b["mixture"] for b in files.optimum["baselines"]} | {"optimum": optimum}
    for row in table_of(page, compared):
        tag, told = tags[row[0].split()[0]], dict(zip(names, row, strict=True))
        low, high = files.optimum["spread"][tag]
        assert told["as good"] == f"{100 * low:.1f}–{100 * high:.1f}\u202f%"
        assert told["epochs, optimum"] == fixed(files.passes(tag), 2)
        assert {name: told[name] for name in shares} == {name: share(p[tag]) for name, p in shares.items()}
    errors = "Held-out error of every law (%), the best in bold"
    names = header_of(page, errors)[1:]
    assert set(names) == set(laws)
    for row in table_of(page, errors):
        told = files.law_errors(tags[row[0].split()[0]])
        assert row[1:] == [told[law] for law in names]
    corpus = "Census of the corpus"
    names = header_of(page, corpus)
    for row in table_of(page, corpus):
        tag, told = tags[row[0].split()[0]], dict(zip(names, row, strict=True))
        counted = next(one for one in files.census["languages"] if one["language"] == tag)
        assert told["documents"] == f"{counted['documents']:,}".replace(",", "\u202f")
        assert (told["bytes"], told["unique tokens"]) == (large(counted["bytes"]), large(counted["unique_tokens"]))
        for name in ("fertility", "bytes per token", "byte premium", "tokens per byte", "parity"):
            assert told[name] == fixed(counted[name.replace(" ", "_")], 2)
        assert told["epochs, optimum"] == (fixed(files.passes(tag), 2) if tag in optimum else "–")
    aims = "The optimum under other aims"
    languages = [tags[name] for name in header_of(page, aims)[1:-1]]
    for row in table_of(page, aims):
        told = dict(zip(languages, map(of_percent, row[1:-1]), strict=True))
        assert sum(told.values()) == pytest.approx(1, abs=1.1e-3)
        moved = sum(abs(told[tag] - optimum[tag]) for tag in languages) / 2
        assert of_percent(row[-1]) == pytest.approx(moved, abs=1.1e-3)
        if row[0] == "every language alike":  # what this study asks
            assert of_percent(row[-1]) == 0


def test_every_number_of_the_figures_follows_from_the_files(done):
    """Data, headings and numbers drawn: changes, shares, values of the game, errors of laws, points of runs, jobs."""
    seen = figures_of_mixture(done, "natural")
    assert seen == {"languages", "mixture", "loop", "timeline", "transfer", "waterfall", "interactions", "front", "laws", "prediction", "share"}  # fmt: skip


def of_percent(text):
    """The share that a cell tells; "< 0.01 %" is nothing."""
    return 0.0 if text.startswith("<") else float(text.split("\u202f")[0]) / 100
