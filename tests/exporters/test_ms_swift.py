"""ms-swift's module knows arguments alone: what starts it turns the merged configuration into them."""

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
    config.write_text("model: /m y\ndataset: [a#3, b c#4]\npacking: true\nmodel_kwargs: {a: é}\nmax_steps: 7\n")
    command = [sys.executable, str(tmp_path / "out" / "swift_pt.py"), str(config), "--output_dir", "mine"]
    done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(
        ["--model", "/m y", "--dataset", "a#3", "b c#4", "--packing", "True", "--model_kwargs", '{"a": "é"}']
        + ["--max_steps", "7", "--output_dir", "mine"]
    )
