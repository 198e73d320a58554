"""Hand off: the folder in which a foreign trainer finds what to train, run by run, and how to tell what came of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from glotmix.artifact import creating, open_artifact, write_json, write_text
from glotmix.errors import BadInput, Corrupt
from glotmix.exporters import EXPORTERS
from glotmix.exporters.exporter import Exporter, ExportRequest
from glotmix.exporters.exporter import export as write_export
from glotmix.exporters.flags import RunSettings, arguments
from glotmix.handoff.asked import ASKED, GUIDE, KIND, RESULTS, RUNS, WAITING, About, AskedRun, AskedScore, checksum_of
from glotmix.handoff.check import Collection
from glotmix.handoff.guide import guide
from glotmix.handoff.scripts import COMMANDS, command_of, loop, slurm
from glotmix.mixture.design import PlannedRun
from glotmix.source import file_stem
from glotmix.tokens.store import TokenStore

TABLE, HELD_OUT, REFUSED = "runs.csv", "held_out", "refused.txt"


@dataclass(frozen=True)
class Trainer:
    """Whose trainer it is, and how it is started."""

    exporter: str
    """Whose files are written."""
    command: str | None = None
    """What trains one run, with ``{run_dir}``, ``{arguments}``, … in it; None where the user starts them by hand."""
    data: str | Mapping[str, str] | None = None
    """Where the data of each source lies for the trainer; None for the exporter's own places."""
    slurm: Mapping[str, str] | None = None
    """Options of ``sbatch`` for the array script."""
    at_once: int | None = None
    """Most tasks of the array that run at the same time."""
    load: str | None = None
    """Where it finds the model that runs go on from; None for the folder that proxies would."""


@dataclass(frozen=True)
class RunToAsk:
    """A planned run with what a trainer must know of it."""

    planned: PlannedRun
    """Mixture, tokens and seed."""
    settings: RunSettings
    """Shape, length and learning rate."""
    N: int
    """Parameters without embeddings."""
    flops_per_token: float
    """Training FLOPs of a token."""
    unique: Mapping[str, float]
    """Source to the tokens that it may draw from."""
    made_from: Mapping[str, Any]
    """What determines its numbers."""

    @property
    def full_name(self) -> str:
        """Name and checksum."""
        return f"{self.planned.run}.{checksum_of(self.made_from)}"


def about_of(
    trainer: Trainer,
    store: TokenStore,
    sources: Sequence[str],
    targets: Sequence[str],
    base: str | None = None,
    scores: Mapping[str, AskedScore] | None = None,
) -> About:
    """What losses are converted by, measured on the held-out text, and what runs go on from."""
    held = {target: store.held_out(target) for target in targets}
    tokens = {name: len(one.tokens) if one.scored is None else int(one.scored.sum()) for name, one in held.items()}
    return About(
        trainer.exporter,
        tuple(sources),
        tuple(targets),
        {target: one.bytes / tokens[target] for target, one in held.items()},
        {target: store.unigram_bits_per_byte(target) for target in targets},
        base,
        scores or {},
    )


def ask(folder: Path, runs: Sequence[RunToAsk], trainer: Trainer, store: TokenStore) -> list[AskedRun]:
    """Write what is not written yet of the runs' folders; what was handed off once is never changed.

    Raises:
        BadInput: runs that the trainer cannot be given, all of them by name; nothing is written then.
    """
    exporter: Exporter = EXPORTERS.find(trainer.exporter)()
    totals = {name: store.totals(name, "train") for run in runs for name in run.unique}
    lengths = {name: one["tokens"] / one["documents"] for name, one in totals.items()}
    requests = {run.full_name: _request(run, lengths, trainer) for run in runs}
    _refuse_what_cannot_be_given(exporter, runs, requests)
    asked = []
    for run in runs:
        place = folder / RUNS / run.full_name
        try:
            artifact = open_artifact(place, KIND, dict(run.made_from))
            known = None if artifact is None else json.loads(artifact.checked(ASKED).read_text("utf-8"))
        except Corrupt as error:
            raise BadInput(f"{error}; delete {place} to have it written again") from None
        asked.append(
            _write(place, run, exporter, requests[run.full_name])
            if known is None
            else AskedRun.from_json(known, where=place / ASKED)
        )
    return asked


def _request(run: RunToAsk, lengths: Mapping[str, float], trainer: Trainer) -> ExportRequest:
    schedule = run.planned.schedule
    used = [name for name in schedule.languages if any(stage.mixture[name] > 0 for stage in schedule.stages)]
    return ExportRequest(
        schedule=schedule,
        tokens=run.planned.tokens,
        sequence_length=run.settings.sequence_length,
        batch=run.settings.batch,
        unique={name: run.unique[name] for name in used},
        tokens_per_document={name: lengths[name] for name in used},
        paths=trainer.data,
        seed=run.planned.seed,
    )


