"""What do trainers train on? Exported folders run through each trainer's own data path, up to the batch.

    bash scripts/exporter_envs.sh && .venv/bin/python benchmarks/trainer_paths.py [TRAINER...]

Four mixtures (7 languages from .41 to .005; 40 languages by Zipf's law with exponent 2, 100 with exponent 1; a
Cooldown from temperature 5 to 1 in two stages) over data in which a token tells its language. Each is exported, the
trainer runs in its environment under .cache/exporter-envs (loader, shuffle, packing, sampler; where a CPU can, all of
its training but the model), and the tokens of its batches are counted per stage and compared with realised.json.
Languages with 1,000 sequences must be within 1 %; below, within four standard deviations of as many draws. Where a
trainer draws rows at random, its own rule is redrawn at a thousand other seeds: it may be as far off as 999 of these
are. The learning rate over the stages is compared with a single run's at 20 points. Writes
benchmarks/results/trainer_paths.json.
"""

import argparse
import datetime
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent / "paths"))
import marked
import redrawn

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "trainer_paths.json"
ENVS = Path(os.environ.get("GLOTMIX_EXPORTER_ENVS", ROOT / ".cache" / "exporter-envs"))
STEPS, BATCH, LENGTH = 400, 32, 64
ENOUGH = 1000
"""Sequences from which a share must be within 1 %."""

TRAINERS = {
    # exporter: (environment, script in benchmarks/paths or None for a run by launch.sh, distribution)
    "trl": ("trl", None, "trl"),
    "llama_factory": ("llamafactory", None, "llamafactory"),
    "axolotl": ("axolotl", "axolotl_path.py", "axolotl"),
    "megatron_lm": ("megatron", "megatron_path.py", "megatron-core"),
    "megatron_bridge": ("bridge", "megatron_path.py", "megatron-bridge"),
    "nemo2": ("nemo2", "megatron_path.py", "NeMo"),
    "nemo_automodel": ("automodel", "automodel_path.py", "nemo-automodel"),
    "litdata": ("litdata", "litdata_path.py", "litgpt"),
    "torchtitan": ("torchtitan_main", "torchtitan_path.py", "torchtitan"),
    "torchtitan_0_3": ("torchtitan", "torchtitan_path.py", "torchtitan"),
    "maxtext": ("maxtext", "maxtext_path.py", "maxtext"),
    "huggingface": ("trl", "huggingface_path.py", "datasets"),
    "ms_swift": ("swift", None, "ms-swift"),
    "olmo_core": ("olmo_core", "olmo_core_path.py", "ai2-olmo-core"),
    "mosaicml_streaming": ("streaming", "streaming_path.py", "mosaicml-streaming"),
    "levanter": ("levanter", "levanter_path.py", "marin-levanter"),
    "marin": ("levanter", "levanter_path.py", "marin-core"),
    "nanotron": ("nanotron", "nanotron_path.py", "nanotron"),
    "open_instruct": ("open_instruct", "open_instruct_path.py", "open-instruct"),
    "gpt_neox": ("gpt_neox", "gpt_neox_path.py", "gpt-neox"),
    "tinker_cookbook": ("tinker", "tinker_path.py", "tinker-cookbook"),
}
MODULES = {
    "trl": ("trl.scripts.sft", ["--config", "{}"]),
    "llama_factory": ("llamafactory.launcher", ["{}"]),
    "ms_swift": ("swift_pt", ["{}"]),
}


def schedules():
    """The mixtures."""
    from glotmix.mixture.mixture import Mixture
    from glotmix.mixture.schedule import Schedule, cooldown

    seven = dict(zip("abcdefg", (0.41, 0.25, 0.15, 0.1, 0.06, 0.025, 0.005), strict=True))
    forty = {f"l{i:02}": (i + 1) ** -2.0 for i in range(40)}
    sizes = {name: 1e6 * (i + 1) ** -1.5 for i, name in enumerate("abcdefg")}
    hundred = {f"l{i:03}": 1 / (i + 1) for i in range(100)}
    return {
        "7 languages": Schedule.constant(Mixture({f"l{n}": share for n, share in seven.items()})),
        "40 languages": Schedule.constant(Mixture.normalised(forty)),
        "Cooldown": cooldown({f"l{n}": size for n, size in sizes.items()}, 5.0, 1.0, 0.6),
        "100 languages": Schedule.constant(Mixture.normalised(hundred)),
    }


