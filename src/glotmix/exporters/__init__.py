"""Hand a schedule to the trainer the user already has: its own files, and what it will make of them."""

from __future__ import annotations

import importlib
import pkgutil

from glotmix.exporters.exporter import Exporter, ExportRequest, Phase, Realised, Simulation, export

__all__ = ["ExportRequest", "Exporter", "Phase", "Realised", "Simulation", "all_exporters", "export"]


def all_exporters() -> dict[str, Exporter]:
    """Every exporter by name: the one subclass of :class:`Exporter` in each file of this folder."""
    found: dict[str, Exporter] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Exporter) and value.__module__ == module.__name__:
                found |= {} if value is Exporter else {value.name: value()}
    return dict(sorted(found.items()))
