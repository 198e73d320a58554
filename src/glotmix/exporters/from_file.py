"""`glotmix export`: a mixture as a trainer's own files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from glotmix.errors import BadInput
from glotmix.exporters import all_exporters
from glotmix.exporters.exporter import ExportRequest, Realised
from glotmix.exporters.exporter import export as write_export
from glotmix.mixture.schedule import schedule_in
from glotmix.wording import listed


def export_file(
    mixture: Path,
    to: str,
    out: Path,
    *,
    tokens: float,
    sequence_length: int,
    batch: int,
    path: str,
    unique: Mapping[str, float],
    tokens_per_document: Mapping[str, float],
) -> Realised:
    """Export a mixture file to one trainer.

    Raises:
        BadInput: an unknown exporter, or whatever the trainer cannot be given.
    """
    exporters = all_exporters()
    if to not in exporters:
        raise BadInput(f"no exporter {to!r}", where="--to", expected=" | ".join(exporters))
    schedule = schedule_in(mixture)
    languages = schedule.languages
    request = ExportRequest(
        schedule=schedule,
        tokens=tokens,
        sequence_length=sequence_length,
        batch=batch,
        unique={language: unique.get(language, tokens) for language in languages},
        tokens_per_document={language: tokens_per_document.get(language, sequence_length) for language in languages},
        paths=path,
        assumed=tuple(_assumptions(languages, unique, tokens_per_document)),
    )
    return write_export(exporters[to], request, out)


def _assumptions(
    languages: Sequence[str], unique: Mapping[str, float], tokens_per_document: Mapping[str, float]
) -> Iterator[str]:
    """What :func:`export_file` takes for numbers that the user did not give, in words."""
    if missing := [name for name in languages if name not in unique]:
        yield (
            f"--unique is not given for {listed(missing)}: as many unique tokens as the run has are assumed, so the "
            "epochs are too few and repetition is not simulated"
        )
    if missing := [name for name in languages if name not in tokens_per_document]:
        yield (
            f"--tokens-per-document is not given for {listed(missing)}: one full sequence per document is assumed, "
            "which is wrong for trainers whose weights count documents"
        )
