"""``kind: posttraining``: how many fine-tuning samples of which languages a task needs, and what comes along."""

from __future__ import annotations

from pathlib import Path

from glotmix.errors import BadInput
from glotmix.studies.posttraining.config import PosttrainingConfig
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import Finished, Price, StudyKind
from glotmix.study.preflight import Trained
from glotmix.study.proposing import ProposalWish, Proposed
from glotmix.study.rehearsal import Stages, rehearse
from glotmix.study.training import executor_of

MOST_STAGES = 3
"""Stages whose memory a dry run tells; ``--rehearse`` tells all."""


class PosttrainingKind(StudyKind[PosttrainingConfig]):
    """``kind: posttraining``: trains the grid, scores it, and reports the least data that does."""

    kind = "posttraining"
    config = PosttrainingConfig
    fixed = ("seed", "corpus", "tokens")

    def propose(self, wish: ProposalWish) -> tuple[str, Proposed]:
        """A study of how many chats of which languages fine-tuning needs.

        Raises:
            BadInput: fewer than two languages with enough chats; no model where one is needed.
        """
        from glotmix.studies.posttraining.proposal import propose_for_chats
        from glotmix.studies.posttraining.proposal_file import chat_proposal_text

        proposal = propose_for_chats(wish)
        return chat_proposal_text(proposal), proposal

    def trained(self, config: PosttrainingConfig) -> list[Trained]:
        """Every base that is pretrained here."""
        return [
            Trained(config.as_training(base.proxy), f"bases.{name}.proxy")
            for name, base in config.bases.items()
            if base.proxy is not None
        ]

    def problems(self, config: PosttrainingConfig, base: Path) -> list[BadInput]:
        """What is wrong with the samples, and what nothing here can score; nothing is fetched from the network."""
        from glotmix.studies.posttraining.problems import problems

        return problems(config, base)

    def price(self, config: PosttrainingConfig, base: Path) -> Price:
        """Models, samples, tokens, FLOPs and hours, and what a device must have room for; some samples are read,
        nothing is downloaded or trained."""
        from glotmix.studies.posttraining.price import price

        told = price(config, base)
        found = rehearse(lambda: self.stages(config, base), throughput=config.gpu_flops)
        answers = sum(found.hours(one) * one.devices for one in found.footprints if one.moved)
        if (hours := told.amounts.get("gpu_hours")) is not None and not found.refused:
            line = (
                f"about {hours + answers:,.1f} at {config.gpu_flops:.3g} FLOP/s, {answers:,.1f} of them for the answers"
            )
            amounts = {**told.amounts, "gpu_hours": hours + answers, "answer_gpu_hours": answers}
            told = Price({**told.lines, "GPU-hours": line}, amounts, told.stages)
        largest = sorted(found.footprints, key=lambda one: -one.bytes)[:MOST_STAGES]
        if not largest:
            return told
        memory = "; ".join(f"{one.stage} {one.bytes / 1e9:.3g} GB" for one in largest)
        amounts = {**told.amounts, "device_bytes": largest[0].bytes}
        return Price({**told.lines, "memory of a device": memory}, amounts, told.stages)

    def stages(self, config: PosttrainingConfig, base: Path) -> Stages:
        from glotmix.studies.posttraining.rehearsal import stages

        return stages(config, base)

    def work(self, config: PosttrainingConfig, directory: StudyDirectory) -> Finished:
        """Do what is missing: proxies, data, cells, judgements, influence; then the analysis and the report."""
        from glotmix.studies.posttraining.analysis import report
        from glotmix.studies.posttraining.fine_tuning import train

        executor = executor_of(config.sweep)
        plan, failed = train(config, directory, executor)
        return Finished(report(config, plan, failed, directory.path, executor, directory.narrator))
