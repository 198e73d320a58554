"""The launch scripts start every stage once, in order, and go on where a run was interrupted."""

import subprocess
import sys

import pytest

from glotmix.exporters import all_exporters
from glotmix.exporters.exporter import export
from tests.contracts.exporter import CONSTANT, THREE_STAGES, possible, request_for

FAKE_MEGATRON = """\
#!/usr/bin/env bash
# Writes its arguments, then trains to the next transition (or to LIMIT, as if it had been killed there).
printf '%s\\n' "$*" >> "$SAVE/calls"
case $CALLS in limited) step=$LIMIT ;; *) step=$(sed -n "$(($(wc -l < "$SAVE/calls")))p" "$SAVE/steps") ;; esac
echo "$step" > "$SAVE/latest_checkpointed_iteration.txt"
"""


@pytest.fixture
def megatron(tmp_path):
    request = request_for(THREE_STAGES, paths="/data $HOME/{language}".replace(" ", "_"))
    export(all_exporters()["megatron_lm"], request, tmp_path / "out")
    trainer, save = tmp_path / "train.sh", tmp_path / "save"
    trainer.write_text(FAKE_MEGATRON)
    trainer.chmod(0o755)
    save.mkdir()
    (save / "steps").write_text("60\n180\n240\n")

    def launch(**env):
        command = ["bash", str(tmp_path / "out" / "launch.sh"), str(trainer), "--mine", "a b"]
        environment = {"SAVE": str(save), "CALLS": "", "PATH": "/usr/bin:/bin", **env}
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    return launch, save


def test_megatron_runs_each_phase_once_with_its_blend_and_seed(megatron):
    launch, save = megatron
    assert launch().returncode == 0
    calls = (save / "calls").read_text().splitlines()
    assert [call.split("/")[-1] for call in calls] == [f"blend-{i}.txt --seed {3 + i}" for i in (1, 2, 3)]
    assert all("--phase-transition-iterations 60,180 --split 969,30,1" in call for call in calls)
    assert all("--mine a b --seq-length 32 --global-batch-size 32 --train-samples 7680" in call for call in calls)


def test_megatron_killed_in_a_phase_stops_and_goes_on_in_it(megatron):
    launch, save = megatron
    stopped = launch(CALLS="limited", LIMIT="20")
    assert stopped.returncode == 1
    assert "stopped at step 20 of 60" in stopped.stderr
    (save / "calls").unlink()
    assert launch().returncode == 0
    assert len((save / "calls").read_text().splitlines()) == 3
    assert launch().returncode == 0  # all done: nothing is started
    assert len((save / "calls").read_text().splitlines()) == 3


PHASED = sorted(
    name
    for name, one in all_exporters().items()
    if one.schedule_support == "phases" and name not in ("megatron_lm", "maxtext")
)
MERGED = sorted(name for name in all_exporters() if "merge.py" in all_exporters()[name].files(request_for(CONSTANT)))
CONFIGURATION = """\
# mine
learning_rate: 1e-5
tokens: {micro_batch_size: 4}
optimizer:
  learning_rate_scheduler: {lr_warmup_steps: 20, min_decay_lr: 1e-6}
train_loader:
  drop_last: true
datasets:
  - path: mine
"""


