"""What comes back from a foreign trainer: matched by name and checksum, or refused by name. Nothing by position."""

import json
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glotmix.errors import BadInput
from glotmix.handoff.check import check
from glotmix.handoff.collect import collect
from glotmix.handoff.results import Reported
from tests.handoff.planted import ABOUT, SOURCES, TARGETS, hand_off, losses, row_of, some_runs, write_csv, write_lines


@pytest.fixture
def handoff(tmp_path):
    hand_off(tmp_path)
    return tmp_path


def rows(handoff):
    """Sound results of all runs, in the documented columns."""
    return [row_of(run, ABOUT) for run in some_runs().values()]


def collected(handoff, table, name="results.csv"):
    write_csv(handoff / "results" / name, table)
    return collect(handoff)


def assert_planted(found, names):
    """The runs of ``names``, and no other, with the losses that belong to them."""
    assert set(found.runs) == set(names)
    for name in names:
        told = {row["language"]: row["value"] for row in found.runs[name].losses if row["metric"] == "bpb"}
        assert told == pytest.approx(losses(found.asked[name], TARGETS), rel=1e-9)


def test_sound_results_are_all_taken_and_nothing_is_said(handoff):
    found = collected(handoff, rows(handoff))
    assert_planted(found, some_runs())
    assert found.refused == found.remarks == ()
    measured = found.measurements()
    assert measured.targets == TARGETS
    assert measured.languages == SOURCES


def test_names_with_the_checksum_in_a_column_of_its_own(handoff):
    table = rows(handoff)
    for row in table:
        row["run"], _, row["checksum"] = row["run"].rpartition(".")
    assert_planted(collected(handoff, table), some_runs())


@pytest.mark.parametrize("unit", ["bits_per_byte", "nats_per_byte", "bits_per_token", "nats_per_token"])
def test_losses_in_any_unit_are_bits_per_byte(handoff, unit):
    nats, token = (math.log(2) if unit.startswith("nats") else 1.0), unit.endswith("token")
    table = []
    for run in some_runs().values():
        told = losses(run, TARGETS)
        values = {t: x * nats * (ABOUT.bytes_per_token[t] if token else 1) for t, x in told.items()}
        table.append({"run": run.full_name, "D": run.D, **{f"{unit}/{t}": x for t, x in values.items()}})
    assert_planted(collected(handoff, table), some_runs())


@given(st.randoms(use_true_random=False))
def test_the_order_of_runs_columns_and_files_changes_nothing(tmp_path_factory, shuffle):
    handoff = tmp_path_factory.mktemp("handoff")
    hand_off(handoff)
    table = rows(handoff)
    expected = collected(handoff, table).measurements()
    (handoff / "results" / "results.csv").unlink()
    shuffle.shuffle(table)
    columns = list(table[0])
    shuffle.shuffle(columns)
    cut = shuffle.randrange(len(table) + 1)
    for k, part in enumerate((table[:cut], table[cut:])):
        if part:
            write_csv(
                handoff / "results" / f"{shuffle.randrange(10**6)}-{k}.csv",
                [{c: row[c] for c in columns} for row in part],
            )
    found = collect(handoff)
    assert found.refused == found.remarks == ()
    measured = found.measurements()
    assert measured.runs == expected.runs
    assert (measured.languages, measured.targets) == (expected.languages, expected.targets)
    assert np.array_equal(measured.p_RL, expected.p_RL)
    assert np.array_equal(measured.loss_RT, expected.loss_RT)


