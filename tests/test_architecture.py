"""Imports form a picture that can be drawn: docs/architecture.md. No arrow runs up, and torch stays in its wing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "glotmix"
FOUNDATIONS = {"notation", "errors", "language", "artifact", "config", "notebook", "progress", "orphan", "__init__"}
ALLOWED = {
    "corpus": set(),
    "tokens": {"corpus"},
    "mixture": set(),
    "measurements": {"mixture"},
    "proxy": {"tokens", "mixture", "measurements"},
    "sweep": {"proxy", "mixture", "measurements", "tokens"},
    "probe": {"attribution", "proxy", "tokens", "mixture", "measurements", "transfer"},
    "attribution": {"proxy", "tokens", "mixture", "measurements", "transfer"},
    "posttraining": {"proxy", "tokens", "mixture", "measurements"},
    "live": {"mixture", "tokens"},
    "transfer": {"measurements", "mixture"},
    "laws": {"mixture", "transfer"},
    "fit": {"laws", "measurements", "transfer", "mixture"},
    "optimize": {"laws", "fit", "mixture", "measurements"},
    "exporters": {"mixture", "tokens"},
    "report": {"optimize", "fit", "laws", "transfer", "measurements", "mixture", "corpus"},
}
ROOF = {"study", "cli", "__main__"}
TORCH_ROOMS = {"proxy", "probe", "attribution", "posttraining", "live"}


def modules():
    return sorted(SOURCE.rglob("*.py"))


def unit_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "glotmix":
                yield from (f"glotmix.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_import_follows_the_arrows(path):
    unit = unit_of(path)
    if unit in ROOF:
        return
    for name in imports(path):
        if name.startswith("glotmix."):
            other = name.split(".")[1]
            allowed = FOUNDATIONS | ALLOWED.get(unit, set()) | {unit, "__version__"}
            assert other in allowed, f"{unit} imports {name}; allowed: {sorted(allowed - FOUNDATIONS)}"
        if name.split(".")[0] == "torch":
            assert unit in TORCH_ROOMS, f"{unit} imports torch"


def test_foundations_import_no_stage():
    for path in modules():
        if unit_of(path) in FOUNDATIONS - {"__init__"}:
            for name in imports(path):
                if name.startswith("glotmix."):
                    assert name.split(".")[1] in FOUNDATIONS | {"__version__"}, f"{path.name} imports {name}"


def test_no_file_is_named_utils():
    assert not [path for path in modules() if "util" in path.stem or "helper" in path.stem]


def test_fitting_and_reporting_leave_torch_out():
    code = (
        "import sys, glotmix.cli, glotmix.measurements, glotmix.laws, glotmix.fit.fit, glotmix.transfer.shapley,"
        "glotmix.optimize.solve, glotmix.exporters, glotmix.report.page, glotmix.mixture.design;"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules, 'torch was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
