"""The study files that come with glotmix."""

from __future__ import annotations

from pathlib import Path

from glotmix.config import read_yaml


def recipes_directory() -> Path:
    """Where they lie: in the source tree, or in an installed package."""
    installed = Path(__file__).parents[1] / "recipes"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "recipes"


def all_recipes() -> list[dict[str, str]]:
    """Path (from here, where it lies below), scales and question of every recipe."""
    rows, here = [], Path.cwd()
    for path in sorted(recipes_directory().glob("*.yaml")):
        data = read_yaml(path)
        rows.append(
            {
                "recipe": str(path.relative_to(here) if path.is_relative_to(here) else path),
                "scales": ", ".join(data.get("scales", {})) or "-",
                "question": str(data.get("description", "")),
            }
        )
    return rows
