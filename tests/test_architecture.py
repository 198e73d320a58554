"""Imports form a picture that can be drawn: docs/architecture.md. No arrow runs up, no circle, and torch stays in its
wing. Files are walked as well as rooms, with imports inside functions and for type checkers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "glotmix"
FOUNDATIONS = {
    "notation", "errors", "written", "language", "artifact", "config", "notebook", "progress", "orphan", "estimate",
    "wording", "registry", "version", "tables", "source", "footprint", "scored",
}  # fmt: skip
ALLOWED = {
    "reading": set(),
    "corpus": {"reading"},
    "tokens": {"corpus", "reading"},
    "mixture": set(),
    "measurements": {"mixture"},
    "proxy": {"tokens", "mixture", "measurements"},
    "handoff": {"exporters", "measurements", "mixture", "tokens"},
    "sweep": {"handoff", "exporters", "proxy", "mixture", "measurements", "tokens"},
    "probe": {"attribution", "proxy", "tokens", "mixture", "measurements", "transfer"},
    "attribution": {"reading", "proxy", "tokens", "mixture", "measurements", "transfer"},
    "posttraining": {"reading", "proxy", "tokens", "mixture", "measurements"},
    "live": {"attribution", "mixture", "tokens", "transfer"},
    "transfer": {"measurements", "mixture"},
    "laws": {"mixture", "transfer"},
    "fit": {"laws", "measurements", "transfer", "mixture"},
    "optimize": {"laws", "fit", "mixture", "measurements"},
    "exporters": {"mixture", "tokens", "corpus"},
    "report": {"optimize", "fit", "laws", "transfer", "measurements", "mixture", "corpus"},
    "study": {"sweep", "proxy", "measurements", "mixture", "tokens", "corpus"},
}
GROUND = set(ALLOWED)
ALLOWED["studies"] = GROUND
ALLOWED["menu"] = GROUND | {"studies"}
ALLOWED["commands"] = GROUND | {"studies"}
ALLOWED["cli"] = {"commands"}
ALLOWED["__main__"] = {"cli"}
ALLOWED["__init__"] = GROUND | {"menu"}
TORCH_ROOMS = {"proxy", "probe", "attribution", "posttraining", "live", "studies"}
FEW_IMPORT_TORCH = {"study/training.py"}
"""Files above these rooms that ask torch for the devices of a machine."""


def module_of(path: Path, source: Path = SOURCE) -> str:
    return ".".join(("glotmix", *path.relative_to(source).with_suffix("").parts)).removesuffix(".__init__")


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imported(path: Path, known: set[str]) -> set[str]:
    """Modules that a file imports, anywhere in it; a module of ours in preference to the package that it is in."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
    return found


def graph(source: Path = SOURCE) -> dict[str, set[str]]:
    """Every module of ours to everything that it imports."""
    paths = {module_of(path, source): path for path in sorted(source.rglob("*.py"))}
    return {name: imported(path, set(paths)) for name, path in paths.items()}


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes of which each can be reached from every other (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in arrows[node] & arrows.keys() - {node}:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in arrows:
        if node not in index:
            visit(node)
    return found


def rooms(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same between rooms, the kinds of studies rooms of their own."""
    found: dict[str, set[str]] = {}
    for module, others in arrows.items():
        ours = {wing_of(other) for other in others if other.split(".")[0] == "glotmix" and "." in other}
        found.setdefault(wing_of(module), set()).update(ours - {wing_of(module)})
    return found


def wing_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[1:3]) if len(parts) > 3 and parts[1] == "studies" else room_of(module)


def complaints(arrows: dict[str, set[str]]) -> list[str]:
    """Everything that is wrong with the imports of a house."""
    wrong = [f"circle of files: {' → '.join(circle)}" for circle in circles(arrows)]
    between = {module: others for module, others in arrows.items() if module not in ("glotmix", "glotmix.cli")}
    wrong += [f"circle of rooms: {' → '.join(circle)}" for circle in circles(rooms(between))]
    for module, others in arrows.items():
        room = room_of(module)
        for other in others:
            file = f"{module.removeprefix('glotmix.').replace('.', '/')}.py"
            if other.split(".")[0] == "torch" and room not in TORCH_ROOMS and file not in FEW_IMPORT_TORCH:
                wrong.append(f"{module} imports torch")
            if not other.startswith("glotmix."):
                continue
            allowed = FOUNDATIONS if room in FOUNDATIONS else FOUNDATIONS | ALLOWED[room] | {room}
            if room_of(other) not in allowed:
                wrong.append(f"{module} imports {other}")
            wings = wing_of(module), wing_of(other)
            if wings[0] != wings[1] and all(wing.startswith("studies.") for wing in wings):
                wrong.append(f"{module} imports {other}: one kind of study builds on another")
    return wrong


def test_no_arrow_runs_up_and_there_is_no_circle():
    assert not complaints(graph())


@pytest.mark.parametrize(
    ("module", "other"),
    [
        ("glotmix.laws.law", "glotmix.fit.fit"),
        ("glotmix.measurements", "glotmix.studies"),
        ("glotmix.errors", "glotmix.language"),
        ("glotmix.mixture.mixture", "glotmix.mixture.schedule"),
        ("glotmix.studies.compare.kind", "glotmix.studies.clones.kind"),
        ("glotmix.report.page", "torch"),
    ],
)
def test_one_that_did_would_be_told(module, other):
    arrows = graph()
    arrows[module] = arrows[module] | {other}
    assert complaints(arrows)


def test_no_file_is_named_utils():
    assert not [path for path in SOURCE.rglob("*.py") if "util" in path.stem or "helper" in path.stem]


def test_fitting_and_reporting_leave_torch_out():
    code = (
        "import sys, glotmix.cli, glotmix.measurements, glotmix.laws, glotmix.fit.fit, glotmix.transfer.shapley,"
        "glotmix.optimize.solve, glotmix.exporters, glotmix.report.page, glotmix.mixture.design;"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules, 'torch was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_inside_of_the_rooms_is_told_as_the_files_tell_it():
    shown = subprocess.run(
        [sys.executable, "scripts/rooms.py"], cwd=SOURCE.parents[1], capture_output=True, text=True, check=True
    ).stdout
    page = (SOURCE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert shown.strip() in page, "python scripts/rooms.py --write"
