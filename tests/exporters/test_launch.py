"""The launch scripts start every stage once, in order, and go on where a run was interrupted."""

import subprocess

import pytest

from glotmix.exporters import all_exporters
from glotmix.exporters.exporter import export
from tests.contracts.exporter import CONSTANT, THREE_STAGES, request_for

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
    name for name, one in all_exporters().items() if one.schedule_support == "phases" and name != "megatron_lm"
)


@pytest.mark.parametrize("name", PHASED)
def test_every_stage_is_launched_once_and_a_failure_stops(name, tmp_path):
    exporter = all_exporters()[name]
    export(exporter, request_for(THREE_STAGES), tmp_path)
    launch = ["bash", str(tmp_path / "launch.sh")]
    show = ["bash", "-c", 'echo "stage=${MIXTURE_STAGE:-} last=${LAST_STEP:-} file=${1:-}"', "train"]
    lines = [line for line in subprocess.check_output([*launch, *show], text=True).splitlines() if "file=" in line]
    assert len(lines) == 3
    if (tmp_path / "mixture.py").exists():
        assert lines == [f"stage={i} last={end} file=" for i, end in enumerate((60, 180, 240))]
    else:
        assert all((tmp_path / line.split("/")[-1]).is_file() for line in lines)
        assert len(set(lines)) == 3
    failed = subprocess.run([*launch, "bash", "-c", "echo once; exit 7"], capture_output=True, text=True)
    assert failed.returncode == 7
    assert failed.stdout.count("once") == 1


@pytest.mark.parametrize("name", PHASED)
def test_a_constant_mixture_needs_no_launch_script(name, tmp_path):
    assert "launch.sh" not in export(all_exporters()[name], request_for(CONSTANT), tmp_path).files
