"""`glotmix export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glotmix.commands.options import Json, numbers
from glotmix.commands.output import show


def export(
    mixture: Annotated[Path, typer.Argument(metavar="mixture.json", help="An optimum, a mixture or a schedule.")],
    to: Annotated[str, typer.Option("--to", help="Exporter (see `glotmix exporters`).")],
    out: Annotated[Path, typer.Option("--out", help="Directory to write.")] = Path("export"),
    tokens: Annotated[
        float | None, typer.Option(help="Training tokens D of the run; default those of the optimum, else 1e9.")
    ] = None,
    sequence_length: Annotated[int, typer.Option(min=8, help="Tokens per sequence.")] = 2048,
    batch: Annotated[int, typer.Option(min=1, help="Sequences per step.")] = 512,
    path: Annotated[
        list[str] | None,
        typer.Option(
            "--path",
            metavar="[LANGUAGE=]PATH",
            help="Where your data lies: {language} stands for the language, LANGUAGE=PATH is for one alone. Default: "
            "the exporter's own place, such as data/{language}_text_document.",
        ),
    ] = None,
    unique: Annotated[
        list[str] | None, typer.Option("--unique", metavar="LANGUAGE=tokens", help="Unique tokens.")
    ] = None,
    tokens_per_document: Annotated[
        list[str] | None, typer.Option("--tokens-per-document", metavar="LANGUAGE=x", help="Mean tokens of a document.")
    ] = None,
    measure: Annotated[
        Path | None,
        typer.Option(
            "--measure",
            metavar="DATA",
            help="Measure unique tokens and document lengths: a study's directory, or texts by language "
            "(DATA/LANGUAGE/**, DATA/LANGUAGE.jsonl, ...). A mixture in a study's directory inherits them from it.",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="With --measure of texts: your trainer's tokenizer, a path or a hub name.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the trainer's shuffling and draws.")] = 0,
    as_json: Json = False,
) -> None:
    """Write a trainer's own files and realised.json, the shares that the trainer will really give."""
    from glotmix.exporters.from_file import export_file
    from glotmix.exporters.realised import realised_table
    from glotmix.study.narrator import Narrator

    with Narrator().bar("Measuring") as tell:
        realised = export_file(
            mixture,
            to,
            out,
            tokens=tokens,
            sequence_length=sequence_length,
            batch=batch,
            paths=path or [],
            seed=seed,
            unique=numbers("--unique", unique),
            tokens_per_document=numbers("--tokens-per-document", tokens_per_document),
            data=measure,
            tokenizer=tokenizer,
            tell=tell,
        )
    show(as_json, realised.to_json(), realised_table(realised), *realised.remarks)
    if not as_json:
        print(out)
