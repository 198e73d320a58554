"""Which law: by held-out error, the simpler kind where the difference is noise."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from glotmix.errors import BadInput
from glotmix.fit.holdout import Holdout
from glotmix.laws import find_law
from glotmix.laws.null import Null
from glotmix.laws.residual import Corrected

MOST_UNCONVERGED = 0.1
"""Share of a law's fits that may end without having converged before it is passed over."""
LEAST_INSIDE = 8
"""Held-out mixtures of all languages from which they decide alone which law is chosen."""


def choose(holdout: Holdout, counted: Collection[str] = ()) -> str:
    """The law with the least mean held-out error over the targets in the mixture, or a simpler kind of law whose error
    is within one standard error of it (Breiman et al. 1984, section 3.4.3).

    The null law is simpler than any other, and a law simpler than one whose residuals a black box learns; between laws
    of one kind the least error decides, since their priors hold already what the runs do not tell, and an optimum on a
    law that leaves transfer out pays for every help that it overlooks. The standard error is that of the difference
    between the two laws, over mixtures. An optimum lies where nearly every language has a share, so mixtures of all of
    them decide alone where ``LEAST_INSIDE`` were held out: at single languages and small coalitions a law may fail that
    is right inside, and the mean of all runs look good. Only laws that predicted every held-out run compete (one that
    is infinite where a language is absent was judged on the easier runs), and a law of which more than
    ``MOST_UNCONVERGED`` of the fits did not converge only if there is no other.

    Args:
        holdout: errors of every law.
        counted: targets that the objective counts: a law that says nothing of one of them, as laws of the own share do
            of a target outside the mixture, is passed over where another says something of all.
    """
    most = {t: max((of[t].runs for of in holdout.scores.values() if t in of), default=0) for t in holdout.targets}
    complete = [law for law, of in holdout.scores.items() if all(s.runs == most[t] for t, s in of.items())]
    finite = [law for law in complete if np.isfinite(holdout.mean(law))]
    speaking = [law for law in finite if all(t in holdout.scores[law] for t in counted)]
    finite = speaking if any(law != "null" for law in speaking) else finite
    if not finite:
        raise BadInput("no law predicts every target of the mixture", expected="at least the null law")
    settled = [law for law in finite if holdout.unconverged.get(law, 0.0) <= MOST_UNCONVERGED]
    finite = settled if any(law != "null" for law in settled) else finite
    if holdout.predictions is None:
        return min(finite, key=holdout.mean)
    error_GL = _errors(holdout, finite, counted)
    mean_L = error_GL.mean(axis=0)
    ahead_GL = error_GL - error_GL[:, [int(mean_L.argmin())]]
    spread_L = ahead_GL.std(axis=0, ddof=1) / np.sqrt(len(ahead_GL)) if len(ahead_GL) > 1 else np.zeros(len(finite))
    near = [k for k in range(len(finite)) if mean_L[k] - mean_L.min() <= spread_L[k]]
    return finite[min(near, key=lambda k: (_kind(finite[k]), mean_L[k]))]


def _kind(name: str) -> int:
    """0 for the null law, 2 for one with a black box, 1 for all others."""
    law = find_law(name)
    return 2 if isinstance(law, Corrected) else int(not isinstance(law, Null))


def _errors(holdout: Holdout, laws: list[str], counted: Collection[str] = ()) -> np.ndarray:
    """Relative error of the held-out mixtures under every law, mean over its runs, the targets inside and the scores
    that count, [G, laws]."""
    told = holdout.predictions
    assert told is not None
    inside = [t for t, target in enumerate(holdout.targets) if target in holdout.languages]
    scores = [t for t, target in enumerate(holdout.targets) if target in holdout.of_scores and target in counted]
    columns = list(dict.fromkeys([*inside, *scores])) or list(range(len(holdout.targets)))
    enough = len(np.unique(told.group_R[told.inside_R])) >= LEAST_INSIDE
    keep_R = told.inside_R if enough else np.ones(len(told.runs), dtype=bool)
    off = [np.abs(told.predicted[law][keep_R][:, columns] / told.measured_RT[keep_R][:, columns] - 1) for law in laws]
    known_LR = np.stack([np.isfinite(one).sum(axis=1) for one in off])
    off_LR = np.stack([np.where(np.isfinite(one), one, 0.0).sum(axis=1) for one in off]) / np.maximum(known_LR, 1)
    _, group_R = np.unique(told.group_R[keep_R], return_inverse=True)
    runs_G = np.bincount(group_R)
    return np.stack([np.bincount(group_R, off_R) / runs_G for off_R in off_LR], axis=1)
