"""`glotmix export`: a mixture as a trainer's own files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from glotmix.artifact import read_json
from glotmix.errors import BadInput
from glotmix.exporters import all_exporters
from glotmix.exporters.exporter import Exporter, ExportRequest, Realised
from glotmix.exporters.exporter import export as write_export
from glotmix.exporters.measured import Measured, measure, measured_in_store, store_of
from glotmix.exporters.quoting import check_text
from glotmix.language import find_name
from glotmix.mixture.schedule import Schedule, schedule_in
from glotmix.progress import Advance
from glotmix.wording import listed
from glotmix.written import made_of

DEFAULT_TOKENS = 1e9
"""Training tokens of a run of which nobody told any."""


def export_file(
    mixture: Path | Schedule,
    to: str,
    out: Path,
    *,
    tokens: float | None,
    sequence_length: int,
    batch: int,
    paths: Sequence[str],
    seed: int,
    unique: Mapping[str, float],
    tokens_per_document: Mapping[str, float],
    data: Path | None = None,
    tokenizer: str | None = None,
    tell: Advance | None = None,
) -> Realised:
    """Export a schedule, or the one in a file, to one trainer.

    What is not given of ``unique`` and ``tokens_per_document`` is measured in ``data``; without that it is what the
    optimum in the file was found with (D too), else what the study in whose directory the file lies has, else assumed
    and told.

    Raises:
        BadInput: an unknown exporter, or whatever the trainer cannot be given.
    """
    exporters = all_exporters()
    if to not in exporters:
        raise BadInput(f"no exporter {to!r}", where="--to", expected=" | ".join(exporters))
    exporter = exporters[to]
    schedule = schedule_in(mixture) if isinstance(mixture, Path) else mixture
    languages = schedule.languages
    with made_of(mixture if isinstance(mixture, Path) else None, "a mixture of languages"):
        for name in languages:
            check_text(name, "the name of a language")
    used = schedule.average().support
    told_D, told_unique = _assumed_in(mixture, languages) if isinstance(mixture, Path) else (None, {})
    tokens = tokens or told_D or DEFAULT_TOKENS
    measured = _measured(mixture, used, data, tokenizer, seed, tell)
    known = measured.unique if data is not None else {**measured.unique, **told_unique}
    unique = {**known, **_named(unique, languages, "--unique")}
    lengths = _named(tokens_per_document, languages, "--tokens-per-document")
    tokens_per_document = {**measured.tokens_per_document, **lengths}
    request = ExportRequest(
        schedule=schedule,
        tokens=tokens,
        sequence_length=sequence_length,
        batch=batch,
        unique={language: unique.get(language, tokens) for language in languages},
        tokens_per_document={language: tokens_per_document.get(language, sequence_length) for language in languages},
        paths=_paths(paths, languages, exporter.path_template),
        seed=seed,
        guessed=frozenset(name for name in languages if name not in unique),
        document_lengths=measured.document_lengths,
        assumed=(*measured.remarks, *_assumptions(exporter, languages, unique, tokens_per_document)),
        stands_in=mixture if isinstance(mixture, Path) else "export schedule",
    )
    return write_export(exporter, request, out)


def _assumed_in(mixture: Path, languages: Sequence[str]) -> tuple[float | None, dict[str, float]]:
    """Training tokens and unique tokens that an optimum was found with; nothing from other files."""
    data = read_json(mixture)
    if not isinstance(data, dict):
        return None, {}
    D, unique = data.get("D"), data.get("unique")
    known = unique if isinstance(unique, dict) else {}
    numbers = {
        name: float(x) for name, x in known.items() if name in languages and isinstance(x, int | float) and x > 0
    }
    return (float(D) if isinstance(D, int | float) and D > 0 else None), numbers


def _named(given: Mapping[str, float], languages: Sequence[str], option: str) -> dict[str, float]:
    """Numbers of an option by the mixture's own names of its languages."""
    return {find_name(name, languages, where=option): number for name, number in given.items()}


def _measured(
    mixture: Path | Schedule,
    languages: Sequence[str],
    data: Path | None,
    tokenizer: str | None,
    seed: int,
    tell: Advance | None,
) -> Measured:
    """What is known of the data before anything is assumed."""
    if data is not None:
        return measure(data, languages, tokenizer, seed=seed, tell=tell)
    if isinstance(mixture, Path) and (store := store_of(mixture.resolve().parent)) is not None:
        return measured_in_store(store, languages)
    return Measured({}, {})


def _paths(given: Sequence[str], languages: Sequence[str], template: str) -> dict[str, str]:
    """The data of each language: its own ``LANGUAGE=PATH``, else the one path without a language, else ``template``."""
    own, common = {}, []
    for text in given:
        language, equals, path = text.partition("=")
        if equals and language in languages:
            own[language] = path
        else:
            common.append(text)
    if len(common) > 1:
        raise BadInput(
            f"{len(common)} paths without a language of the mixture ({', '.join(common)})",
            where="--path",
            expected=f"one with {{language}}, and LANGUAGE=PATH with one of {', '.join(languages)}",
        )
    template = common[0] if common else template
    return {language: own.get(language, template.replace("{language}", language)) for language in languages}


def _assumptions(
    exporter: Exporter, languages: Sequence[str], unique: Mapping[str, float], tokens_per_document: Mapping[str, float]
) -> Iterator[str]:
    """What :func:`export_file` takes for numbers that the user did not give, in words."""
    if missing := [name for name in languages if name not in unique]:
        yield (
            f"--unique is not given for {listed(missing)}: as many unique tokens as the run has are assumed, so the "
            "epochs are too few" + _follows(exporter.from_unique)
        )
    missing = [name for name in languages if name not in tokens_per_document]
    if missing and exporter.from_document_lengths:
        yield (
            f"--tokens-per-document is not given for {listed(missing)}: one full sequence per document is assumed"
            + _follows(exporter.from_document_lengths)
        )


def _follows(what: str) -> str:
    return f"; {what} would follow from it (--measure DATA measures it)" if what else ""
