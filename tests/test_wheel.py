"""What users install: the wheel in an empty environment does everything but training, without torch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.study.test_report_on_runs import table

ROOT = Path(__file__).parents[1]
OTHERS = [name for name in ("3.11", "3.12", "3.13", "3.14") if name != f"{sys.version_info[0]}.{sys.version_info[1]}"]


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    return next(folder.glob("*.whl"))


def check_installed(wheel, python, folder):
    """Install into an empty environment and go from a table of runs to a trainer's files and a page."""
    run(python, "-m", "venv", "--without-pip", folder / "venv")
    own = folder / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", own / "python"]
    run(*pip, "install", "-q", "--no-compile", "-c", ROOT / "constraints.txt", wheel)
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONWARNINGS")}
    run(own / "python", "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is not None)", env=env)
    glotmix, options = own / "glotmix", {"cwd": folder, "env": env}
    runs = table(folder / "runs.csv")
    laws = ["--law", "null", "--law", "own_ratio"]
    run(glotmix, "fit", runs, *laws, "--folds", "4", "--bootstrap", "10", "--out", "fit.json", **options)
    run(glotmix, "optimize", "fit.json", "--floor", "code=0.2", "--out", "mixture.json", **options)
    run(glotmix, "export", "mixture.json", "--to", "megatron_lm", "--out", "megatron", **options)
    run(glotmix, "report", runs, *laws, "--out", "report.html", **options)
    assert (folder / "megatron" / "realised.json").is_file()
    assert "explorer-data" in (folder / "report.html").read_text(encoding="utf-8")
    assert "quickstart" in run(glotmix, "recipes", **options)
    assert (next((folder / "venv" / "lib").iterdir()) / "site-packages" / "glotmix" / "py.typed").is_file()
    return glotmix, options


def test_the_wheel_goes_from_runs_to_a_trainers_files_without_torch(wheel, tmp_path):
    glotmix, options = check_installed(wheel, sys.executable, tmp_path)
    assert "optimize" in run(glotmix, "--help", **options)


@pytest.mark.slow
@pytest.mark.parametrize("version", OTHERS)
def test_other_versions_of_python_install_it_as_well(wheel, tmp_path, version):
    candidates = [
        shutil.which(f"python{version}"),
        *sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")),
    ]
    for python in filter(None, candidates):
        if subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            check_installed(wheel, python, tmp_path)
            return
    pytest.skip(f"no Python {version} here")
