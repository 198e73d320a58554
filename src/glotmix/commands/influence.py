"""`glotmix influence`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glotmix.commands.options import Json, read_back
from glotmix.commands.output import show


def influence(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Finished runs that differ in their seed: of a study (with checkpoints), a transformers model, a LoRA "
            "adapter.",
        ),
    ],
    train: Annotated[
        Path | None, typer.Option(help="Table of training texts (text, language, maybe id, label) or chats (messages).")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Table of test texts.")] = None,
    train_samples: Annotated[int, typer.Option(min=1, help="Most training samples of each language.")] = 100,
    test_samples: Annotated[int, typer.Option(min=1, help="Most test samples of each language.")] = 10,
    top: Annotated[int | None, typer.Option(min=1, help="Samples that count as the top; default a tenth.")] = None,
    similarity: Annotated[str, typer.Option(help="cosine or dot.")] = "cosine",
    weighting: Annotated[str, typer.Option(help="Of checkpoints: uniform, learning_rate or last.")] = "uniform",
    parameters: Annotated[
        list[str] | None, typer.Option("--parameters", metavar="NAME", help="all, linear, embeddings, or patterns.")
    ] = None,
    checkpoint: Annotated[list[str] | None, typer.Option("--checkpoint", help="Checkpoint to use; several.")] = None,
    length: Annotated[int, typer.Option(min=4, help="Most tokens of a text.")] = 128,
    processes: Annotated[int, typer.Option(min=1, help="Processes side by side over the training samples.")] = 1,
    device: Annotated[str, typer.Option(help="Where gradients are computed: auto, cpu or cuda.")] = "auto",
    query_gb: Annotated[
        float | None, typer.Option(min=1e-3, help="Memory for test gradients in GB; default half of what is free.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="Score with a projected index kept here; its error is told.")
    ] = None,
    dimensions: Annotated[int, typer.Option(min=1, help="Sides of a projected matrix.")] = 16,
    lenses: Annotated[
        bool, typer.Option("--lenses", help="Beside a study's game and law, and in-run Shapley of the same runs.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of samples, nulls and projections.")] = 0,
    out: Annotated[Path, typer.Option("--out", help="Directory of scores and report.")] = Path("influence"),
    as_json: Json = False,
) -> None:
    """Which languages' training samples predictions rest on: shares beside their nulls, with intervals."""
    from glotmix.studies.influence.finished_runs import InfluenceRequest, influence_of
    from glotmix.study.narrator import Narrator

    chosen = parameters or ["all"]
    named = chosen[0] if len(chosen) == 1 and chosen[0] in ("all", "linear", "embeddings") else chosen
    asking = InfluenceRequest(
        train=train,
        test=test,
        train_samples=train_samples,
        test_samples=test_samples,
        similarity=similarity,
        weighting=weighting,
        parameters=named,
        checkpoints=checkpoint or None,
        top=top,
        length=length,
        processes=processes,
        device=device,
        query_gb=query_gb,
        index=index,
        dimensions=dimensions,
        lenses=lenses,
        seed=seed,
    )
    answer = influence_of(runs, asking, out, Narrator())
    show(as_json, read_back(out / "influence.json"), *answer.tables())
