"""Every format in which trainers leave results, as their own writers leave it."""

import json
import math
import struct

import pytest

from glotmix.handoff.collect import collect
from glotmix.handoff.formats import FORMATS
from glotmix.handoff.results import metric_of
from tests.handoff.planted import ABOUT, TARGETS, hand_off, losses, row_of, some_runs, write_csv
from tests.handoff.test_collect import assert_planted


@pytest.fixture
def handoff(tmp_path):
    hand_off(tmp_path)
    return tmp_path


def nats(run):
    """Nats per token, what trainers log."""
    return {t: x * math.log(2) * ABOUT.bytes_per_token[t] for t, x in losses(run, TARGETS).items()}


def place(handoff, run, name):
    path = handoff / "results" / run.full_name / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def trainer_state(handoff, run):
    history = [{"loss": 3.0, "step": 50}, {"eval_code_loss": 9.0, "step": 50}]
    history += [
        {f"eval_{t}_loss": x, f"eval_{t}_runtime": 3.0, "epoch": 1.0, "step": 100} for t, x in nats(run).items()
    ]
    place(handoff, run, "checkpoint-100/trainer_state.json").write_text(
        json.dumps({"global_step": 100, "log_history": history})
    )


def lm_eval(handoff, run):
    results = {
        t: {"alias": t, "bits_per_byte,none": x, "bits_per_byte_stderr,none": "N/A"}
        for t, x in losses(run, TARGETS).items()
    }
    results["arc_easy"] = {"acc,none": 0.31, "acc_stderr,none": 0.01, "acc_norm,none": 0.3}
    place(handoff, run, "model/results_2026-01-01T00-00-00.json").write_text(
        json.dumps({"results": results, "config": {}})
    )


def tensorboard(handoff, run):
    with open(place(handoff, run, "events.out.tfevents.1700000000.host.1.0"), "wb") as file:
        for tag, value in {f"lm loss validation/{t}": x for t, x in nats(run).items()}.items():
            file.write(_record(_event(100, tag, value)))
        file.write(_record(_event(100, "train/lm loss", 3.3)))


def _event(step, tag, value):
    simple = b"\x0a" + bytes([len(tag)]) + tag.encode() + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(simple)]) + simple
    return b"\x09" + struct.pack("<d", 1.7e9) + b"\x10" + bytes([step]) + b"\x2a" + bytes([len(summary)]) + summary


def _record(data):
    return struct.pack("<Q", len(data)) + b"\0\0\0\0" + data + b"\0\0\0\0"


def megatron(handoff, run):
    paths = [f"/data/{t}_text_document" for t in sorted(TARGETS, reverse=True)]
    lines = [f"  valid_data_path ................................. {[x for path in paths for x in ('1.0', path)]}"]
    lines += [" iteration      100/     100 | consumed samples:         1000 | lm loss: 3.301E+00 |"]
    for index, target in enumerate(sorted(TARGETS, reverse=True)):
        value = nats(run)[target]
        lines += [
            "-" * 40,
            f" validation-{index} loss at iteration 100 | lm loss value: {value:.9E} | lm loss PPL: 2.1E+01 | ",
        ]
        lines += [
            f" validation-{index} loss at iteration 100 on test set | lm loss value: 1.0E+00 | lm loss PPL: 2.1E+01 | "
        ]
    place(handoff, run, "train.log").write_text("\n".join([*lines, ""]))


def megatron_apart(handoff, run):
    """A log for each target, named after it; one target's by its path."""
    for target, value in nats(run).items():
        said = f" validation loss at iteration 100 | lm loss value: {value:.9E} | lm loss PPL: 2E+01 | \n"
        if "/" in target:
            said = f"  valid_data_path ...... ['/data/{target}_text_document']\n{said}"
        place(handoff, run, f"{target.partition('/')[0]}.log").write_text(said)


def table(handoff, run):
    write_csv(place(handoff, run, "results.csv"), [row_of(run, ABOUT)])


def lines(handoff, run):
    told = {"run": run.full_name, "D": run.D, "bits_per_byte": losses(run, TARGETS)}
    place(handoff, run, "results.jsonl").write_text(json.dumps(told) + "\n")


def olmo_core(handoff, run):
    lines = ["2026-01-01 00:00:00.000 host:0 olmo_core.train INFO [step=100/100,epoch=1]", "    train/CE loss=3.456"]
    lines += ["2026-01-01 host:0 olmo_core INFO Finished lm evals in 1.2 seconds. Metrics:"]
    lines += [line for t, x in nats(run).items() for line in (f"    {t}/CE loss={x:.9f}", f"    {t}/PPL=12.1")]
    place(handoff, run, "olmo.log").write_text("\n".join([*lines, ""]))


def wandb_json(handoff, run):
    summary = {"_step": 100, "train/loss": 3.0, "eval": {t: {"loss": x} for t, x in nats(run).items() if "/" not in t}}
    summary |= {"eval/eng/web/loss": nats(run)["eng/web"]}
    one = {"name": run.full_name, "state": "finished", "summary": summary, "config": {"lr": {"value": 1e-3}}}
    path = handoff / "results" / "wandb.json"
    path.write_text(json.dumps([*(json.loads(path.read_text()) if path.is_file() else []), one]))