def made(schedule, folder, exporter):
    """Data on disk, and the request for it."""
    from glotmix.exporters.exporter import ExportRequest

    languages = schedule.languages
    tokens = STEPS * BATCH * LENGTH
    average = schedule.average()
    paths, files, unique, means, samples = {}, {}, {}, {}, {}
    reads_text = ".jsonl" in exporter.path_template or exporter.name in ("trl", "huggingface")
    for i, name in enumerate(languages):
        # The common languages are read in part, the rare ones up to some four times.
        wanted = tokens * average[name] * (2.0, 1.1, 0.6, 0.27)[i % 4] + 4 * LENGTH
        sizes = marked.lengths(max(8, int(wanted / 60)), i)
        paths[name] = str(folder / "data" / exporter.path_template.replace("{language}", f"l{i}"))
        files[name] = paths[name].replace("*", "0")
        if reads_text:
            file = Path(files[name].removesuffix(".gz"))
            marked.write_jsonl(file if file.suffix else file / "train.jsonl", i, sizes)
        with_end = sizes + 1
        unique[name], means[name], samples[name] = float(with_end.sum()), float(with_end.mean()), with_end.tolist()
    request = ExportRequest(schedule, tokens, LENGTH, BATCH, unique, means, paths, seed=5, document_lengths=samples)
    return request, {name: (samples[name], files[name]) for name in languages}


def through_launch(name, python, out, folder, languages):
    """The trainer's own training, started by launch.sh of the export; what each step read, from its log."""
    marked.tokenizer(folder / "model", len(languages))
    vocabulary = len(languages) + marked.FIRST_ID
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks' / 'paths')!r}); import marked; "
    code += f"marked.model({str(folder / 'model')!r}, {vocabulary})"
    subprocess.run([python, "-c", code], check=True, capture_output=True)
    (folder / "config.yaml").write_text(CONFIGURATION[name].format(folder=folder, batch=BATCH))
    module, arguments = MODULES[name]
    environ = {
        **os.environ, "CONFIG": str(folder / "config.yaml"), "PYTHON": str(python), "COUNTED_MODULE": module,
        "COUNTED": str(folder / "log.jsonl"), "PYTHONPATH": str(ROOT / "benchmarks" / "paths"), "HF_HOME": str(folder),
        "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "", "WANDB_DISABLED": "true",
        "DISABLE_VERSION_CHECK": "1", "MODELSCOPE_CACHE": str(folder), "USE_HF": "1",
        "ABSENT": "torchaudio" if name == "llama_factory" else "",
        "UNCHECKED": "swift.arguments.sft_args:SftArguments._check_padding_free" if name == "ms_swift" else "",
    }  # fmt: skip
    command = ["bash", str(out / "launch.sh"), str(python), str(out / "stop.py"), "counted", *arguments]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=1800)
    if done.returncode:
        raise RuntimeError("\n".join((done.stdout + done.stderr).strip().splitlines()[-12:]))
    steps = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    at = {line["step"]: line["rate"] for line in steps}
    single = [1e-3 * (1 + math.cos(math.pi * k / STEPS)) / 2 for k in range(STEPS)]
    return {"steps": steps, "ends": True, "rates": {"stages": [at.get(k, 0.0) for k in range(STEPS)], "single": single}}


CONFIGURATION = {
    "trl": """\
model_name_or_path: {folder}/model
output_dir: {folder}/run
per_device_train_batch_size: {batch}
learning_rate: 1.0e-3
lr_scheduler_type: cosine
report_to: none
logging_strategy: 'no'
save_strategy: 'no'
use_cpu: true
bf16: false
gradient_checkpointing: false
dataset_text_field: text
eos_token: '[EOS]'
""",
    "llama_factory": """\
model_name_or_path: {folder}/model
output_dir: {folder}/run
do_train: true
finetuning_type: full
template: default
per_device_train_batch_size: {batch}
learning_rate: 1.0e-3
lr_scheduler_type: cosine
report_to: none
logging_steps: 1000
save_strategy: 'no'
use_cpu: true
trust_remote_code: false
max_samples: 100
""",
    "ms_swift": """\
model: {folder}/model
model_type: llama
template: default
output_dir: {folder}/run
tuner_type: full
per_device_train_batch_size: {batch}
learning_rate: 1.0e-3
lr_scheduler_type: cosine
report_to: none
logging_steps: 1000
save_strategy: 'no'
use_cpu: true
torch_dtype: float32
add_version: false
""",
}


