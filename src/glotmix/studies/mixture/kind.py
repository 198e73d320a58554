"""A mixture of languages: corpus → tokens → design → proxies → transfer → laws → optimum → closed loop → page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glotmix.artifact import read_json, write_json
from glotmix.errors import BadInput, GlotmixError, Waiting, refuse
from glotmix.report.evidence import Evidence
from glotmix.report.frames.verdict import decide
from glotmix.report.page import write_comparison, write_report
from glotmix.studies.mixture.config import StudyConfig, read_mixture_study
from glotmix.studies.mixture.evidence import evidence_of
from glotmix.studies.mixture.first_phase import first_phase_if_sound
from glotmix.studies.mixture.pipeline import findings_of
from glotmix.studies.mixture.price import price
from glotmix.studies.mixture.problems import problems, problems_of_tokens
from glotmix.studies.mixture.rehearsal import stages
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study.directory import REPORT, StudyDirectory
from glotmix.study.kind import Finished, Price, StudyKind
from glotmix.study.preflight import Trained
from glotmix.study.proposing import ProposalWish, Proposed
from glotmix.study.rehearsal import Stages
from glotmix.study.starting import place_of_base, starting_from
from glotmix.study.training import sized
from glotmix.sweep.lock import held
from glotmix.tokens.opening import open_store
from glotmix.tokens.store import TokenStore

PRELIMINARY = "preliminary.json"
"""Which runs the last page was made from, while others are waited for."""


class MixtureKind(StudyKind[StudyConfig]):
    """``kind: mixture``, and what a study file without a kind asks for."""

    kind = "mixture"
    config = StudyConfig
    fixed = ("languages", "outside", "seed", "corpus", "tokens", "design", "proxy", "base", "first_phase", "target")
    hands_off = True
    starts_from_models = True

    def read(self, path: Path, *, scale: str | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
        """The fields of a study file, in which ``kind`` may stand."""
        return read_mixture_study(path, scale=scale, overrides=overrides)

    def resolved(self, config: StudyConfig, base: Path = Path()) -> StudyConfig:
        """With the proxy's shape worked out, from its size or from the model that it starts from."""
        if config.proxy.base is None:
            return config.model_copy(update={"proxy": sized(config.proxy, config.tokens.vocab_size)})
        place = place_of_base(config.proxy.base, base, weights=False)
        if config.tokens.tokenizer not in ("train", str(place)):
            what = f"tokenizer and proxy.base at once: {config.tokens.tokenizer}"
            raise BadInput(what, where="tokens.tokenizer", expected="none: it is that of the model")
        proxy = starting_from(config.proxy, place)
        assert proxy.architecture is not None
        vocabulary = {"vocab_size": proxy.architecture.vocabulary}
        return config.model_copy(update={"proxy": proxy, "tokens": config.tokens.model_copy(update=vocabulary)})

    def propose(self, wish: ProposalWish) -> tuple[str, Proposed]:
        """A study of the mixture of all languages of a corpus.

        Raises:
            BadInput: nothing was understood; text in fewer than two languages.
        """
        from glotmix.corpus.survey import survey
        from glotmix.studies.mixture.proposal import propose
        from glotmix.studies.mixture.proposal_file import proposal_text

        found = survey(wish.place, wish.base, wish.progress)
        title = wish.name or f"{len(found.languages)} languages of {wish.folder}"[:100]
        proposal = propose(found, wish.base, name=title, hours=wish.hours)
        return proposal_text(proposal), proposal

    def trained(self, config: StudyConfig) -> list[Trained]:
        return [Trained(config)]

    def problems(self, config: StudyConfig, base: Path) -> list[BadInput]:
        return problems(config, base)

    def problems_of_tokens(self, config: StudyConfig, unique: Mapping[str, int], base: Path) -> list[BadInput]:
        return problems_of_tokens(config, unique, first_phase_if_sound(config, base, unique))

    def price(self, config: StudyConfig, base: Path) -> Price:
        """Counted and measured on a few steps; nothing is written and no corpus is read."""
        return price(MixtureStudy.of(config, StudyDirectory(Path("unused"), base)))

    def stages(self, config: StudyConfig, base: Path) -> Stages:
        return stages(MixtureStudy.of(config, StudyDirectory(Path("unused"), base)))

    def work(self, config: StudyConfig, directory: StudyDirectory) -> Finished:
        """Do every stage that is not done yet, and write the page.

        Raises:
            BadInput: the study or its corpus are wrong.
            GlotmixError: no run of the study is complete, or the disk is full.
        """
        study = MixtureStudy.of(config, directory)
        store = study.tokens()
        there = {name: store.unique_tokens(name) for name in config.languages}
        refuse(problems_of_tokens(config, there, study.first_phase(store)))
        try:
            found = findings_of(study, store, train=True)
        except Waiting as waiting:
            write_preliminary(study, store, waiting)
            raise
        (study.directory / PRELIMINARY).unlink(missing_ok=True)
        evidence = evidence_of(found)
        decision = decide(evidence)
        return Finished(write_report(evidence, directory.report), (decision.words(),), decision)


def write_preliminary(study: MixtureStudy, store: TokenStore, waiting: Waiting) -> None:
    """The page from the runs that have come back so far, where a law can be fitted to them; once for each of them."""
    there = sorted(path.parent.name for path in (study.directory / "runs").glob("*/run.json"))
    note = study.directory / PRELIMINARY
    if not there or (note.is_file() and read_json(note)["runs"] == there):
        return
    try:
        write_report(evidence_of(findings_of(study, store, train=False)), study.directory / REPORT)
        study.narrator.say(f"  A page from the {len(there)} runs so far: {study.directory / REPORT}")
    except GlotmixError as error:
        study.narrator.say(f"  No page yet from {len(there)} of {len(there) + len(waiting.runs)} runs: {error}")
    write_json(note, {"runs": there, "waiting": list(waiting.runs)})


def report_again(directory: Path, out: Path | None, card: Path | None = None) -> Path:
    """Fit, optimise and report again from the runs that a study's directory holds; nothing is trained.

    Args:
        directory: the study's.
        out: the page; default that of the study.
        card: where the decision card goes as a picture; None for none.

    Raises:
        BadInput: the directory holds no study of a mixture, or one whose runs are not complete.
    """
    return write_report(_evidence_in(directory), out or StudyDirectory(directory).report, card)


def compare_studies(before: Path, after: Path, out: Path | None) -> Path:
    """Write a page that shows what changed from one study to another; nothing is trained.

    Raises:
        BadInput: a directory holds no study, or one whose runs are not complete.
    """
    studies = [_evidence_in(directory) for directory in (before, after)]
    names = (before.resolve().name, after.resolve().name)
    if names[0] == names[1]:
        names = (str(before), str(after))
    return write_comparison(studies[0], studies[1], out or after / f"compared_with_{before.resolve().name}.html", names)


def _evidence_in(directory: Path) -> Evidence:
    place = StudyDirectory(directory)
    kind = place.kind()
    if kind != MixtureKind.kind:
        raise BadInput(
            f"holds a study of kind {kind}, whose page `glotmix run` writes", where=directory, expected="a mixture"
        )
    study = MixtureStudy.of(place.stored(StudyConfig), place)
    with held(directory):
        return evidence_of(findings_of(study, open_store(directory / "tokens"), train=False))