def mlflow(handoff, run):
    metrics = [{"key": f"eval_{t}_loss", "value": x, "step": 100, "timestamp": 1} for t, x in nats(run).items()]
    one = {
        "info": {"run_id": "f00", "status": "FINISHED", "run_name": run.run},
        "data": {"metrics": metrics, "params": [], "tags": [{"key": "glotmix_checksum", "value": run.checksum}]},
    }
    path = handoff / "results" / "mlflow.json"
    runs = json.loads(path.read_text())["runs"] if path.is_file() else []
    path.write_text(json.dumps({"runs": [*runs, one]}))


FORMS = [trainer_state, lm_eval, tensorboard, megatron, megatron_apart, olmo_core, wandb_json, mlflow]


@pytest.mark.parametrize("write", FORMS)
def test_results_in_a_trainers_own_form_are_those_that_it_wrote(handoff, write):
    for run in some_runs().values():
        write(handoff, run)
    found = collect(handoff)
    assert found.refused == ()
    assert set(found.runs) == set(some_runs())
    for name, run in found.runs.items():
        told = {
            row["language"]: row["value"] for row in run.losses if row["metric"] == "bpb" and row["tokens"] == run.D
        }
        assert told == pytest.approx(losses(found.asked[name], TARGETS), rel=1e-6)


def test_what_lm_eval_scores_beside_losses_is_kept(handoff):
    for run in some_runs().values():
        lm_eval(handoff, run)
    scores = {
        (row["language"], row["metric"], row["value"])
        for run in collect(handoff).runs.values()
        for row in run.losses
        if row["metric"] != "bpb"
    }
    assert scores == {("arc_easy", "acc", 0.31), ("arc_easy", "acc_norm", 0.3)}


def test_a_trackers_table(handoff):
    rows = [
        {
            "Name": run.full_name, "State": "finished", "Runtime": 3600, "config.tokens": run.D,
            **{f"config.mixture.{s}": p for s, p in run.realised.items()},
            **{f"summary.eval/{t}/loss": x for t, x in nats(run).items()}, "train/loss": 2.2,
        }
        for run in some_runs().values()
    ]  # fmt: skip
    write_csv(handoff / "results" / "wandb.csv", rows)
    assert_planted(collect(handoff), some_runs())


def test_two_formats_of_one_run_that_agree_are_one_result(handoff):
    for run in some_runs().values():
        trainer_state(handoff, run)
        lm_eval(handoff, run)
    found = collect(handoff)
    assert found.refused == ()
    assert set(found.runs) == set(some_runs())


def test_what_lies_beside_results_is_left_alone(handoff):
    for run in some_runs().values():
        trainer_state(handoff, run)
        place(handoff, run, "checkpoint-100/model.safetensors").write_bytes(b"\0" * 100)
        place(handoff, run, "checkpoint-100/README.md").write_text("# model")
        place(handoff, run, "notes.txt").write_text("nothing of losses")
    assert collect(handoff).refused == ()


@pytest.mark.parametrize("write", [table, lines, trainer_state, lm_eval, tensorboard, megatron, olmo_core])
def test_a_file_cut_anywhere_is_never_another_result(handoff, write):
    one = next(iter(some_runs().values()))
    write(handoff, one)
    (path,) = (path for path in (handoff / "results" / one.full_name).rglob("*") if path.is_file())
    whole = path.read_bytes()
    for cut in sorted({*(len(whole) * k // 17 for k in range(1, 17)), *range(len(whole) - 12, len(whole))}):
        path.write_bytes(whole[:cut])
        found = collect(handoff)
        assert one.full_name not in found.runs or _same(found, one), cut


def _same(found, run):
    told = {
        row["language"]: row["value"]
        for row in found.runs[run.full_name].losses
        if row["metric"] == "bpb" and row["tokens"] == run.D
    }
    return told == pytest.approx(losses(run, TARGETS), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("eval/eng/web/loss", ("eng/web", "nats_per_token")),
        ("eval_code_loss", ("code", "nats_per_token")),
        ("lm loss validation code", ("code", "nats_per_token")),
        ("lm loss validation/code", ("code", "nats_per_token")),
        ("eval/lm/swh_Latn/CE loss", ("swh_Latn", "nats_per_token")),
        ("val/swh/bpb", ("swh_Latn", "bits_per_byte")),
        ("bits_per_byte/por_Latn", ("por_Latn", "bits_per_byte")),
        ("acc/code", ("code", "acc")),
        ("train/code/loss", None),
        ("train/loss", None),
        ("eval/code_hq/loss", None),
        ("eval/web/loss", None),
        ("eval/code/perplexity", None),
        ("code", None),
        ("loss", None),
    ],
)
def test_a_metric_is_of_the_target_that_has_its_whole_name(name, meant):
    assert metric_of(name, TARGETS) == meant


def test_every_format_tells_what_it_is():
    assert all(FORMATS.find(name).title for name in FORMATS)
