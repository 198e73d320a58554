"""A fitted law in the form that the page evaluates: every target with the same columns, weights of all languages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glotmix.fit.fit import Fit, TargetFit
from glotmix.fit.stage import STAGE
from glotmix.laws.gaussian_process import TrainedProcess
from glotmix.laws.law import Inputs
from glotmix.laws.repetition import Repeated
from glotmix.laws.residual import Corrected
from glotmix.laws.shapley_law import ShapleyLawFixed, _gaps
from glotmix.report.evidence import FormDraws, LawFit, Repeats
from glotmix.report.process import CHECKED, processes_of

FORMS = {
    "null": "null",
    "own_ratio": "own_ratio",
    "own_ratio_floored": "own_ratio_floored",
    "log_linear": "log_linear",
    "shapley_law": "shapley_law",
    "shapley_law_prior": "shapley_law",
    "shapley_law_fixed": "shapley_law",
    "shapley_law_data": "shapley_law_data",
    "shapley_law_joint": "shapley_law_joint",
    "shapley_law_repeated": "shapley_law_joint",
    "shapley_law_data_repeated": "shapley_law_data",
    "shapley_law_overfit": "shapley_law_data",
    "own_ratio_repeated": "own_ratio_floored",
}
"""Law to its formula in assets/law.js; others, and those that trees correct, are not evaluated in the page."""


def law_fit(fitted: Fit) -> LawFit | None:
    """The law for the targets that it says something of; None where the page cannot evaluate it.

    The ShapleyLaws get a column per language and ν: the target's own weight is one, a target outside the mixture has
    ν = 1 (neither is used), and where the Shapley values fix the weights they are written out.
    """
    form = FORMS.get(fitted.law.inside.name)
    told = [target for target in fitted.targets if fitted.fits[target].usable]
    if form is None or not told:
        return None
    at = [fitted.fits[target] for target in told]
    learned = [one.learned for one in at if isinstance(one.learned, TrainedProcess)]
    if isinstance(fitted.law, Corrected) and len(learned) < len(at):
        return None
    rows = [_columns(fitted, one, one.theta_P[None]) for one in at]
    names = tuple(rows[0])
    resamples = min(len(one.bootstrap_BP) for one in at)
    resampled = [_columns(fitted, one, one.bootstrap_BP[:resamples]) for one in at] if resamples else []
    return LawFit(
        name=fitted.law.name,
        form=form,
        formula=fitted.law.formula,
        source=fitted.law.source,
        languages=fitted.languages,
        targets=tuple(told),
        parameters=names,
        theta_TP=np.array([[row[name][0] for name in names] for row in rows]),
        theta_BTP=np.stack([np.stack([row[name] for name in names], axis=1) for row in resampled], axis=1)
        if resampled
        else None,
        varies=at[0].problem.varies,
        N=fitted.N,
        D=fitted.D,
        repeats=_repeats(fitted, at[0]),
        draws=_draws(fitted, told, resamples),
        processes=processes_of(learned, _looked_at(fitted)) if learned else (),
        most=tuple(None if one.scored is None else one.scored.most for one in at) if fitted.scored else (),
        stands_on=tuple(one.problem.target for one in at) if fitted.scored else (),
        further=tuple(one.further for one in at) if fitted.scored else (),
    )


def _draws(fitted: Fit, told: Sequence[str], resamples: int) -> FormDraws | None:
    if fitted.form is None or not resamples:
        return None
    turn_LF, phase_F = fitted.form.waves(len(fitted.languages))
    kept = [fitted.targets.index(target) for target in told]
    return FormDraws(turn_LF, phase_F, fitted.form.amplitudes(resamples)[:, :, kept])


def _looked_at(fitted: Fit) -> Inputs:
    """Random mixtures of the size that predictions are for."""
    p_QL = np.random.default_rng(0).dirichlet(np.ones(len(fitted.languages)), CHECKED)
    return Inputs(p_QL, np.full(CHECKED, fitted.N), np.full(CHECKED, fitted.D))


def _repeats(fitted: Fit, at: TargetFit) -> Repeats | None:
    if not isinstance(law := fitted.law.inside, Repeated):
        return None
    known = "unique" in at.problem.varies
    unique = fitted.unique_L.tolist() if known and fitted.unique_L is not None else None
    return Repeats(None if unique is None else tuple(unique), law.added)


def _columns(fitted: Fit, at: TargetFit, theta_BP: np.ndarray) -> dict[str, np.ndarray]:
    """Parameter name to its values [B], weights last and complete."""
    columns, law = dict(zip(at.names, theta_BP.T, strict=True)), fitted.law.inside
    if any(one.through is not None for one in fitted.fits.values()):  # the others go on as they are
        columns = {STAGE[0]: np.zeros(len(theta_BP)), STAGE[1]: np.ones(len(theta_BP))} | columns
    if isinstance(law, ShapleyLawFixed):
        others = [language for language in fitted.languages if language != at.problem.target]
        for source, gap in zip(others, _gaps(at.problem), strict=True):
            columns[f"w/{source}"] = np.exp(np.maximum(-gap / columns["b"], -60))
    if "κ" in columns:
        if not isinstance(law, Repeated):  # there b is the loss per e-fold, by which the values tell the weights
            columns.pop("b", None)
        columns.setdefault("ν", np.ones(len(theta_BP)))
        columns |= {f"w/{fitted.languages[one]}": np.ones(len(theta_BP)) for one in [at.problem.own] if one is not None}
    if isinstance(law, Repeated):  # a target outside the mixture has no text to learn by heart
        further = {name: np.ones(len(theta_BP)) for name in law.of_own_text(at.problem)}
        columns = further | columns
    if fitted.law.knows_order:  # a target outside the mixture has no text of its own, one alone no others
        columns = {"late": np.zeros(len(theta_BP)), "late_others": np.zeros(len(theta_BP))} | columns
    weights = [f"{kind}/{language}" for kind in "aw" for language in fitted.languages]
    return {name: columns[name] for name in (*sorted(set(columns) - set(weights)), *weights) if name in columns}
