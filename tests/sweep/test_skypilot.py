"""The task for SkyPilot says what it means whatever the study is called."""

import shlex
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from glotmix.errors import BadInput
from glotmix.sweep.skypilot import sky_task


def test_the_task_runs_the_study_with_its_mirror_on_spot_machines():
    task = YAML(typ="safe").load(sky_task(Path("recipes/quickstart.yaml"), "s3://b/q", accelerators="A100:1"))
    assert task["name"] == "quickstart"
    assert task["resources"] == {"use_spot": True, "cpus": "8+", "accelerators": "A100:1"}
    assert task["run"] == "glotmix run recipes/quickstart.yaml --set sweep.mirror=s3://b/q"
    assert task["setup"] == "pip install 'glotmix[train,storage]'"


def test_a_name_with_shell_in_it_stays_a_name():
    study = Path("a b; rm -rf $HOME `x` 'q'.yaml")
    task = YAML(typ="safe").load(sky_task(study, "s3://b/$(x)"))
    assert shlex.split(task["run"]) == ["glotmix", "run", str(study), "--set", "sweep.mirror=s3://b/$(x)"]
    assert "\n" not in task["run"]


@pytest.mark.parametrize(
    ("study", "mirror"),
    [("/etc/x.yaml", "s3://b"), ("../x.yaml", "s3://b"), ("x.yaml", "/tmp"), ("x.yaml", "file:///t")],
)
def test_what_another_machine_cannot_reach_is_refused(study, mirror):
    with pytest.raises(BadInput):
        sky_task(Path(study), mirror)
