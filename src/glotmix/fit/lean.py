"""How far all targets of a fit lean to one side together, for no other reason than noise.

A weight of transfer cannot be negative. Of a hundred languages most help a target not at all, and noise finds a little
help in half of them and takes none away in the others. So the help of all together comes out too large, the more the
more languages there are; where shares are balanced every loss is then predicted a little too low, by less than the runs
of any target show. No mean over targets averages that away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from glotmix.fit.target import TargetFit, inputs_of
from glotmix.fit.together import Together, refitted
from glotmix.laws.law import Inputs, Law
from glotmix.laws.residual import Corrected
from glotmix.progress import Stages

HELD_ALREADY = 1.5
"""How many times larger a lean is taken to be than it is told: the fits that runs are drawn from hold it themselves. On
planted tables of 20 to 100 languages it was 1.2 to 1.9 times as large."""
MOST = 20.0
"""Noise on ln L that is drawn at most: a table of nonsense must not end in losses that are no numbers."""
LEAST_REFITS = 10
"""Targets times pairs of refits that are made at the least: what one target leans by is not told well by one pair."""


def lean_of(law: Law, fits: Sequence[TargetFit], how: Together, at: Inputs) -> np.ndarray:
    """How much higher ln L̂ comes out at one mixture than it is, where the fits are the truth, per target [T].

    Runs are drawn from the fits, with the noise that was found, and fitted again; every draw once more with its sign
    turned, so that what is linear in the noise drops out of the mean of the two. Source: the parametric bootstrap of a
    bias (Efron & Tibshirani 1993, chapter 10) with antithetic draws (Hammersley & Morton 1956). A black box corrects
    what its law leans by, and is taken to have none; so are scores, whose noise is that of their questions.

    Args:
        law: the family.
        fits: the targets' fits.
        how: the runs and what the targets have in common.
        at: the mixture and size that it is told of.
    """
    lean_T = np.zeros(len(fits))
    told = [t for t, one in enumerate(fits) if one.usable and one.scored is None]
    if isinstance(law, Corrected) or not told:
        return lean_T
    runs, some = inputs_of(how.measurements), [fits[t] for t in told]
    column = [how.measurements.targets.index(one.problem.target) for one in some]
    with np.errstate(all="ignore"):  # a law has no answer for some runs; these were not fitted to
        log_RT = np.log(np.stack([law.predict(one.problem, one.theta_P, runs) for one in some], axis=1))
        weight_RT = how.weight_RT[:, column]
        sd_RT = np.stack([one.noise.deviation(log_R) for one, log_R in zip(some, log_RT.T, strict=True)], axis=1)
        sd_RT = np.where(weight_RT > 0, sd_RT / np.sqrt(weight_RT), 0.0)
    log_RT[~np.isfinite(how.measurements.loss_RT[:, column])] = np.nan
    before = {one.problem.target: one for one in some}
    here_T = _log_loss(law, some, at)
    rng = np.random.default_rng((how.task.seed, 3))
    pairs = -(-LEAST_REFITS // len(some))
    stages = Stages(how.tell, {str(k): 1.0 for k in range(2 * pairs)})
    for pair in range(pairs):
        noise_RT = sd_RT * rng.standard_normal(sd_RT.shape)
        for turned, sign in enumerate((1.0, -1.0)):
            loss_RT = how.measurements.loss_RT.copy()
            loss_RT[:, column] = np.exp(log_RT + sign * np.clip(noise_RT, -MOST, MOST))
            tell = stages.stage(str(2 * pair + turned))
            drawn = replace(how, measurements=replace(how.measurements, loss_RT=loss_RT), tell=tell)
            again = refitted(law, [one.problem for one in some], drawn, before)
            lean_T[told] += HELD_ALREADY * (_log_loss(law, again, at) - here_T) / (2 * pairs)
    return np.where(np.isfinite(lean_T), lean_T, 0.0)


def _log_loss(law: Law, fits: Sequence[TargetFit], at: Inputs) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.log([law.predict(one.problem, one.theta_P, at)[0] for one in fits])
