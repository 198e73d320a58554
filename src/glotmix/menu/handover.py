"""The menu: hand a mixture to a trainer, and the evidence to people."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from glotmix.errors import BadInput
from glotmix.exporters.from_file import export_file
from glotmix.exporters.listing import exporter_rows
from glotmix.exporters.realised import Realised
from glotmix.menu.results import StudyResults
from glotmix.menu.sources import MixtureLike, PathLike, RunsLike, runs_of, schedule_of
from glotmix.notebook import Listing


def exporters() -> Listing:
    """Every trainer that a mixture can be exported to: name, trainer, version, unit of its weights, schedules."""
    return Listing("Exporters", tuple(exporter_rows()))


def export(
    mixture: MixtureLike,
    *,
    to: str,
    out: PathLike,
    tokens: float = 1e9,
    sequence_length: int = 2048,
    batch: int = 512,
    paths: str | Mapping[str, str] | None = None,
    seed: int = 0,
    unique: Mapping[str, float] | None = None,
    tokens_per_document: Mapping[str, float] | None = None,
    measure: PathLike | None = None,
    tokenizer: str | None = None,
) -> Realised:
    """Write a trainer's own files, and ``realised.json`` with the shares that the trainer will really give.

    Args:
        mixture: shares by language, a schedule, what ``optimize`` returned, or a JSON file that holds one of them.
        to: name of the trainer (see ``gm.exporters()``).
        out: directory to write.
        tokens: training tokens D of the run.
        sequence_length: tokens per sequence.
        batch: sequences per optimiser step, over all devices.
        paths: where your data lies: one path in which ``{language}`` stands for the language, or a path for each
            language; default the exporter's own place.
        seed: of the trainer's shuffling and draws.
        unique: unique tokens of each language; where one is missing as many as the run has are assumed, and told.
        tokens_per_document: mean tokens of a document of each language; where one is missing a full sequence is
            assumed, and told.
        measure: where to measure the two: a study's directory, or texts by language.
        tokenizer: your trainer's, to measure texts with: a path or a name on the hub.

    Returns:
        Shares as wanted and as realised, epochs, and remarks.

    Raises:
        BadInput: an unknown trainer, or something that it cannot be told.
    """
    given = {} if paths is None else {"": paths} if isinstance(paths, str) else paths
    texts = [f"{language}={path}" if language else path for language, path in given.items()]
    return export_file(
        schedule_of(mixture),
        to,
        Path(out),
        tokens=tokens,
        sequence_length=sequence_length,
        batch=batch,
        paths=texts,
        seed=seed,
        unique=unique or {},
        tokens_per_document=tokens_per_document or {},
        data=None if measure is None else Path(measure),
        tokenizer=tokenizer,
    )


def report(
    source: RunsLike | StudyResults,
    *,
    laws: str | Sequence[str] = "auto",
    compare: PathLike | StudyResults | None = None,
    out: PathLike | None = None,
) -> Path:
    """Write the page: the answer, how sure it is, and why; one HTML file that loads nothing from elsewhere.

    Args:
        source: runs, as ``read_runs`` takes them, or a finished study of a mixture, whose page is written again.
        laws: for runs: names of laws to compare, or ``"auto"``.
        compare: with a study: another one, beside which it is laid.
        out: file to write; default ``report.html`` here, or in the directory of the study.

    Returns:
        The path of the page.

    Raises:
        BadInput: whatever is wrong with the runs, or a directory without a complete study.
    """
    where = None if out is None else Path(out)
    if isinstance(source, StudyResults):
        source = source.directory
    if (study := _study(source)) is not None:
        from glotmix.studies.mixture.kind import compare_studies, report_again

        other = None if compare is None else _study(compare)
        return report_again(study, where) if other is None else compare_studies(other, study, where)
    if compare is not None:
        raise BadInput("runs compared with a study", where="report", expected="two finished studies")
    from glotmix.report.runs import report_on_runs

    names = [laws] if isinstance(laws, str) else laws
    title = Path(source).stem if isinstance(source, str | os.PathLike) else "Runs"
    return report_on_runs(runs_of(source), title=title, laws=names, out=where or Path("report.html"))


def _study(source: object) -> Path | None:
    """The directory of a study, if it is one."""
    if isinstance(source, StudyResults):
        return source.directory
    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        return Path(source)
    return None
