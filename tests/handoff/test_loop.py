"""A study whose runs somebody else trains, from the first call to the page."""

import json
import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from glotmix.cli import main
from glotmix.config import checked
from glotmix.errors import BadInput, Waiting
from glotmix.handoff.collect import collect
from glotmix.measurements import Measurements, read_runs
from glotmix.studies.mixture.config import StudyConfig
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study.directory import StudyDirectory
from tests.handoff.planted import losses, train, waiting, write_lines
from tests.study.shell import ran

STUDY = {
    "name": "Foreign",
    "languages": ["spa_Latn", "rus_Cyrl"],
    "outside": ["por_Latn"],
    "corpus": {"reader": "embedded", "bytes_per_language": 60_000, "held_out": 0.2},
    "tokens": {"vocab_size": 300, "held_out_tokens": 1000},
    "design": {"coalitions": "all", "swarm": 4, "swarm_roles": "fit", "anchors": 1, "anchor_seeds": 2},
    "proxy": {"width": 32, "layers": 1, "heads": 2, "tokens": 50_000, "context": 32, "batch": 8},
    "fit": {"laws": ["null", "shapley_law"], "bootstrap": 0, "folds": 3},
    "validation": {"seeds": 2, "baselines": ["natural"]},
    "sweep": {
        "executor": "external",
        "trainer": "megatron_lm",
        "command": "bash train.sh {run_dir} {arguments} --name {run}",
    },
}
PLANNED = 8


def config(**changes):
    return checked(StudyConfig, STUDY | changes)


def call(out, **changes):
    """One call of `glotmix run`: the page, or the runs that are waited for."""
    try:
        return ran("mixture", config(**changes), out.parent, out)
    except Waiting as waits:
        return waits.runs


@pytest.fixture(scope="module")
def handed_off(tmp_path_factory):
    """A study that waits for its first runs."""
    out = tmp_path_factory.mktemp("study") / "out"
    assert len(call(out)) == PLANNED
    return out


@pytest.fixture
def study(handed_off, tmp_path):
    """The same in a directory of its own: on another machine, so to speak."""
    return shutil.copytree(handed_off, tmp_path / "elsewhere" / "out")


@pytest.fixture(scope="module")
def finished(handed_off, tmp_path_factory):
    out = shutil.copytree(handed_off, tmp_path_factory.mktemp("finished") / "out")
    train(out / "handoff")
    assert len(call(out)) == 4  # optimum and natural, two seeds each
    train(out / "handoff", name="loop")
    assert call(out) == out / "report.html"
    return out


def test_a_run_has_the_trainers_files_seed_sizes_and_a_script(handed_off):
    handoff = handed_off / "handoff"
    names = waiting(handoff)
    assert len(names) == PLANNED
    for name in names:
        folder = handoff / "runs" / name
        asked = json.loads((folder / "asked.json").read_text())
        assert (folder / "blend-1.txt").is_file()
        assert asked["D"] == asked["steps"] * 8 * 32
        assert asked["realised"] == {
            language: one["realised"]
            for language, one in json.loads((folder / "realised.json").read_text())["languages"].items()
        }
        script = (handoff / "commands" / f"{name}.sh").read_text()
        assert f"--name {name}" in script
        assert "--hidden-size 32" in script
        assert '"$RUN_DIR"' in script
    assert [row["text"] for row in map(json.loads, (handoff / "held_out" / "spa_Latn.jsonl").read_text().splitlines())]