@given(st.permutations(range(len(SOURCES))), st.permutations(range(len(TARGETS))), st.randoms(use_true_random=False))
def test_the_order_of_sources_and_targets_changes_no_number(sources, targets, shuffle):
    from dataclasses import replace

    def measured(about, runs):
        told = [
            Reported(
                "x", run.full_name, D=run.D, values={(t, "bits_per_byte"): x for t, x in losses(run, TARGETS).items()}
            )
            for run in runs.values()
        ]
        shuffle.shuffle(told)
        return check(runs, about, told).measurements()

    runs = some_runs()
    one = measured(ABOUT, runs)
    about = replace(ABOUT, sources=tuple(SOURCES[i] for i in sources), targets=tuple(TARGETS[i] for i in targets))
    other = measured(about, dict(shuffle.sample(list(runs.items()), len(runs))))
    for r, run in enumerate(one.runs):
        again = other.runs.index(run)
        for language in SOURCES:
            share = other.p_RL[again, other.languages.index(language)]  # sums of shares are rounded in their order
            assert one.p_RL[r, one.languages.index(language)] == pytest.approx(share, rel=1e-14)
        for target in TARGETS:
            assert one.loss_RT[r, one.targets.index(target)] == other.loss_RT[again, other.targets.index(target)]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_runs_sources_and_targets_changes_no_law_and_no_optimum(seed):
    """From what trainers report to the mixture: sums are rounded in their order, and nothing else differs."""
    from dataclasses import replace

    import glotmix as gm

    def found(sources, targets, rng):
        runs = some_runs(24)
        told = [
            Reported(
                "x", one.full_name, D=one.D, values={(t, "bits_per_byte"): x for t, x in losses(one, TARGETS).items()}
            )
            for one in runs.values()
        ]
        rng.shuffle(told)
        about = replace(ABOUT, sources=tuple(sources), targets=tuple(targets))
        measured = check(dict(rng.sample(list(runs.items()), len(runs))), about, told).measurements()
        fitted = gm.fit(measured, laws=["null", "own_ratio", "shapley_law"], folds=3, bootstrap=0)
        best = gm.optimize(fitted, floors={"swh_Latn": 0.1}, ceilings={"code": 0.4})
        return fitted.chosen, dict(best.mixture.items()), best.objective.value

    rng = random.Random(seed)
    one = found(SOURCES, TARGETS, rng)
    other = found(rng.sample(SOURCES, len(SOURCES)), rng.sample(TARGETS, len(TARGETS)), rng)
    assert other[0] == one[0] == "shapley_law"
    assert other[1] == pytest.approx(one[1], abs=1e-6)
    assert other[2] == pytest.approx(one[2], rel=1e-8)


def changed(row, **changes):
    return {**row, **{key.replace("__", "/"): value for key, value in changes.items()}}


def first(table, **changes):
    return [changed(table[0], **changes), *table[1:]]


LOSS = "bits_per_byte/code"
MALFORMED = {
    "a run that nobody asked for": (lambda t: [*t, changed(t[0], run="swarm-999-s0.0123abcd")], "swarm-999-s0.0123abcd", 0),
    "a run of another study: same name, other checksum": (lambda t: first(t, run="swarm-000-s0.0123abcd"), "checksum of swarm-000-s0", 1),
    "a name without a checksum": (lambda t: first(t, run="swarm-000-s0"), "without its checksum", 1),
    "a checksum that contradicts the name": (lambda t: [changed(r, checksum="0123abcd") if r is t[0] else {**r, "checksum": r["run"][-8:]} for r in t], "checksum", 1),
    "the names of two runs swapped, checksums left": (
        lambda t: [
            {**t[0], "run": t[1]["run"][:-9], "checksum": t[0]["run"][-8:]},
            {**t[1], "run": t[0]["run"][:-9], "checksum": t[1]["run"][-8:]},
            *({**r, "run": r["run"][:-9], "checksum": r["run"][-8:]} for r in t[2:]),
        ],
        "was asked for", 2,
    ),
    "no name": (lambda t: first(t, run=""), "no run of this study", 1),
    "a run twice with other numbers": (lambda t: [*t, changed(t[0], **{LOSS: t[0][LOSS] * 1.01})], "code is", 1),
    "a run twice with another N": (lambda t: [*({**r, "N": 10_000} for r in t), {**t[0], "N": 20_000}], "N is", 1),
    "a target missing in one run": (lambda t: first(t, **{LOSS: ""}), "no loss of code", 1),
    "a target missing everywhere": (lambda t: [{k: v for k, v in r.items() if k != LOSS} for r in t], "no loss of code", 8),
    "all losses missing in one run": (lambda t: [{"run": t[0]["run"], "D": t[0]["D"]}, *t[1:]], "no loss of any target", 1),
    "a loss that is NaN": (lambda t: first(t, **{LOSS: "nan"}), "is nan", 1),
    "a loss that is infinite": (lambda t: first(t, **{LOSS: "inf"}), "is inf", 1),
    "a loss below zero": (lambda t: first(t, **{LOSS: -1.2}), "is -1.2", 1),
    "a loss of zero": (lambda t: first(t, **{LOSS: 0}), "is 0", 1),
    "a loss that no model has": (lambda t: first(t, **{LOSS: 1e-5}), "1e-05 bits per byte", 1),
    "text where a loss should be": (lambda t: first(t, **{LOSS: "n.v."}), "n.v.", 8),
    "2 % too many tokens": (lambda t: first(t, D=102_000), "102 %", 1),
    "2 % too few tokens": (lambda t: first(t, D=98_000), "98 %", 1),
    "half a run": (lambda t: first(t, D=50_000), "still training", 1),
    "tokens in millions": (lambda t: [{**r, "D": 0.1} for r in t], "0.0001 %", 8),
    "tokens below zero": (lambda t: first(t, D=-5), "D is -5", 1),
    "shares that are not those that were asked for": (
        lambda t: [{**r, **{f"p/{s}": some_runs()[r["run"]].realised[s] for s in SOURCES}} for r in t[1:]]
        + [{**t[0], **{f"p/{s}": some_runs()[t[1]["run"]].realised[s] for s in SOURCES}}],
        "were asked for", 1,
    ),
    "two columns of one target": (lambda t: [{**r, "bpb/code": r[LOSS]} for r in t], "are both", 8),
    "no column of names": (lambda t: [{("id_of_job" if k == "run" else k): v for k, v in r.items()} for r in t], "no column run", 8),
    "no column of losses": (lambda t: [{"run": r["run"], "D": r["D"]} for r in t], "no loss of a target", 8),
    "two units that disagree": (lambda t: first([{**r, "nats_per_token/code": r[LOSS] * 4 * math.log(2)} for r in t], **{"nats_per_token/code": 9.0}), "bits per byte by", 1),
    "the parameters of another model": (lambda t: first([{**r, "N": 10_000} for r in t], N="nan"), None, 0),
}  # fmt: skip