def _refuse_what_cannot_be_given(
    exporter: Exporter, runs: Sequence[RunToAsk], requests: Mapping[str, ExportRequest]
) -> None:
    wrong = []
    for run in runs:
        planned = run.planned
        try:
            if planned.adaptive is not None or planned.weighting is not None:
                raise BadInput("weights its losses or adapts its mixture, which no files of a trainer can say")
            if len(requests[run.full_name].runs()) > 1:
                raise BadInput("restarts its optimiser", expected="a schedule in one run")
            exporter.files(requests[run.full_name])
            exporter.simulate(requests[run.full_name])
        except BadInput as error:
            wrong.append(f"{planned.run}: {error}")
    if wrong:
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise BadInput("; ".join(wrong[:5]) + more, where=f"handing off to {exporter.name}")


def _write(place: Path, run: RunToAsk, exporter: Exporter, request: ExportRequest) -> AskedRun:
    """One run's folder, complete or absent."""
    with creating(place, KIND, dict(run.made_from)) as part:
        realised = write_export(exporter, request, part, warn=False)
        settings, planned = run.settings, run.planned
        D = float(request.steps * settings.batch * settings.sequence_length)
        asked = AskedRun(
            run=planned.run,
            checksum=checksum_of(run.made_from),
            role=planned.role,
            seed=planned.seed,
            N=run.N,
            D=D,
            C=D * run.flops_per_token,
            steps=request.steps,
            batch=settings.batch,
            sequence_length=settings.sequence_length,
            learning_rate=settings.learning_rate,
            wished=dict(planned.schedule.average()),
            realised=dict(realised.realised),
            unique={name: float(tokens) for name, tokens in run.unique.items()},
            arguments=arguments(exporter.flags, settings, request.steps, planned.seed),
            remarks=realised.remarks,
        )
        write_json(part / ASKED, asked.to_json())
    return asked


def write_held_out(folder: Path, store: TokenStore, targets: Sequence[str]) -> None:
    """The text that losses are measured on, ``held_out/<target>.jsonl`` (with ``~`` for a slash), once: a document per
    line, as ``text``, or as ``prompt`` and ``completion`` where only the latter counts."""
    tokenizer = store.tokenizer()
    for target in targets:
        path = folder / HELD_OUT / f"{file_stem(target)}.jsonl"
        if path.is_file():
            continue
        held, lines = store.held_out(target), []
        for row in store.documents(target, "held_out").iter_rows(named=True):
            own = slice(row["offset"], row["offset"] + row["length"] - 1)
            ids = held.tokens[own].tolist()
            told = {"id": row["id"], "text": tokenizer.decode(ids)}
            if held.scored is not None:
                first = int(held.scored[own].argmax())
                told = {
                    "id": row["id"],
                    "prompt": tokenizer.decode(ids[:first]),
                    "completion": tokenizer.decode(ids[first:]),
                }
            lines.append(json.dumps(told, ensure_ascii=False))
        write_text(path, "\n".join([*lines, ""]))


def tell(folder: Path, trainer: Trainer, collection: Collection, awaited: Sequence[str]) -> Path:
    """Write what people and scripts read: ``runs.csv``, ``waiting.txt``, the scripts and the guide.

    Args:
        folder: of the handoff.
        trainer: whose it is.
        collection: what has come back.
        awaited: full names of the runs that are needed now, in the order in which they are worth training.

    Returns:
        The guide.
    """
    (folder / RESULTS).mkdir(parents=True, exist_ok=True)
    waiting = [name for name in awaited if name not in collection.runs]
    _table(collection, set(awaited)).write_csv(part := folder / f"{TABLE}.part{os.getpid()}")
    os.replace(part, folder / TABLE)
    write_text(folder / WAITING, "".join(f"{name}\n" for name in waiting))
    write_text(folder / REFUSED, "".join(f"{one}\n" for one in collection.refused))
    if trainer.command is not None:
        for name in waiting:
            _write_script(folder / COMMANDS / f"{name}.sh", command_of(collection.asked[name], trainer.command))
        _write_script(folder / "loop.sh", loop())
        _write_script(folder / "slurm.sh", slurm(trainer.slurm or {}, len(waiting), trainer.at_once))
    write_text(folder / GUIDE, guide(collection, waiting, trainer.command))
    return folder / GUIDE


def _write_script(path: Path, text: str) -> None:
    write_text(path, text)
    path.chmod(0o755)


def _table(collection: Collection, awaited: set[str]) -> pl.DataFrame:
    """One row per run: what was asked, what will be realised, and what became of it."""
    rows = []
    for name, run in collection.asked.items():
        there = collection.runs.get(name)
        status = there.status if there is not None else "waiting" if name in awaited else "not needed"
        row: dict[str, Any] = {"run": name, "name": run.run, "checksum": run.checksum, "status": status}
        row |= {"role": run.role, "seed": run.seed, "N": run.N, "D": run.D, "steps": run.steps, "batch": run.batch}
        row |= {"sequence_length": run.sequence_length, "arguments": " ".join(run.arguments)}
        row |= {f"p/{source}": run.realised.get(source, 0.0) for source in collection.about.sources}
        row |= {f"wished/{source}": run.wished.get(source, 0.0) for source in collection.about.sources}
        row |= {f"unique/{source}": run.unique.get(source) for source in collection.about.sources}
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)
