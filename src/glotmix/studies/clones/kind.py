"""Cloned languages as a laboratory (arXiv 2404.07982): train its arms, read the probes, judge the claims, report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glotmix.artifact import read_json, write_json, write_text
from glotmix.errors import GlotmixError
from glotmix.studies.clones import analysis as clone_findings
from glotmix.studies.clones.analysis import ArmOutcome
from glotmix.studies.clones.arms import Arm, arms
from glotmix.studies.clones.config import CloneStudyConfig
from glotmix.studies.clones.findings import CloneFindings
from glotmix.studies.clones.lenses import CloneLenses
from glotmix.studies.clones.page import page
from glotmix.studies.clones.rehearsal import stages
from glotmix.study import cost
from glotmix.study.config import TrainingConfig
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import Finished, Price, StudyKind
from glotmix.study.precision import described
from glotmix.study.preflight import Trained
from glotmix.study.rehearsal import Stages
from glotmix.study.status import ARMS
from glotmix.study.training import Training
from glotmix.sweep.sweep import SweepSpec, pack, sets_to_stack
from glotmix.tokens.clone import ClonedStore, clone_store, shared_mass
from glotmix.wording import counted

if TYPE_CHECKING:
    from glotmix.probe.alignment import Alignment


@dataclass(frozen=True)
class Laboratory:
    """A study file of clones, and the directory of its results."""

    config: CloneStudyConfig
    """What is asked."""
    directory: StudyDirectory
    """Where results go."""

    def study(self, arm: Arm) -> Training:
        """What trains on the text of an arm; arms with one tokenizer share their tokens."""
        texts = "+".join(dict.fromkeys(arm.texts))
        config = TrainingConfig(
            name=self.config.name,
            languages=list(dict.fromkeys(arm.texts)),
            seed=self.config.seed,
            corpus=self.config.corpus,
            tokens=arm.tokens,
            proxy=arm.proxy,
            sweep=self.config.sweep,
        )
        where = self.directory.path / "text" / f"{texts}-{arm.tokens.vocab_size}"
        shell = self.directory
        return Training(config, shell.base, where, shell.narrator, shell.mirror, whole=shell.path)

    def place(self, arm: Arm) -> Path:
        """Directory of an arm."""
        return self.directory.path / ARMS / arm.name

    def store(self, arm: Arm) -> ClonedStore:
        """The arm's languages as tokens."""
        base = self.study(arm).tokens()
        text = arm.texts[0] if len(arm.texts) == 1 else arm.texts
        return clone_store(self.place(arm) / "clones", base, text, arm.clones)

    def spec(self, arm: Arm, store: ClonedStore) -> SweepSpec:
        """What the arm's runs have in common."""
        study = self.study(arm)
        sequences = {name: (store.unique_tokens(name) - 1) // arm.proxy.context for name in arm.languages}
        return dataclasses.replace(
            study.sweep_spec(store.base, sets_to_stack(arm.runs)),
            directory=self.place(arm),
            store=store.directory,
            store_fingerprint=store.fingerprint,
            available=sequences,
            targets=arm.languages,
        )

    def train(self, arm: Arm) -> ClonedStore:
        """Train what is missing of an arm.

        Raises:
            GlotmixError: a run that failed on every try.
        """
        store = self.store(arm)
        spec = self.spec(arm, store)
        study = dataclasses.replace(self.study(arm), directory=self.place(arm))
        failed = study.run(list(arm.runs), spec, f"Training {arm.about}")
        if failed:
            raise GlotmixError(f"{len(failed)} runs of {self.place(arm)} failed; the logs are in its jobs/")
        study.measure(list(arm.runs), spec, failed)
        return store

    def probe(self, arm: Arm, store: ClonedStore) -> None:
        """Read the alignment of the first two languages off every checkpoint, once."""
        from glotmix.proxy.checkpoint import load_checkpoint

        (look, sentences), device = self._look(arm, store), self.study(arm).device()
        if not sentences:
            self.directory.narrator.say(f"  {arm.about}: no held-out text with its translation, so no alignment")
            return
        for run in [run for run in arm.runs if len(run.schedule.average().support) > 1]:
            path = self.place(arm) / "probes" / f"{run.run}.json"
            if path.exists() and read_json(path)["sentences"] == sentences:
                continue
            found: dict[str, Any] = {}
            folder = self.place(arm) / "runs" / run.run / "checkpoints"
            for kept in sorted(folder.iterdir(), key=lambda one: int(one.name.removeprefix("step-"))):
                shape, stored = load_checkpoint(kept)
                parameters = {name: tensor.to(device) for name, tensor in stored.items()}
                found[kept.name.removeprefix("step-")] = look(parameters, shape).to_json()
            write_json(path, {"sentences": sentences, "steps": found})

    def _look(self, arm: Arm, store: ClonedStore) -> tuple[Callable[..., Alignment], int]:
        """What reads a checkpoint, and how many sentences it reads: of clones the text, of a real pair translations."""
        from glotmix.probe.alignment import align, align_pairs

        if len(arm.texts) > 1:
            pairs = _translations(store, arm.proxy.context, self.config.probe.sentences)
            return lambda parameters, shape: align_pairs(parameters, shape, pairs), len(pairs)
        sentences_BS = _sentences(store, arm.proxy.context, self.config.probe.sentences)
        maps = store.maps_nV[0], store.maps_nV[1]
        return lambda parameters, shape: align(parameters, shape, sentences_BS, *maps), len(sentences_BS)

    def findings(self) -> CloneFindings:
        """Everything that the complete runs say."""
        outcomes = [ArmOutcome.read(arm, self.place(arm)) for arm in arms(self.config)]
        main = outcomes[0]
        alone = main.alone(main.arm.languages[0])
        method, told = clone_findings.curve_method(alone)
        mixtures, alone_rows, controls, dials = [], [], [], []
        for outcome in outcomes:
            # An arm with another tokenizer counts other tokens, one of another size learns at another pace; both have
            # runs on one language alone of their own.
            own = outcome.alone(outcome.arm.languages[0])
            arm = outcome.arm
            same = (arm.tokens, arm.proxy) == (main.arm.tokens, main.arm.proxy) and len(arm.texts) == 1
            curves = own or (alone if same else {})
            mixtures += clone_findings.mixture_rows(outcome, curves, clone_findings.curve_method(curves)[0])
            alone_rows += clone_findings.alone_rows(outcome)
            kind = outcome.arm.name.partition("-")[0]
            if kind == "updates":
                controls.append(clone_findings.control_row(main, outcome, alone, method))
            if kind in ("anchors", "relatives"):
                mass = shared_mass(self.store(outcome.arm), outcome.arm.languages[1])
                dials.append(clone_findings.dial_row(outcome, mass))
        if any(row.dial == "anchors" for row in dials):
            dials += clone_findings.dial_ends(main)
        return CloneFindings(
            title=self.config.name,
            question=self.config.description,
            languages=main.arm.languages,
            facts=self._facts(main),
            mixtures=tuple(mixtures),
            moments=tuple(clone_findings.moments(main)),
            alone=tuple(alone_rows),
            controls=tuple(row for row in controls if row),
            dials=tuple(dials),
            claims=tuple(clone_findings.claims(main, outcomes[1:], alone, method)),
            lenses=tuple(self.lenses(main).rows(alone, method)),
            curve=told,
        )

    def lenses(self, main: ArmOutcome) -> CloneLenses:
        """The four lenses on the main arm."""
        return CloneLenses(
            self.config.lenses, main, self.store(main.arm), self.place(main.arm), self.directory.narrator
        )

    def _facts(self, main: ArmOutcome) -> dict[str, str]:
        from glotmix.proxy.model import Shape

        store, proxy = self.store(main.arm), main.arm.proxy
        shape = Shape.of(proxy, store.vocab_size)
        return {
            "text": f"{store.unique_tokens(main.arm.languages[0]):,} tokens of {self.config.language}",
            "vocabulary": f"{store.base.vocab_size:,} ids of the text, {store.vocab_size:,} of both clones",
            "model": f"{shape.N:,} parameters without embeddings, {shape.layers} blocks of width {shape.width}",
            "training": f"{proxy.tokens:,.0f} tokens, {proxy.batch} sequences of {proxy.context} a step, "
            f"rate {proxy.learning_rate:g}",
            "precision": described(self.directory.path),
            "runs": f"{sum(len(arm.runs) for arm in arms(self.config))}",
        }


def _sentences(store: ClonedStore, context: int, count: int) -> np.ndarray:
    """Held-out sequences of the text, evenly spread, [B, T + 1]."""
    tokens = store.base.held_out(store.texts[0]).tokens
    there = (len(tokens) - 1) // context
    which = np.unique(np.linspace(0, there - 1, min(count, there)).astype(int))
    return np.asarray(tokens[which[:, None] * context + np.arange(context + 1)])


def _translations(store: ClonedStore, context: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The beginnings of held-out documents and of their translations, which share the document's id."""
    sides = []
    for language in store.languages[:2]:
        tokens, rows = store.held_out(language).tokens, store.documents(language, "held_out").iter_rows(named=True)
        sides.append({r["id"]: tokens[r["offset"] : r["offset"] + min(r["length"], context)] for r in rows})
    both = sorted(sides[0].keys() & sides[1].keys())[:count]
    return [(sides[0][one], sides[1][one]) for one in both]


class ClonesKind(StudyKind[CloneStudyConfig]):
    """``kind: clones``."""

    kind = "clones"
    config = CloneStudyConfig
    fixed = ("language", "seed", "corpus", "tokens", "clones", "proxy")

    def trained(self, config: CloneStudyConfig) -> list[Trained]:
        """The text of every arm; arms that differ in neither text, tokenizer nor batches are checked once."""
        laboratory = Laboratory(config, StudyDirectory(Path("unused")))
        found: dict[tuple[object, ...], Trained] = {}
        for arm in arms(config):
            proxy = arm.proxy
            key = (*arm.texts, arm.tokens.vocab_size, proxy.context, proxy.batch, proxy.tokens)
            found.setdefault(key, Trained(laboratory.study(arm).config))
        return list(found.values())

    def price(self, config: CloneStudyConfig, base: Path) -> Price:
        """Runs, tokens, FLOPs, and the time here by a measurement of a few steps."""
        from glotmix.proxy import flops
        from glotmix.proxy.model import Shape

        runs = tokens = 0
        compute = 0.0
        planned = arms(config)
        laboratory = Laboratory(config, StudyDirectory(Path("unused"), base))
        for arm in planned:
            vocab, _ = cost.vocabulary(arm.tokens, base)
            per_token = flops.per_token(Shape.of(arm.proxy, arm.ids(vocab)), arm.proxy.context)
            trained = sum(run.tokens for run in arm.runs)
            runs, tokens, compute = runs + len(arm.runs), tokens + trained, compute + trained * per_token
        main = planned[0]
        vocab, assumed = cost.vocabulary(main.tokens, base)
        shape = Shape.of(main.proxy, main.ids(vocab))
        study = laboratory.study(main)
        workers = study.processes_here()
        device, stack = study.device(), config.sweep.stack
        sets = [size for arm in planned for size in sets_to_stack(arm.runs)]
        packing = cost.packing(shape, main.proxy, sets, device=device, stack=stack, processes=workers)
        told = ", ".join(dict.fromkeys(arm.about for arm in planned))
        lines = {
            "proxies": f"{runs} in {counted(len(planned), 'arm')}: {told}",
            "size of one": f"{shape.N:,} parameters without embedding, {shape.parameters:,} with it",
            "training tokens": f"{tokens:,.0f}",
            "training compute": f"{compute:.3g} FLOP",
            **assumed,
        }
        equal = compute / flops.per_token(shape, main.proxy.context)
        jobs = sum(len(pack(arm.runs, packing.stack)) for arm in planned)
        evaluated = len(main.languages) * main.proxy.evaluations * config.tokens.held_out_tokens
        timed = [
            cost.reading(study.config, base),
            cost.sweep("training the arms", packing, tokens=equal, runs=runs, evaluated=evaluated, jobs=jobs),
        ]
        return Price.timed(lines, {"runs": runs, "tokens": tokens, "flops": compute}, timed)

    def stages(self, config: CloneStudyConfig, base: Path) -> Stages:
        return stages(config, base)

    def work(self, config: CloneStudyConfig, directory: StudyDirectory) -> Finished:
        """Train, probe, judge, report; what is complete is not done again."""
        laboratory = Laboratory(config, directory)
        planned = arms(config)
        for arm in planned:
            write_json(laboratory.place(arm) / "plan.json", [run.to_json() for run in arm.runs])
        for arm in planned:
            laboratory.probe(arm, laboratory.train(arm))
        found = laboratory.findings()
        write_json(directory.path / "clones.json", found.to_json())
        for claim in found.claims:
            directory.narrator.say(f"  {claim.verdict}: {claim.claim} ({claim.measured.value:+.3f})")
        write_text(directory.report, page(found))
        return Finished(directory.report)
