"""ShapleyLaw over mixtures, model sizes and tokens at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws import scale
from glotmix.laws.effective_share import box_cox
from glotmix.laws.law import Inputs, LawValue, Problem
from glotmix.laws.priors import Told, normal
from glotmix.laws.shapley_law import ShapleyLaw, _share, _share_columns, _share_size

RHO_PRIOR = (0.5, 0.5)
"""Mean and standard deviation of ρ: half way between a mixture that only adds to the loss (0) and one that scales all
of it (1), either within one deviation."""
DELTA_PRIOR = (0.5, 0.5)
"""The same of δ: half way between tokens that all count (0) and tokens that count by their effective share (1)."""
LEAST = 1e-6


@dataclass(frozen=True)
class ShapleyLawJoint(ShapleyLaw):
    """``L_t = E m + (A N^-α + B (p̃_t^δ D)^-β) m^ρ`` with ``m = 1 + c (p̃_t^-γ - 1)/γ`` and p̃ as in :class:`ShapleyLaw`.

    Two dials say how the mixture meets size and tokens, which the published laws fix in advance: ρ = 1, δ = 0 is
    ShapleyLaw (He et al., arXiv 2410.12883, with transfer: the mixture scales everything), ρ = δ = 0 is additive
    (Shukor et al., arXiv 2507.09404), c → 0, δ = 1 is effective data (ATLAS, arXiv 2510.22037).
    The table decides, between weak priors. Terms of what does not vary are left out; where neither N nor D varies this
    is ShapleyLaw. The form is ours.
    """

    name: ClassVar[str] = "shapley_law_joint"
    source: ClassVar[str] = "after ShapleyLaw, arXiv 2603.17945, and Shukor et al., arXiv 2507.09404; the form is ours"
    formula: ClassVar[str] = (
        "L_t = E m + (A N^-α + B (p̃^δ D)^-β) m^ρ, m = 1 + c (p̃^-γ - 1)/γ, p̃ = (p_t^ν + h^ν)^(1/ν), "
        "h = (Σ_{l≠t} (w_l p_l)^κ)^(1/κ)"
    )

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return (*super().parameters(problem), *_dials(problem))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        low_P, high_P = super().bounds(problem)
        dials = len(_dials(problem))
        low_P[0] = 0.0
        return np.append(low_P, [-2.0, -1.0][:dials]), np.append(high_P, [3.0, 2.0][:dials])

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        theta = super().starts(problem, inputs, loss_R, n, rng)
        theta[:, 0] *= np.concatenate([[0.8], rng.uniform(0.3, 1.0, n - 1)])
        dials = len(_dials(problem))
        drawn = np.vstack([[RHO_PRIOR[0], DELTA_PRIOR[0]], rng.uniform(0, 1, (n - 1, 2))])
        return np.hstack([theta, drawn[:, :dials]])

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        dials = _dials(problem)
        if not dials:
            return super().evaluate(problem, theta_P, inputs)
        E, c, gamma = theta_P.T[:3]
        end = 3 + _share_size(problem)
        rho, delta = theta_P[..., -len(dials)], theta_P[..., -1] if "δ" in dials else 0.0
        share = _share(problem, theta_P[..., 3:end], inputs)
        curve_R, by_log_R, by_gamma_R = box_cox(share.log_R, gamma)
        m_R = np.maximum(1 + c * curve_R, LEAST)
        lifted_R = m_R**rho
        # What N and D leave over, its derivatives by its parameters, and by ln p̃ through the data.
        rest_R, rest_by_log_R = np.zeros(len(m_R)), np.zeros(len(m_R))
        columns, delta_R, place = [], np.zeros(len(m_R)), end
        if "N" in problem.varies:
            A, alpha = theta_P.T[place : place + 2]
            n_R = np.log(inputs.N_R / scale.N_UNIT)
            power_R = np.exp(-alpha * n_R)
            rest_R = rest_R + A * power_R
            columns += [power_R * lifted_R, -A * power_R * n_R * lifted_R]
            place += 2
        if "D" in problem.varies:
            B, beta = theta_P.T[place : place + 2]
            d_R = np.log(inputs.D_R / scale.D_UNIT) + delta * share.log_R
            power_R = np.exp(np.clip(-beta * d_R, -200, 200))
            rest_R = rest_R + B * power_R
            rest_by_log_R = -beta * delta * B * power_R
            delta_R = -beta * share.log_R * B * power_R * lifted_R
            columns += [power_R * lifted_R, -B * power_R * d_R * lifted_R]
        by_m_R = np.where(1 + c * curve_R > LEAST, E + rest_R * rho * lifted_R / m_R, 0.0)
        slope_R = by_m_R * c * by_log_R + rest_by_log_R * lifted_R

        def by_theta() -> np.ndarray:
            return np.column_stack(
                [
                    m_R,
                    by_m_R * curve_R,
                    by_m_R * c * by_gamma_R,
                    slope_R[:, None] * _share_columns(problem, theta_P[3:end], share),
                    *columns,
                    rest_R * lifted_R * np.log(m_R),
                    *([delta_R] if "δ" in dials else []),
                ]
            )

        return LawValue(E * m_R + rest_R * lifted_R, by_theta, lambda: slope_R[:, None] * share.by_p())

    def known(self, problem: Problem) -> list[Told]:
        at = {name: i for i, name in enumerate(self.parameters(problem))}
        dials = [normal(at[name], prior) for name, prior in (("ρ", RHO_PRIOR), ("δ", DELTA_PRIOR)) if name in at]
        return [*super().known(problem), *dials]


def _dials(problem: Problem) -> tuple[str, ...]:
    """ρ where N or D varies, δ where D does."""
    return (("ρ",) if problem.varies & {"N", "D"} else ()) + (("δ",) if "D" in problem.varies else ())
