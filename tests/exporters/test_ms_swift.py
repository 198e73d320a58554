"""ms-swift's module knows arguments alone: what starts it turns the merged configuration into them."""

import os
import subprocess
import sys

from glotmix.exporters.exporter import export
from glotmix.exporters.ms_swift import MsSwift
from tests.contracts.exporter import THREE_STAGES, request_for


def test_the_configuration_becomes_arguments_of_the_module(tmp_path):
    export(MsSwift(), request_for(THREE_STAGES), tmp_path / "out", warn=False)
    module = tmp_path / "swift" / "cli" / "pt.py"
    module.parent.mkdir(parents=True)
    module.write_text("import sys\nif __name__ == '__main__':\n    print(sys.argv[1:])\n")
    config = tmp_path / "mine.yaml"
    config.write_text(
        "model: /m y\ndataset: [a#3, b c#4]\npacking: true\nmodel_kwargs: {a: é}\ninterleave_prob: null\nmax_steps: 7\n"
    )
    command = [sys.executable, str(tmp_path / "out" / "swift_pt.py"), str(config), "--output_dir", "mine"]
    done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(
        [
            "--model",
            "/m y",
            "--dataset",
            "a#3",
            "b c#4",
            "--packing",
            "True",
            "--model_kwargs",
            '{"a": "é"}',
            "--max_steps",
            "7",
            "--output_dir",
            "mine",
        ]
    )


def test_a_later_stage_goes_on_from_the_checkpoint_that_was_written_last(tmp_path):
    export(MsSwift(), request_for(THREE_STAGES), tmp_path / "out", warn=False)
    module = tmp_path / "swift" / "cli" / "pt.py"
    module.parent.mkdir(parents=True)
    module.write_text("import sys\nif __name__ == '__main__':\n    print(sys.argv[-1])\n")
    config = tmp_path / "mine.yaml"
    config.write_text(f"output_dir: {tmp_path / 'run'}\nignore_data_skip: true\n")
    command = [sys.executable, str(tmp_path / "out" / "swift_pt.py"), str(config)]
    environment = {"PYTHONPATH": str(tmp_path)}
    nothing = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert nothing.returncode == 1
    assert "no checkpoint to go on from" in nothing.stderr
    config.write_text(config.read_text() + "resume_from_checkpoint: mine\n")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "mine"
    config.write_text(f"output_dir: {tmp_path / 'run'}\nignore_data_skip: true\n")
    for i, name in enumerate(("v0-old/checkpoint-90", "v1-new/checkpoint-60")):
        folder = tmp_path / "run" / name
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").touch()
        os.utime(folder / "trainer_state.json", (1000 + i, 1000 + i))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "run" / "v1-new" / "checkpoint-60")