@pytest.fixture
def launch(tmp_path):
    """Runs launch.sh of an exported folder with a command, from another folder."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.yaml").write_text(CONFIGURATION)

    def run(*command, **environ):
        return subprocess.run(
            ["bash", str(tmp_path / "out" / "launch.sh"), *command],
            cwd=tmp_path / "elsewhere",
            env={"PATH": "/usr/bin:/bin", "CONFIG": "mine.yaml", "PYTHON": sys.executable, **environ},
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.parametrize("name", PHASED)
def test_every_stage_is_launched_once_and_a_failure_stops(name, launch, tmp_path):
    exporter = all_exporters()[name]
    export(exporter, request_for(THREE_STAGES), tmp_path / "out")
    done = launch("bash", "-c", 'echo "stage=${MIXTURE_STAGE:-} last=${LAST_STEP:-} file=${1:-}"', "train")
    lines = [line for line in done.stdout.splitlines() if "file=" in line]
    assert len(lines) == 3
    if (tmp_path / "out" / "mixture.py").exists():
        assert lines == [f"stage={i} last={end} file=" for i, end in enumerate((60, 180, 240))]
    else:
        assert all((tmp_path / "out" / line.split("/")[-1]).is_file() for line in lines)
        assert len(set(lines)) == 3
    failed = launch("bash", "-c", "echo once; exit 7")
    assert failed.returncode == 7
    assert failed.stdout.count("once") == 1


@pytest.mark.parametrize("name", [name for name in PHASED if name not in MERGED])
def test_a_constant_mixture_of_a_trainer_that_takes_the_file_needs_no_launch_script(name, tmp_path):
    assert "launch.sh" not in export(all_exporters()[name], request_for(CONSTANT), tmp_path).files


@pytest.mark.parametrize("name", MERGED)
def test_overlays_are_merged_and_what_is_mine_stays_as_i_wrote_it(name, launch, tmp_path):
    yaml = pytest.importorskip("yaml")
    exporter = all_exporters()[name]
    schedule = possible(exporter, THREE_STAGES)
    files = export(exporter, request_for(schedule), tmp_path / "out").files
    done = launch("cat", "{}", "/dev/null")
    assert done.returncode == 0, done.stderr
    assert "{}" not in done.stdout
    overlays = [name for name in files if name.startswith(("mixture", "stages")) and name.endswith((".yaml", ".yml"))]
    for i, overlay in enumerate(overlays):
        text = (tmp_path / "out" / f"merged-{i}.yaml").read_text()
        assert "learning_rate: 1e-5\n" in text  # a string to PyYAML, a number to others: left alone
        merged = yaml.safe_load(text)
        assert contains(merged, yaml.safe_load((tmp_path / "out" / overlay).read_text()))
        assert merged["tokens"]["micro_batch_size"] == 4
        assert merged["train_loader"]["drop_last"] is True
    if name == "nanotron":
        scheduler = merged["optimizer"]["learning_rate_scheduler"]
        assert scheduler["lr_decay_steps"] == 240 - 20
    if name == "nemo_automodel":
        assert merged["lr_scheduler"] == {"lr_decay_steps": 240, "lr_warmup_steps": 24}
    if name == "llama_factory":
        assert merged["dataset_dir"] == str(tmp_path / "out")
    if name == "axolotl":
        assert merged["datasets"][0]["path"] == str(tmp_path / "out" / "premixed.jsonl")


def test_a_folder_that_nanotron_reads_more_than_once_gets_links_for_its_further_passes(launch, tmp_path):
    names = THREE_STAGES.languages
    paths = {name: f"tokens/{i}" for i, name in enumerate(names)}
    request = request_for(THREE_STAGES, paths=paths, unique=dict.fromkeys(names, 9_000.0))
    epochs = export(all_exporters()["nanotron"], request, tmp_path / "out").epochs
    place = tmp_path / "elsewhere"
    for i in range(len(names)):
        (place / "tokens" / str(i)).mkdir(parents=True)
        for name in ("0.ds", "0.ds.index", "0.ds.metadata"):
            (place / "tokens" / str(i) / name).write_text(f"{i}")
    for _ in range(2):  # launched again, it lays no links of links
        assert launch("true").returncode == 0
    most = 0
    for i, name in enumerate(names):
        files = sorted(file.name for file in (place / "tokens" / str(i)).glob("*.ds"))
        most = max(most, len(files))
        assert epochs[name] < len(files) <= 1.1 * epochs[name] + 1
        assert [(place / "tokens" / str(i) / file).read_text() for file in files] == [f"{i}"] * len(files)
        assert len(list((place / "tokens" / str(i)).glob("*.index"))) == len(files)
    assert most > 2


def test_a_horizon_of_ones_own_is_left_alone(launch, tmp_path):
    export(all_exporters()["nanotron"], request_for(THREE_STAGES), tmp_path / "out")
    mine = tmp_path / "elsewhere" / "mine.yaml"
    mine.write_text(CONFIGURATION.replace("lr_warmup_steps: 20", "lr_warmup_steps: 20, lr_decay_steps: 7"))
    launch("true")
    assert "lr_decay_steps: 7" in (tmp_path / "out" / "merged-2.yaml").read_text()


def test_without_a_configuration_it_says_what_is_missing(launch, tmp_path):
    export(all_exporters()["trl"], request_for(CONSTANT), tmp_path / "out")
    done = launch("true", CONFIG="")
    assert done.returncode != 0
    assert "your training configuration" in done.stderr


UNDOING = {
    "axolotl": {
        "val_set_size": 0.05,  # held out is the end of the data, of a Cooldown its last stage
        "sample_packing_eff_est": 0.97,  # an estimate, with which the run and its learning rate end too early
        "dataset_exact_deduplication": True,  # one pass would be left of what is read again and again
        "max_steps": 100,  # the end of the file would not be read
        "pretraining_dataset": [{"path": "other"}],  # that would be, in place of the mixture
        "streaming": True,
    },
    "llama_factory": {
        "max_samples": 1000,  # of every language
        "tokenized_path": "saved",  # the first stage's data for every stage
        "disable_shuffling": True,  # one language after the other
        "val_size": 0.1,  # rows of every language that were counted as trained on
        "interleave_probs": "0.5,0.5",
    },
    "trl": {"test_split_size": 0.1},
    "ms_swift": {
        "interleave_prob": [0.5, 0.5],
        "cached_dataset": ["saved"],  # beside those of the mixture
        "dataset_shuffle": False,
        "train_dataloader_shuffle": False,
    },
}


@pytest.mark.parametrize("name", UNDOING)
def test_a_configuration_cannot_undo_the_mixture_unnoticed(name, launch, tmp_path):
    yaml = pytest.importorskip("yaml")
    export(all_exporters()[name], request_for(THREE_STAGES), tmp_path / "out")
    (tmp_path / "elsewhere" / "mine.yaml").write_text(yaml.safe_dump(UNDOING[name]))
    assert launch("true").returncode == 0
    for file in (tmp_path / "out").glob("merged-*.yaml"):
        merged = yaml.safe_load(file.read_text())
        assert {key: bool(merged.get(key)) for key in UNDOING[name]} == {
            key: value is False for key, value in UNDOING[name].items()
        }
        assert None not in merged.values()  # not every trainer takes null for a key that is not there


PLACED = ("dataset_dir", "datasets", "dataset_prepared_path")


def contains(merged, overlay):
    """Whether everything of the overlay is in the merged configuration, but for what the folder's place decides."""
    if isinstance(overlay, dict):
        return all(
            key not in merged if value is None else key in merged and (key in PLACED or contains(merged[key], value))
            for key, value in overlay.items()
        )
    return merged == overlay


