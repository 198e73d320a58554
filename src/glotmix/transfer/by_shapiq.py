"""Every other estimator of Shapley values: those of the library shapiq (extra ``shapley``), on the same payoffs."""

from __future__ import annotations

import numpy as np

from glotmix.errors import BadInput, MissingExtra
from glotmix.transfer.estimate import Payoff, SampledValues


def by_shapiq(name: str, payoff: Payoff, n: int, runs: int, seed: int = 0) -> SampledValues:
    """Shapley values by one of shapiq's approximators ("SVARM", "StratifiedSamplingSV", "OwenSamplingSV", …).

    The approximator asks for coalitions in batches; each is asked for once and kept, so that all targets share the
    runs of the first. Which coalitions it asks for depends on the seed alone for most of them.

    Args:
        name: a class of ``shapiq.approximator`` that estimates Shapley values and needs no model.
        payoff: from coalitions to payoffs [C, T].
        n: languages.
        runs: its budget; the empty and the full coalition count.
        seed: of its draws.

    Raises:
        MissingExtra: shapiq is not installed.
        BadInput: it has no such approximator.
    """
    try:
        import shapiq.approximator as library
    except ImportError:
        raise MissingExtra("shapiq", "shapley") from None
    if not hasattr(library, name):
        names = [one for one in dir(library) if one[0].isupper()]
        raise BadInput(f"shapiq has no approximator {name!r}", expected=" | ".join(names))
    kept: dict[bytes, np.ndarray] = {}

    def known(inside: np.ndarray) -> np.ndarray:
        inside = np.asarray(inside, dtype=bool)
        if new := [row for row in inside if row.tobytes() not in kept]:
            asked = np.unique(np.array(new), axis=0)
            kept.update({row.tobytes(): value_T for row, value_T in zip(asked, payoff(asked), strict=True)})
        return np.array([kept[row.tobytes()] for row in inside])

    nobody_T = known(np.zeros((1, n), dtype=bool))[0]
    values = []
    for t in range(len(nobody_T)):
        approximator = getattr(library, name)(n=n, random_state=seed)
        found = approximator.approximate(runs, lambda inside, t=t: known(np.atleast_2d(inside))[:, t] - nobody_T[t])
        values.append([found[(player,)] for player in range(n)])
    value_TL = np.array(values, dtype=float)
    return SampledValues(value_TL, np.full_like(value_TL, np.nan), len(kept) - 1)