def run(name, label, schedule):
    """One trainer on one mixture: shares trained on per stage beside realised.json."""
    from glotmix.errors import BadInput
    from glotmix.exporters import all_exporters
    from glotmix.exporters.exporter import export

    environment, script, distribution = TRAINERS[name]
    python = ENVS / environment / "bin" / "python"
    if not (ENVS / environment / ".finished").exists():
        return {"status": f"no environment {environment}"}
    exporter = all_exporters()[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        request, documents = made(schedule, folder, exporter)
        out = folder / "out"
        try:
            realised = export(exporter, request, out)
        except BadInput as error:
            return {"status": "refused", "why": str(error)}
        languages = list(schedule.languages)
        try:
            if script is None:
                answer = through_launch(name, python, out, folder, languages)
            else:
                facts = {
                    "exporter": name, "languages": languages, "documents": documents, "batch": BATCH, "length": LENGTH,
                    "steps": STEPS, "phases": [[phase.first_step, phase.steps] for phase in request.phases],
                }  # fmt: skip
                (folder / "facts.json").write_text(json.dumps(facts))
                command = [python, ROOT / "benchmarks" / "paths" / script, folder]
                environ = {**os.environ, "OMP_NUM_THREADS": "2", "JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1",
                           "HF_HOME": str(folder), "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
                done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=1800)
                if done.returncode:
                    raise RuntimeError("\n".join(done.stderr.strip().splitlines()[-12:]))
                answer = json.loads((folder / "steps.json").read_text())
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            return {"status": "failed", "why": str(error).strip().splitlines()[-1]}
        version = version_of(ENVS / environment, distribution)
        return {"version": version, **compared(exporter, request, realised, answer, languages)}


def version_of(environment, distribution):
    """The release of a distribution, or the commit of a checkout."""
    if (environment / distribution / ".git").exists():
        command = ["git", "-C", environment / distribution, "rev-parse", "--short", "HEAD"]
    else:
        code = f"from importlib.metadata import version; print(version({distribution!r}))"
        command = [environment / "bin" / "python", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def compared(exporter, request, realised, answer, languages):
    """Errors of the shares against realised.json, in per cent and in what chance allows, and of the learning rate."""
    totals = tokens_by_stage(request, realised, answer, languages)
    worst, where, allowed_part, redraws = 0.0, "", 0.0, []
    for stage, (phase, total) in enumerate(zip(realised.phases, totals, strict=True)):
        expected = np.array([phase["realised"][name] for name in languages])
        if (total[expected == 0] > 0).any():
            return {"status": "differs", "why": f"a language without a share was read in stage {stage}"}
        used = np.flatnonzero(expected)
        error = np.abs(total[used] / max(total.sum(), 1) / expected[used] - 1)
        sequences = expected[used] * phase["steps"] * BATCH
        common = sequences >= ENOUGH
        allowed = np.where(common, 0.01, 4 / np.sqrt(sequences))
        if exporter.name in redrawn.RULES:
            again = np.abs(other_draws(exporter, request, stage, languages, phase)[:, used])
            allowed = np.maximum(allowed, np.quantile(again, 0.999, axis=0))
            redraws.append(again[:, common].max(axis=1, initial=0.0))
        if common.any() and error[common].max() > worst:
            one = np.flatnonzero(common)[error[common].argmax()]
            worst, where = float(error[one]), f"{languages[used[one]]}, stage {stage}"
        allowed_part = max(allowed_part, float((error / allowed).max()))
    result = {"worst_common": worst, "where": where, "worst_of_what_is_allowed": allowed_part}
    result["tokens_read_of_those_of_the_run"] = float(np.sum(totals)) / (STEPS * BATCH * LENGTH)
    if redraws:
        result["redrawn"] = band_of(np.max(redraws, axis=0), worst)
    if answer["rates"]:
        pairs = list(zip(answer["rates"]["stages"], answer["rates"]["single"], strict=True))
        pairs = pairs[:: max(1, len(pairs) // 20)]
        result["learning_rate_off"] = max(abs(one - other) for one, other in pairs) / max(other for _, other in pairs)
    fine = allowed_part <= 1 and result.get("learning_rate_off", 0.0) < 1e-6
    return {"status": "agrees" if fine else "differs", **result}


def tokens_by_stage(request, realised, answer, languages):
    """Tokens trained on, [S][L]."""
    ends = [phase["first_step"] + phase["steps"] for phase in realised.phases]
    totals = [np.zeros(len(languages)) for _ in ends]
    # The end-of-text tokens of all languages have one id: each language's are a token per document.
    mean_L = np.array([request.tokens_per_document[name] for name in languages])
    with_ends_L = mean_L / (mean_L - 1) if answer["ends"] else np.ones(len(languages))
    for line in answer["steps"]:
        stage = line["stage"] if "stage" in line else next(i for i, end in enumerate(ends) if line["step"] < end)
        counts = np.zeros(len(languages))
        found = line["counts"][marked.FIRST_ID :][: len(languages)]
        counts[: len(found)] = found
        totals[stage] += counts * with_ends_L
    return totals


def other_draws(exporter, request, stage, languages, phase):
    """Relative errors of the trainer's rule at other seeds, [D, L]; of languages without a share none."""
    from glotmix.exporters.counted import counted_rows

    lengths = exporter.row_lengths(request)
    counts = dict(zip(request.languages, counted_rows(request, request.phases[stage], lengths), strict=True))
    longest = LENGTH if exporter.packing == "truncated" else np.inf
    sizes = [np.minimum(request.document_lengths[name], longest) for name in languages]
    rows = [int(counts.get(name, 0)) for name in languages]
    expected = [phase["realised"][name] or np.inf for name in languages]
    rule = redrawn.RULES[exporter.name]
    return redrawn.errors(rule, sizes, rows, expected, phase["steps"] * BATCH, LENGTH, stage)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trainers", nargs="*", default=[], help=f"default: {', '.join(TRAINERS)}")
    parser.add_argument("--mixture", help="one of the four alone")
    parser.add_argument(
        "--redraw", action="store_true", help="the bands of random trainers alone, without running them"
    )
    parser.add_argument("--table", action="store_true", help="print the recorded results as docs/exporters.md has them")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(RESULTS.read_text())))
        return
    for name in arguments.trainers or TRAINERS:
        for label, schedule in schedules().items():
            if arguments.mixture not in (None, label):
                continue
            if arguments.redraw:
                if name in redrawn.RULES:
                    print(f"{name:20} {label:14} {band(name, label, schedule)}", flush=True)
                continue
            result = run(name, label, schedule)
            print(f"{name:20} {label:14} {result}", flush=True)
            record(name, label, {"date": datetime.date.today().isoformat(), **result})


def band(name, label, schedule):
    """How far off the trainer's rule is at other seeds, into the recorded result of its run."""
    from glotmix.exporters import all_exporters
    from glotmix.exporters.exporter import export

    exporter = all_exporters()[name]
    with tempfile.TemporaryDirectory() as temporary:
        request, _ = made(schedule, Path(temporary), exporter)
        realised = export(exporter, request, Path(temporary) / "out", warn=False)
    redraws = []
    for stage, phase in enumerate(realised.phases):
        sequences = np.array([phase["realised"][one] for one in schedule.languages]) * phase["steps"] * BATCH
        again = np.abs(other_draws(exporter, request, stage, list(schedule.languages), phase))
        redraws.append(again[:, sequences >= ENOUGH].max(axis=1, initial=0.0))
    recorded = json.loads(RESULTS.read_text()).get(name, {}).get(label, {})
    result = band_of(np.max(redraws, axis=0), recorded.get("worst_common"))
    if "worst_common" in recorded:
        record(name, label, {**recorded, "redrawn": result})
    return result


def band_of(worst_D, worst):
    """The worst common language of each redraw, and how many are as far off as the trainer was."""
    told = {"median": float(np.median(worst_D)), "of 95 %": float(np.quantile(worst_D, 0.95))}
    return told if worst is None else {**told, "as_far_off_or_further": float((worst_D >= worst).mean())}


def record(name, label, result):
    recorded = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    recorded.setdefault(name, {})[label] = result
    RESULTS.write_text(json.dumps(recorded, indent=1) + "\n")


def table(recorded):
    """The recorded results as Markdown."""
    lines = [
        "| exporter | run with | on | 7 languages | 40 languages | 100 languages | Cooldown "
        "| tokens read | learning rate |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, rows in recorded.items():
        cells = [_cell(rows.get(label, {})) for label in ("7 languages", "40 languages", "100 languages", "Cooldown")]
        one = next((row for row in rows.values() if "version" in row), {})
        read = [row["tokens_read_of_those_of_the_run"] for row in rows.values() if "version" in row]
        rate = max((row["learning_rate_off"] for row in rows.values() if "learning_rate_off" in row), default=None)
        if not one:
            continue  # its environment lacks something: the reason stands in the results
        version = f"{TRAINERS[name][2]} {one['version']}"
        lines.append(
            f"| `{name}` | {version} | {one['date']} | {' | '.join(cells)} | {100 * min(read):.3g} % "
            f"| {'–' if rate is None else f'{rate:.0e} off'} |"
        )
    return "\n".join(lines)


def _cell(row):
    if "worst_common" not in row:
        return row.get("status", "not run")
    mark = "" if row["status"] == "agrees" else "**differs** "
    cell = f"{mark}{100 * row['worst_common']:.2g} % ({row['worst_of_what_is_allowed']:.2g})"
    if again := row.get("redrawn"):
        cell += f"; at other seeds {100 * again['median']:.2g} %, 95 % of them up to {100 * again['of 95 %']:.2g} %"
    return cell


if __name__ == "__main__":
    main()
