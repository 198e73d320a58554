"""The menu: plan what to train, and run studies from corpus to page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glotmix.config import checked
from glotmix.errors import BadInput
from glotmix.menu.results import StudyResults
from glotmix.menu.sources import MixtureLike, PathLike, mixture_of
from glotmix.mixture.balancing import proportional, uniform
from glotmix.mixture.config import DesignConfig
from glotmix.mixture.planning import Design, design_of
from glotmix.notebook import Listing
from glotmix.optimize.reuse import reuse, reuse_runs
from glotmix.studies.begin import begin_study as begin
from glotmix.studies.begun import Begun
from glotmix.studies.recipes import all_recipes
from glotmix.studies.start import StudyToRun, open_study

if TYPE_CHECKING:
    from glotmix.study.kind import Price


def recipes() -> Listing:
    """Study files to start from: path, scales, and the question that each asks."""
    return Listing("Recipes", tuple(all_recipes()))


def design(
    languages: Sequence[str],
    *,
    tokens: float,
    unique: Mapping[str, float] | None = None,
    least: float = 0.0,
    seed: int = 0,
    keep: MixtureLike | None = None,
    affected: Sequence[str] = (),
    runs: int = 12,
    **fields: Any,
) -> Design:
    """Which models to train so that laws can be fitted: for those who train them themselves.

    Args:
        languages: languages or groups whose shares are sought.
        tokens: training tokens D of each model.
        unique: unique tokens of each language, which make the corpus's own mixture where ``base="natural"``, and are
            what ``passes`` are counted over, in these models.
        least: a share that is drawn below this becomes zero.
        seed: of the draws.
        keep: a mixture found before, when languages join: its languages keep their relative shares (Olmix's reuse).
        affected: with ``keep``: languages of it whose share is sought again.
        runs: with ``keep``: how many models.
        fields: those of a study's section ``design``: ``coalitions`` ("all", "sampled" or "none"), ``swarm`` (mixtures
            drawn), ``anchors``, ``anchor_seeds``, ``seeds``, ``base``, ``budget``, ``sampled_coalitions``, ...

    Returns:
        One row per model: name, role, tokens, seed and shares.

    Raises:
        BadInput: a field that the section does not have, ``passes`` without ``unique``, or fewer than two mixtures to
            fit laws to.
    """
    if keep is not None:
        kept = mixture_of(keep)
        small = reuse(kept, [name for name in languages if name not in kept], affected=affected)
        return Design(reuse_runs(small, runs, np.random.default_rng(seed), round(tokens)))
    config = checked(DesignConfig, {"swarm_roles": "fit", **fields}, where="design")
    natural = uniform(languages) if unique is None else proportional({name: unique[name] for name in languages})
    caps = None
    if config.passes is not None:
        if unique is None:
            message = f"passes: {config.passes:g}, and no text to count them over"
            raise BadInput(message, where="design.passes", expected="unique: {language: its unique tokens}")
        caps = {name: config.passes * unique[name] / tokens for name in languages}
    return design_of(config, languages, natural, tokens, seed=seed, least=least, caps=caps)


def begin_study(
    data: PathLike,
    *,
    out: PathLike = "study.yaml",
    hours: float = 4.0,
    name: str | None = None,
    force: bool = False,
    model: str | None = None,
) -> Begun:
    """Look at text or chats and write a study file for them, with the reason of each choice; it runs as it is.

    Needs the extra ``train``.

    Args:
        data: a folder with a folder or file per language, or with rows that have a field for the language. Rows of
            ``messages``, or of ``prompt`` and ``completion``, make a post-training study.
        out: the study file to write.
        hours: time that the training may take on this machine, about.
        name: title of the report.
        force: write over a file that is there.
        model: of chats: what is fine-tuned, a folder or a name on the hub; default a small proxy.

    Returns:
        What was found and left out, the study's fields, its price, and what pre-flight would refuse.

    Raises:
        BadInput: the file is there already; nothing was understood; text in fewer than two languages.
    """
    return begin(str(data), Path(out), hours=hours, name=name, force=force, model=model)


def price_study(study: PathLike, *, scale: str | None = None, change: Mapping[str, Any] | None = None) -> Price:
    """What a study would cost: models, tokens, compute, time. Nothing is trained or written.

    Args:
        study: a study file (see ``gm.recipes()``).
        scale: one of the file's scales.
        change: fields to their values, by dotted name: ``{"optimize.objective": "worst"}``.

    Raises:
        BadInput: the file, field and value that are wrong.
    """
    return _opened(study, None, scale, change).price()


def run_study(
    study: PathLike,
    *,
    out: PathLike | None = None,
    scale: str | None = None,
    change: Mapping[str, Any] | None = None,
) -> StudyResults:
    """Run a study of any kind; called again after an interruption, it resumes where it stopped.

    Training needs the extra ``train``. Progress goes to standard error.

    Args:
        study: a study file (see ``gm.recipes()``).
        out: directory of its results; default ``out/<name of the file>``.
        scale: one of the file's scales.
        change: fields to their values, by dotted name: ``{"proxy.tokens": 1e6, "sweep.executor": "ray"}``.

    Raises:
        BadInput: the study, its corpus or its directory are wrong, or another process works on it.
        GlotmixError: what it trains failed, or the disk is full.
    """
    started = _opened(study, out, scale, change)
    started.run()
    return StudyResults(started.directory.path)


def load_study(directory: PathLike) -> StudyResults:
    """The results of a study that was run, here or elsewhere: runs, transfer, laws, optimum, census, page.

    Args:
        directory: where they lie.

    Raises:
        BadInput: no study lies there.
    """
    return StudyResults(Path(directory))


def _opened(study: PathLike, out: PathLike | None, scale: str | None, change: Mapping[str, Any] | None) -> StudyToRun:
    return open_study(Path(study), out=None if out is None else Path(out), scale=scale, changes=change or {})