def test_the_command_line_says_so_in_one_line_and_ends_with_3(handed_off, tmp_path, capsys, monkeypatch):
    from glotmix.artifact import write_text

    study = tmp_path / "study.yaml"
    write_text(study, json.dumps(STUDY))
    monkeypatch.setattr(sys, "argv", ["glotmix", "run", str(study), "--out", str(handed_off)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last == f"{PLANNED} runs wait for your trainer: {handed_off}/handoff/README.md"


def test_it_goes_through_to_the_page_and_realised_shares_are_what_is_measured(finished):
    table = pl.read_parquet(finished / "measurements" / "runs.parquet")
    assert table.height == PLANNED + 4
    assert set(table["status"]) == {"complete"}
    collected = {one.asked.run: one for one in collect(finished / "handoff").runs.values()}
    for row in table.filter(pl.col("role") == "swarm").iter_rows(named=True):
        assert row["p/spa_Latn"] == pytest.approx(collected[row["run"]].asked.realised["spa_Latn"], abs=1e-12)
    apart = [one.asked.realised["spa_Latn"] - one.asked.wished["spa_Latn"] for one in collected.values()]
    assert max(map(abs, apart)) > 1e-5  # the trainer rounds, so that this can fail
    measured = read_runs(finished)
    for r, run in enumerate(measured.runs):
        told = losses(collected[run].asked, measured.targets)
        assert [told[target] for target in measured.targets] == pytest.approx(measured.loss_RT[r].tolist(), rel=1e-12)
    assert json.loads((finished / "closed_loop.json").read_text())["differences"]


def test_called_again_nothing_changes(finished):
    paths = [path for path in sorted((finished / "handoff").rglob("*")) if path.is_file()]
    before = {path: path.read_bytes() for path in paths}
    tables = {path: path.read_bytes() for path in sorted((finished / "measurements").iterdir())}
    assert call(finished) == finished / "report.html"
    assert {path: path.read_bytes() for path in sorted((finished / "measurements").iterdir())} == tables
    after = {path: path.read_bytes() for path in sorted((finished / "handoff").rglob("*")) if path.is_file()}
    changed = {path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed <= {"README.md", "waiting.txt", "runs.csv", "slurm.sh"}  # what is needed now


def test_part_of_the_results_are_kept_and_the_rest_is_waited_for(study):
    names = waiting(study / "handoff")
    train(study / "handoff", names[:4], name="first")
    assert set(call(study)) == {name.rpartition(".")[0] for name in names[4:]}
    (study / "handoff" / "results" / "first.csv").unlink()  # what was collected is ours
    train(study / "handoff", name="second")
    assert all(run.startswith("validation") for run in call(study))


def test_a_page_from_the_runs_so_far_says_that_it_is_one(study, capsys):
    names = waiting(study / "handoff")
    train(study / "handoff", names[:-1], name="first")
    assert call(study) == (names[-1].rpartition(".")[0],)
    assert "Preliminary: 1 of 8 runs still wait" in (study / "report.html").read_text()
    assert "7 runs so far" in " ".join(capsys.readouterr().err.split())
    made = (study / "report.html").stat().st_mtime_ns
    call(study)
    assert (study / "report.html").stat().st_mtime_ns == made  # nothing new has come
    train(study / "handoff", names[-1:], name="last")
    call(study)
    assert "Preliminary: " not in (study / "report.html").read_text()


def test_too_few_runs_for_a_law_are_refused_in_words(study):
    names = waiting(study / "handoff")
    train(study / "handoff", names[:1])
    lost = [{"run": name, "status": "failed", "reason": "lost"} for name in names[1:]]
    write_lines(study / "handoff" / "results" / "lost.jsonl", lost)
    with pytest.raises(BadInput) as refused:
        call(study)
    assert "coalition" in str(refused.value)


def test_a_coalition_that_is_lost_leaves_values_that_are_estimated(tmp_path, capsys):
    languages = ["spa_Latn", "rus_Cyrl", "fra_Latn"]
    mixtures = MixtureStudy.of(config(languages=languages), StudyDirectory(tmp_path))

    class Store:
        def unigram_bits_per_byte(self, target):
            return 4.0

    inside_RL = np.array([[(k >> i) & 1 for i in range(3)] for k in range(1, 8)], dtype=float)
    losses_RT = 3.0 - inside_RL @ np.array([[1.0, 0.3, 0.2], [0.2, 1.1, 0.1], [0.3, 0.2, 0.9]]) * 0.8

    def measured(kept):
        n = len(kept)
        return Measurements(
            tuple(f"run{k}" for k in kept), tuple(languages), (*languages, "por_Latn"),
            inside_RL[kept] / inside_RL[kept].sum(axis=1, keepdims=True),
            np.column_stack([losses_RT[kept], losses_RT[kept].mean(axis=1)]),
            np.full(n, 1e4), np.full(n, 5e4), np.zeros(n, dtype=int), ("coalition",) * n,
        )  # fmt: skip

    assert mixtures.transfer(measured(list(range(7))), Store()).method.startswith("exact")
    assert not mixtures.transfer(measured([0, 1, 3, 4, 5, 6]), Store()).method.startswith("exact")
    assert "Shapley values are estimated" in capsys.readouterr().err


def test_a_run_that_failed_elsewhere_is_left_out_and_told(study, capsys):
    names = waiting(study / "handoff")
    lost = next(name for name in names if name.startswith("swarm"))
    train(study / "handoff", [name for name in names if name != lost])
    write_lines(
        study / "handoff" / "results" / "lost.jsonl", [{"run": lost, "status": "failed", "reason": "node fell over"}]
    )
    assert all(run.startswith("validation") for run in call(study))
    table = pl.read_parquet(study / "measurements" / "runs.parquet")
    assert table.filter(pl.col("status") == "failed")["reason"].to_list() == ["node fell over"]
    assert "node fell over" in capsys.readouterr().err


def test_what_is_refused_is_told_and_still_waited_for(study, capsys):
    names = waiting(study / "handoff")
    rows = train(study / "handoff")
    rows[0]["D"] *= 1.02
    write_lines(
        study / "handoff" / "results" / "results.jsonl",
        [
            {
                "run": row["run"],
                "D": row["D"],
                "bits_per_byte": {k.partition("/")[2]: v for k, v in row.items() if "/" in k},
            }
            for row in rows
        ],
    )
    (study / "handoff" / "results" / "results.csv").unlink()
    assert call(study) == (names[0].rpartition(".")[0],)
    said = capsys.readouterr().err
    assert "refused" in said
    assert "102 %" in " ".join(said.split())
    assert "refused" in (study / "handoff" / "README.md").read_text().lower()


def test_scripts_run_what_waits_and_go_on_after_a_failure(study):
    handoff = study / "handoff"
    (study / "train.sh").write_text(
        'echo "$GLOTMIX_RUN" >>"$2"\n[ "$GLOTMIX_RUN" != "$(sed -n 3p "$3")" ] || [ -e "$4" ]\n'
    )
    sweep = STUDY["sweep"] | {
        "command": f"bash {study}/train.sh {{run_dir}} {study}/log {handoff}/waiting.txt {study}/mended"
    }
    call(study, sweep=sweep)
    names = waiting(handoff)
    assert subprocess.run(["bash", str(handoff / "loop.sh")], check=False, capture_output=True).returncode != 0
    (study / "mended").touch()
    subprocess.run(["bash", str(handoff / "loop.sh")], check=True, capture_output=True)
    assert (study / "log").read_text().split() == [*names[:3], *names[2:]]
    subprocess.run(
        ["bash", str(handoff / "slurm.sh")], check=True, capture_output=True,
        env={"SLURM_SUBMIT_DIR": str(handoff), "SLURM_ARRAY_TASK_ID": "2", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert len((study / "log").read_text().split()) == len(names) + 1  # it ended well before


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"executor": "external"}, "sweep.trainer"),
        ({"executor": "external", "trainer": "megatron_lm", "command": "train {oops} {run}"}, "{oops}"),
        ({"executor": "external", "trainer": "megatron_lm", "command": "train"}, "same for every run"),
    ],
)
def test_a_study_that_cannot_be_handed_off_is_refused_before_it_begins(tmp_path, sweep, said):
    with pytest.raises(BadInput, match=said):
        ran("mixture", config(sweep=sweep), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_active_design_hands_off_batch_after_batch(tmp_path):
    active = {"aim": "optimum", "batch": 2, "runs": 12, "tolerance": 1e-7}
    changes = {
        "design": STUDY["design"] | {"active": active},
        "fit": STUDY["fit"] | {"bootstrap": 20},
        "validation": {"seeds": 0},
    }
    out, asked = tmp_path / "out", []
    while not isinstance(waits := call(out, **changes), type(out)):
        asked.append(waits)
        train(out / "handoff", name=f"batch-{len(asked)}")
    assert len(asked[0]) == PLANNED
    assert [len(batch) for batch in asked[1:]] == [2] * len(asked[1:])
    assert all(run.startswith("active-") for batch in asked[1:] for run in batch)
    assert PLANNED + 2 * len(asked[1:]) <= 12
    assert len(asked) > 1


def test_parts_of_the_data_and_prompts_are_handed_off_under_their_names(tmp_path):
    rng = np.random.default_rng(0)
    words = ["mto", "nyumba", "samaki", "habari", "jua", "mwezi", "kitabu", "safari"]
    for name in ("web", "code"):
        rows = [{"text": " ".join(rng.choice(words, 40))} for _ in range(120)]
        write_lines(tmp_path / f"{name}.jsonl", rows)
    asked = [{"question": f"{word} ni nini? ", "completion": " ".join(rng.choice(words, 12))} for word in words * 6]
    write_lines(tmp_path / "quiz.jsonl", asked)
    changes = {
        "languages": [],
        "outside": [],
        "sources": {"swh/web-high": "web.jsonl", "code": "code.jsonl"},
        "targets": {"quiz/swh": {"path": "quiz.jsonl", "prompt_field": "question"}},
        "corpus": {"reader": "files", "held_out": 0.2},
    }
    study = {key: value for key, value in (STUDY | changes).items() if key not in ("languages", "outside")}
    with pytest.raises(Waiting):
        ran("mixture", checked(StudyConfig, study), tmp_path, tmp_path / "out")
    handoff = tmp_path / "out" / "handoff"
    assert {path.name for path in (handoff / "held_out").iterdir()} == {
        "swh~web-high.jsonl",
        "code.jsonl",
        "quiz~swh.jsonl",
    }
    told = [json.loads(line) for line in (handoff / "held_out" / "quiz~swh.jsonl").read_text().splitlines()]
    assert {(one["prompt"], one["completion"]) for one in told} <= {(a["question"], a["completion"]) for a in asked}
    about = json.loads((handoff / "handoff.json").read_text())
    assert about["sources"] == ["swh/web-high", "code"]
    assert about["targets"] == ["swh/web-high", "code", "quiz/swh"]
    train(handoff)
    found = collect(handoff)
    assert found.refused == ()
    assert found.measurements().targets == ("swh/web-high", "code", "quiz/swh")
