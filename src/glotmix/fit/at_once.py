"""All targets of a fitted law at one mixture, worked out together: an optimiser asks for little else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from glotmix.fit.target import TargetFit
from glotmix.laws.gaussian_process import Processes, TrainedProcess
from glotmix.laws.law import Inputs, Law, LawValue, Problem


@dataclass(frozen=True)
class AtOnce:
    """Targets of one law that know the same things, each a row of one evaluation.

    The own share of every target stands first, the others in their order, so that one formula serves all rows.
    """

    law: Law
    """The family."""
    problem: Problem
    """What is known of the target of every row."""
    place_T: np.ndarray
    """Which of the fit's targets they are."""
    theta_TP: np.ndarray
    """Their parameters."""
    column_TL: np.ndarray
    """Which share stands where."""
    processes: Processes | None
    """What a black box has learned of each; None without one."""

    _last: dict[bytes, LawValue] = field(default_factory=dict, init=False, compare=False, repr=False)

    def loss(self, inputs: Inputs) -> np.ndarray:
        """Losses [T] of the one mixture of ``inputs``."""
        loss_T = self._at(inputs).loss_R
        return loss_T.copy() if self.processes is None else np.asarray(loss_T * np.exp(self.processes.predict(inputs)))

    def gradient(self, inputs: Inputs) -> np.ndarray:
        """Their derivatives by the shares, [T, L]."""
        at = self._at(inputs)
        by_p_TL = np.empty_like(at.gradient_p_RL)
        np.put_along_axis(by_p_TL, self.column_TL, at.gradient_p_RL, axis=1)
        if self.processes is None:
            return by_p_TL
        expected_T, slope_TL = self.processes.with_gradient(inputs)
        return np.asarray(np.exp(expected_T)[:, None] * (by_p_TL + at.loss_R[:, None] * slope_TL))

    def _at(self, inputs: Inputs) -> LawValue:
        """The law at the mixture; the last one is kept, because an optimiser asks for loss and gradient of the same."""
        asked = b"".join(x_R.tobytes() for x_R in (inputs.p_RL, inputs.N_R, inputs.D_R))
        if (known := self._last.get(asked)) is None:
            known = self.law.evaluate(self.problem, self.theta_TP, self._rows(inputs))
            self._last.clear()
            self._last[asked] = known
        return known

    def _rows(self, inputs: Inputs) -> Inputs:
        T = len(self.theta_TP)
        return Inputs(inputs.p_RL[0][self.column_TL], np.repeat(inputs.N_R, T), np.repeat(inputs.D_R, T))


def at_once(law: Law, fits: Sequence[TargetFit]) -> tuple[AtOnce, ...]:
    """The usable targets of a fit in as few parts as there are kinds; empty where they cannot be put together: other
    laws, scores, and black boxes other than processes are asked one target at a time."""
    usable = [t for t, at in enumerate(fits) if at.usable]
    if not law.each_its_own or any(fits[t].scored is not None for t in usable):
        return ()
    learned = [fits[t].learned for t in usable]
    boxed = [one for one in learned if isinstance(one, TrainedProcess)]
    if len(boxed) not in (0, len(usable)) or len(boxed) < sum(one is not None for one in learned):
        return ()
    kinds: dict[tuple[bool, frozenset[str]], list[int]] = {}
    for t in usable:
        problem = fits[t].problem
        kinds.setdefault((problem.own is None, problem.varies), []).append(t)
    return tuple(_part(law, fits, places) for places in kinds.values())


def _part(law: Law, fits: Sequence[TargetFit], places: Sequence[int]) -> AtOnce:
    some = [fits[t] for t in places]
    problem, every = some[0].problem, np.arange(len(some[0].problem.languages))
    if problem.own is not None:
        problem = replace(problem, target=problem.languages[0])
    own = [at.problem.own for at in some]
    columns = [every if t is None else np.append(t, np.delete(every, t)) for t in own]
    learned = [at.learned for at in some if isinstance(at.learned, TrainedProcess)]
    processes = Processes.of(learned) if learned else None
    theta_TP = np.array([at.theta_P for at in some])
    return AtOnce(law, problem, np.array(places), theta_TP, np.array(columns), processes)