FAKE_TRANSFORMERS = """\
import types
class TrainerCallback: pass
class CallbackHandler:
    def __init__(self, callbacks):
        self.callbacks = [callback() for callback in callbacks]
    def add_callback(self, callback):
        self.callbacks.append(callback())
trainer_callback = types.SimpleNamespace(CallbackHandler=CallbackHandler)
"""
FAKE_TRAINER = """\
import sys, types
from transformers import trainer_callback
assert __name__ == "__main__"
state, control = types.SimpleNamespace(global_step=0), types.SimpleNamespace(should_training_stop=False)
(callback,) = trainer_callback.CallbackHandler([]).callbacks  # of a trainer with defaults of its own
while not control.should_training_stop and state.global_step < 240:
    state.global_step += 1
    callback.on_step_end(None, state, control)
print("stopped at", state.global_step, sys.argv[1:], control.should_save)
"""


def test_a_stage_of_a_transformers_trainer_stops_at_its_last_step(launch, tmp_path):
    export(all_exporters()["trl"], request_for(THREE_STAGES), tmp_path / "out")
    (tmp_path / "transformers.py").write_text(FAKE_TRANSFORMERS)
    (tmp_path / "mine.py").write_text(FAKE_TRAINER)
    stop = str(tmp_path / "out" / "stop.py")
    done = launch(sys.executable, stop, "mine", "--config", "{}", PYTHONPATH=str(tmp_path))
    lines = [line for line in done.stdout.splitlines() if line.startswith("stopped")]
    assert [line.split()[2] for line in lines] == ["60", "180", "240"], done.stderr
    assert all("merged-" in line and line.endswith("True") for line in lines)


def test_maxtext_is_stopped_at_each_change_and_spans_the_learning_rate_over_the_run(launch, tmp_path):
    export(all_exporters()["maxtext"], request_for(THREE_STAGES), tmp_path / "out")
    done = launch("echo", "train", "base.yml", "run_name=a b")
    lines = [line for line in done.stdout.splitlines() if line.startswith("train base.yml run_name=a b ")]
    assert len(lines) == 3
    for i, (line, end) in enumerate(zip(lines, (60, 180, 240), strict=True)):
        assert line.endswith(f"grain_train_mixture_config_path={tmp_path}/out/mixture-{i}.json steps={end}")
        assert "learning_rate_schedule_steps=240" in line
        assert "use_truncation=False" in line
