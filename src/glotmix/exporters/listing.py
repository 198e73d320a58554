"""What `glotmix exporters` lists."""

from __future__ import annotations

from glotmix.exporters import all_exporters


def exporter_rows() -> list[dict[str, str]]:
    """Every exporter, with its trainer's version, what the trainer's weights count, and how it follows a schedule."""
    return [
        {
            "exporter": name,
            "trainer": e.title,
            "version": e.target_version,
            "unit": e.unit,
            "schedules": e.schedule_support,
        }
        for name, e in all_exporters().items()
    ]