@pytest.mark.parametrize("fault", MALFORMED)
def test_what_is_wrong_with_a_table_is_refused_by_name_and_not_used(handoff, fault):
    spoil, said, lost = MALFORMED[fault]
    found = collected(handoff, spoil(rows(handoff)))
    assert len(found.missing) == lost
    assert_planted(found, set(found.runs))
    if said is not None:
        assert said in " ".join((*found.refused, *found.remarks)), (found.refused, found.remarks)


BROKEN = {
    "half a line of JSON": ("results.jsonl", '{"run": "swarm-000', "half a line"),
    "JSON without a run": ("results.jsonl", '{"D": 3}\n', "names no run"),
    "losses without a unit": ("results.jsonl", '{"run": "RUN", "D": 1e5, "losses": {"code": 1.2}}\n', "without their unit"),
    "a status that is none": ("results.jsonl", '{"run": "RUN", "status": "so-so"}\n', "so-so"),
    "a list where losses should be": ("results.jsonl", '{"run": "RUN", "bits_per_byte": [1, 2]}\n', "bits_per_byte is"),
    "half a JSON file": ("all.json", '[{"run": "RUN", "D": 1e5, ', "half a file"),
    "half a trainer_state.json": ("RUN/trainer_state.json", '{"log_history": [{"eval_code_loss": 1', "half of one"),
    "a file that names no run": ("somewhere/trainer_state.json", '{"log_history": []}', "no run's name"),
    "a run of another study in a path": ("swarm-000-s0.0123abcd/trainer_state.json", '{"log_history": [{"step": 100, "eval_code_loss": 2.0}]}', "checksum of swarm-000-s0"),
    "half a table": ("cut.csv", "run,D,bits_per_byte/code\nRUN,1e5", "cut.csv"),
    "bytes that are no text": ("bytes.jsonl", b"\xff\xfe{}", "UTF-8"),
    "no event file": ("RUN/events.out.tfevents.1", b"hello, this is no event file", "event"),
    "half of lm-eval's results": ("RUN/results_1.json", '{"results": {"code": ', "half of one"),
    "a log whose data set has no name": ("RUN/train.log", " validation loss at iteration 100 | lm loss value: 3.1E+00 | lm loss PPL: 2E+01 |\n", "which target"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_file_that_is_broken_is_told_and_the_others_are_used(handoff, fault):
    name, content, said = BROKEN[fault]
    one, *others = some_runs().values()
    path = handoff / "results" / name.replace("RUN", one.full_name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.replace("RUN", one.full_name).encode())
    found = collected(handoff, [row_of(run, ABOUT) for run in others], "others.csv")
    assert_planted(found, [run.full_name for run in others])
    assert said in " ".join(found.refused), found.refused


def test_losses_in_nats_where_bits_were_said_are_told(handoff):
    table = [{k: (v * 4 * math.log(2) if "/" in k else v) for k, v in row.items()} for row in rows(handoff)]
    assert any("nats per token?" in remark for remark in collected(handoff, table).remarks)


def test_one_run_in_another_unit_than_the_others_is_told(handoff):
    runs = {run.full_name: run for run in some_runs().values()}
    table = rows(handoff)
    same = dict.fromkeys(SOURCES, 1 / 3)
    from dataclasses import replace

    alike = {name: replace(run, realised=same, wished=same) for name, run in runs.items()}
    told = [
        Reported(
            "x",
            name,
            D=run.D,
            values={(t, "bits_per_byte"): x * (4.0 if i == 0 else 1.0) for t, x in losses(run, TARGETS).items()},
        )
        for i, (name, run) in enumerate(alike.items())
    ]
    remarks = check(alike, ABOUT, told).remarks
    assert any("4.0" in remark and "in another unit" in remark for remark in remarks), (remarks, len(table))


def test_losses_of_two_targets_that_changed_places_are_told(handoff):
    from dataclasses import replace

    same = dict.fromkeys(SOURCES, 1 / 3)
    alike = {name: replace(run, realised=same, wished=same) for name, run in some_runs(12).items()}
    told = []
    for i, (name, run) in enumerate(alike.items()):
        found = losses(run, TARGETS)
        if i == 3:
            found["code"], found["swh_Latn"] = found["swh_Latn"], found["code"]
        told.append(Reported("x", name, D=run.D, values={(t, "bits_per_byte"): x for t, x in found.items()}))
    (remark,) = check(alike, ABOUT, told).remarks
    assert "code and swh_Latn" in remark
    assert list(alike.values())[3].run in remark


def test_a_run_that_will_not_come_back_is_no_run_that_is_missing(handoff):
    table = rows(handoff)
    table[0] = {"run": table[0]["run"], "status": "diverged", "reason": "loss rose"}
    table[1] = {"run": table[1]["run"], "status": "crashed"}
    table[2] = {"run": table[2]["run"], "status": "running", LOSS: 9.0}
    found = collected(handoff, table)
    ended = [found.runs[table[i]["run"]].status for i in range(2)]
    assert ended == ["diverged", "failed"]
    assert found.missing == (table[2]["run"],)


def test_checkpoints_are_kept_and_the_last_one_counts(handoff):
    table = []
    for row in rows(handoff):
        table += [{**row, "D": 50_000, LOSS: row[LOSS] * 1.2}, row]
    random.Random(0).shuffle(table)
    found = collected(handoff, table)
    run = next(iter(found.runs.values()))
    assert sorted({row["tokens"] for row in run.losses}) == [50_000, 100_000]
    measured = found.measurements()
    assert measured.loss("code").tolist() == pytest.approx(
        [row[LOSS] for row in sorted(rows(handoff), key=lambda row: row["run"])]
    )


def test_a_run_that_was_repeated_with_another_seed_is_used_and_told(handoff):
    table = [row | {"seed": run.seed} for row, run in zip(rows(handoff), some_runs().values(), strict=True)]
    assert collected(handoff, table).remarks == ()
    table[2]["seed"] = 77
    found = collected(handoff, table)
    assert found.refused == ()
    assert len(found.remarks) == 1
    assert "trained with another seed than was asked for: swarm-002-s0 (77 and not 2)" in found.remarks[0]


def test_runs_without_tokens_are_taken_as_long_as_asked_and_told(handoff):
    table = [{k: v for k, v in row.items() if k != "D"} for row in rows(handoff)]
    found = collected(handoff, table)
    assert_planted(found, some_runs())
    assert any("as long as was asked" in remark for remark in found.remarks)


def test_steps_stand_for_tokens(handoff):
    table = [{"step": 100, **{k: v for k, v in row.items() if k != "D"}} for row in rows(handoff)]
    assert collected(handoff, table).remarks == ()
    table[0]["step"] = 97
    assert len(collected(handoff, table).missing) == 1


def test_scores_are_kept_beside_losses(handoff):
    table = [{**row, "acc/code": 0.4} for row in rows(handoff)]
    found = collected(handoff, table)
    assert_planted(found, some_runs())
    assert {row["value"] for run in found.runs.values() for row in run.losses if row["metric"] == "acc"} == {0.4}


def test_a_folder_without_results_is_not_an_empty_table(handoff):
    found = collect(handoff)
    assert set(found.missing) == set(some_runs())
    with pytest.raises(BadInput, match="8 runs"):
        found.measurements()
    with pytest.raises(BadInput, match="no such file"):
        collect(handoff, [handoff / "nowhere"])


def test_lines_are_the_same_as_a_table(handoff):
    lines = [
        {
            "run": row["run"],
            "D": row["D"],
            "bits_per_byte": {k.partition("/")[2]: v for k, v in row.items() if "/" in k},
        }
        for row in rows(handoff)
    ]
    write_lines(handoff / "results" / "results.jsonl", lines)
    assert_planted(collect(handoff), some_runs())
    (handoff / "results" / "results.jsonl").unlink()
    (handoff / "results" / "results.json").write_text(json.dumps(lines))
    assert_planted(collect(handoff), some_runs())
