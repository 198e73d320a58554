"""Influence across languages (arXiv 2305.13286): tune classifiers, score, remove, retrain on subsets, report.

What is complete in the directory is not done again: the base model, every tuning, its scores, every retraining.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from glotmix.artifact import read_json, write_json
from glotmix.errors import BadInput, MissingExtra
from glotmix.studies.influence.config import InfluenceConfig
from glotmix.studies.influence.cost import Counts, stages_of_a_model
from glotmix.studies.influence.cost import stages as timed
from glotmix.studies.influence.page import write_influence_report
from glotmix.studies.influence.rehearsal import Scoring, architecture, stages
from glotmix.studies.influence.task_runs import TaskStudy
from glotmix.studies.influence.tasks import base_model, problems_with_texts
from glotmix.studies.influence.trainings import Wanted, again, train, tunings
from glotmix.study.config import TrainingConfig
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import Finished, Price, StudyKind
from glotmix.study.preflight import Trained, problems_of_sweep
from glotmix.study.rehearsal import Stages
from glotmix.study.training import executor_of
from glotmix.sweep.executors import EXECUTORS
from glotmix.sweep.executors.executor import Executor


class InfluenceKind(StudyKind[InfluenceConfig]):
    """``kind: influence``."""

    kind = "influence"
    config = InfluenceConfig
    fixed = ("languages", "seed", "base", "tuning")

    def trained(self, config: InfluenceConfig) -> list[Trained]:
        """The proxy that is tuned, where no model is given."""
        base = config.base
        if base.model is not None:
            return []
        training = TrainingConfig(
            name=config.name,
            languages=config.languages,
            seed=config.seed,
            corpus=base.corpus,
            tokens=base.tokens,
            proxy=base.proxy,
        )
        return [Trained(training, "base.proxy", "base.corpus")]

    def problems(self, config: InfluenceConfig, base: Path) -> list[BadInput]:
        """Tables that cannot be read or have too few texts, and libraries that are missing; nothing is fetched from the
        network."""
        found: list[BadInput] = []
        for task in config.tasks:
            found += problems_with_texts(task, config, base)
        if EXECUTORS.find(config.sweep.executor).elsewhere:
            message = f"executor: {config.sweep.executor} trains proxies alone"
            found.append(BadInput(message, where="sweep.executor", expected="local, slurm or ray"))
        if (devices := config.sweep.devices_per_run) > 1:
            message = f"devices_per_run = {devices}, and a classifier is tuned on one"
            found.append(BadInput(message, where="sweep.devices_per_run", expected="1, and as many workers"))
        found += problems_of_sweep(config.sweep)
        model = config.base.model
        if model is not None and not (base / model).is_dir() and find_spec("huggingface_hub") is None:
            missing = f"no directory {model!r}, and {MissingExtra('huggingface_hub', 'posttrain')}"
            found.append(BadInput(missing, where="base.model"))
        return found

    def price(self, config: InfluenceConfig, base: Path) -> Price:
        """Trainings, gradients and what lies on disk, counted; the time by a measurement of a few steps here."""
        counts = Counts.of(config)
        tunings = sum(counts.tunings.values())
        lines = {
            "tunings with checkpoints": f"{tunings}",
            "retrainings (removal, subsets)": f"{counts.retrainings}",
            "samples trained on": f"{counts.passes + counts.again:,}",
            "gradients": f"{counts.scored:,}, or more",
            "base model": config.base.model or f"a proxy, {config.base.proxy.tokens:,.0f} tokens",
        }
        amounts: dict[str, float | None] = {
            "tunings": float(tunings),
            "retrainings": float(counts.retrainings),
            "samples": float(counts.passes + counts.again),
            "gradients": float(counts.scored),
        }
        try:
            model = architecture(config, base)
        except (BadInput, MissingExtra) as unknown:
            return Price(lines | {"time here": f"not known: {unknown}"}, amounts)
        import torch

        from glotmix.attribution.parts import free_bytes

        room = free_bytes(torch.device("cuda" if torch.cuda.is_available() and config.device != "cpu" else "cpu"))
        scored = [Scoring.of(config, task, model, room) for task in config.tasks]
        gradients, indices = sum(one.gradients for one in scored), sum(one.index_bytes for one in scored)
        checkpoints = 4 * model.parameters * tunings * config.tuning.epochs
        lines["gradients"] = f"{gradients:,}" + (
            f", of {counts.scored:,} samples" + (", projected" if indices else ", in parts that fit into memory")
            if gradients > counts.scored
            else ""
        )
        lines["on disk"] = f"{checkpoints / 1e9:,.1f} GB of checkpoints, {indices / 1e9:,.1f} GB of projected gradients"
        amounts |= {"gradients": float(gradients), "checkpoint_bytes": checkpoints, "index_bytes": indices}
        flops = sum(one.footprint.flops for one in scored)
        return Price.timed(
            lines,
            amounts,
            timed(config, base, counts)
            if config.base.model is None
            else stages_of_a_model(config, model, counts, flops),
        )

    def stages(self, config: InfluenceConfig, base: Path) -> Stages:
        return stages(config, base)

    def mirror(self, config: InfluenceConfig) -> str | None:
        """Nothing is swept here, so the URL is a field of the study itself."""
        return config.mirror or config.sweep.mirror

    def work(self, config: InfluenceConfig, directory: StudyDirectory) -> Finished:
        """Everything in order; called again it goes on."""
        from glotmix.studies.influence.analysis import evidence_of

        narrator = directory.narrator
        executor = executor_of(config.sweep.model_copy(update={"device": config.device}))
        model = base_model(config.base, config, directory.base, directory.path, narrator)
        studies = [TaskStudy(config, task, model, directory.base, directory.path) for task in config.tasks]
        directory.plan_work({place.name: place for study in studies for place in study.planned()})
        for study in studies:
            _trained(study, "Tuning", tunings(study), executor, directory)
            _scored(study, directory)
        tested = {}
        for study in studies[:1] if config.test_first else studies:
            _trained(study, "Training again:", again(study), executor, directory)
            tested[study.task.name] = {"removal": study.removal(), "lds": study.datamodeling()}
        evidence = evidence_of(config, studies, tested)
        write_json(directory.path / "findings.json", [task.to_json() for task in evidence.tasks])
        return Finished(write_influence_report(evidence, directory.report))


def _trained(study: TaskStudy, label: str, wanted: list[Wanted], executor: Executor, directory: StudyDirectory) -> None:
    """What a study wants trained, in jobs; nothing where all of it is there."""
    if all(one.is_done() for one in wanted):
        return
    with directory.narrator.bar(f"{label} {study.task.name}") as advance:

        def show(done: int, total: int) -> None:
            advance(f"{label} {study.task.name}, {done} of {total}", done, total)
            directory.look()

        train(study, wanted, executor, show, retries=study.config.sweep.retries)


def _scored(study: TaskStudy, directory: StudyDirectory) -> None:
    config, name, narrator = study.config, study.task.name, directory.narrator
    wanted = study.tunings()
    with narrator.bar(f"Scoring {name}") as advance:
        for i, (seed, variant) in enumerate(wanted):
            advance(f"Scoring {name}", i, len(wanted))
            study.scores(seed, variant)
            directory.look()
    right = [np.mean(list(read_json(study.run(s) / "accuracy.json").values())) for s in range(config.seeds)]
    narrator.say(f"{name}: {config.seeds} tunings, accuracy {np.mean(right):.0%}")
