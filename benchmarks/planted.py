"""Planted truths: tables of runs whose noise-free losses are known everywhere, one family per kind of table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

NAMES = ("spa", "fra", "ita", "rus", "tur", "deu", "pol", "ces", "fin", "hun", "swe", "nld")
Parameters = Mapping[str, np.ndarray]
"""Arrays whose first axis is that of the targets."""


@dataclass(frozen=True)
class Runs:
    """Rows of a table, without the losses."""

    p_RL: np.ndarray
    N_R: np.ndarray | None = None
    D_R: np.ndarray | None = None
    unique_L: np.ndarray | None = None
    run_R: np.ndarray | None = None
    """Rows of one run (checkpoints) share a number, and the noise that moves a run as a whole."""

    def where(self, rows: np.ndarray) -> Runs:
        """Some of the rows."""
        N, D, run = (None if x is None else x[rows] for x in (self.N_R, self.D_R, self.run_R))
        return Runs(self.p_RL[rows], N, D, self.unique_L, run)


@dataclass(frozen=True)
class Truth:
    """A form and its parameters: called with runs, it gives their noise-free losses [R, T]."""

    form: Callable[[Parameters, Runs], np.ndarray]
    theta: Parameters
    prior: Parameters
    """How far each parameter spreads in its family (standard deviation, shaped like ``theta``); 0 where it is known."""

    def __call__(self, runs: Runs) -> np.ndarray:
        return np.asarray(self.form(self.theta, runs))

    def first(self, T: int) -> Truth:
        """The same truth of the first T targets alone."""
        cut = ({name: x[:T] for name, x in parameters.items()} for parameters in (self.theta, self.prior))
        return Truth(self.form, *cut)


def drawn(**parameters: tuple[np.ndarray, float | np.ndarray]) -> tuple[Parameters, Parameters]:
    """``theta`` and ``prior`` from pairs of value and spread."""
    theta = {name: value for name, (value, _) in parameters.items()}
    return theta, {name: np.broadcast_to(spread, value.shape) for name, (value, spread) in parameters.items()}


def uniform_spread(low: float, high: float) -> float:
    """Standard deviation of a uniform draw."""
    return (high - low) / 12**0.5


@dataclass(frozen=True)
class Table:
    """A planted table, the truth behind it, and new runs to judge by."""

    runs: Runs
    loss_RT: np.ndarray
    truth: Truth
    new: Runs
    new_loss_RT: np.ndarray
    spread_RT: np.ndarray
    """Standard deviation of the log noise of the new runs: what an oracle who knows the truth cannot avoid."""
    oracle_RT: np.ndarray
    """The same of one who knows the form alone, and its noise, and learns its parameters from the table."""
    languages: tuple[str, ...]
    at: Mapping[str, float] = field(default_factory=dict)
    """N and D that the question asks about; empty where the table has none."""


@dataclass(frozen=True)
class Family:
    """One kind of table."""

    name: str
    what: str
    make: Callable[[np.random.Generator], Table]


def transfer_truth(
    rng: np.random.Generator, L: int, *, helpers: float = 0.3, harm: float = 0.0, floor: float = 0.4
) -> Truth:
    """``E_t (f + (1-f) (p_t + Σ w p + 0.01)^-γ) exp(Σ h p)``: own text, some help, an irreducible part, some harm.

    No law of glotmix has this form: the floor and the constant 0.01 are its own, and harm is in none but log-linear.
    """
    E_T = rng.uniform(0.8, 1.4, L)
    gamma_T = rng.uniform(0.15, 0.35, L)
    w_TL = rng.exponential(helpers * 0.3, (L, L)) * (rng.random((L, L)) < 0.5)
    h_TL = harm * rng.random((L, L)) * (rng.random((L, L)) < 0.4)
    np.fill_diagonal(w_TL, 1.0)
    np.fill_diagonal(h_TL, 0.0)

    def form(theta: Parameters, runs: Runs) -> np.ndarray:
        share_RT = runs.p_RL @ theta["w"].T + 0.01
        level_RT = floor + (1 - floor) * share_RT ** -theta["gamma"]
        return np.asarray(theta["E"] * level_RT * np.exp(runs.p_RL @ theta["h"].T))

    others_TL = 1 - np.eye(L)
    parameters = drawn(
        E=(E_T, uniform_spread(0.8, 1.4)),
        gamma=(gamma_T, uniform_spread(0.15, 0.35)),
        w=(w_TL, helpers * 0.3 * others_TL),
        h=(h_TL, harm * uniform_spread(0, 1) * others_TL),
    )
    return Truth(form, *parameters)


def own_truth(rng: np.random.Generator, L: int) -> Truth:
    """He et al.: ``E_t p_t^-γ_t``."""
    E_T, gamma_T = rng.uniform(0.8, 1.4, L), rng.uniform(0.06, 0.16, L)

    def form(theta: Parameters, runs: Runs) -> np.ndarray:
        return np.asarray(theta["E"] * np.maximum(runs.p_RL, 1e-6) ** -theta["gamma"])

    return Truth(form, *drawn(E=(E_T, uniform_spread(0.8, 1.4)), gamma=(gamma_T, uniform_spread(0.06, 0.16))))


def mixtures(rng: np.random.Generator, R: int, L: int, concentration: float = 1.0) -> np.ndarray:
    """Dirichlet draws."""
    return rng.dirichlet(np.full(L, concentration), R)


def measured(
    rng: np.random.Generator,
    truth: Truth,
    runs: Runs,
    new: Runs,
    noise: float | Callable[[Runs], np.ndarray],
    languages: tuple[str, ...],
    common: float = 0.0,
    at: Mapping[str, float] | None = None,
) -> Table:
    """Losses times ``exp(noise)``; ``common`` moves all targets of a run together, rows of a run share their noise."""

    def spread(rows: Runs, shape: tuple[int, ...]) -> np.ndarray:
        return np.broadcast_to(noise(rows) if callable(noise) else noise, shape)

    def losses(rows: Runs) -> np.ndarray:
        clean_RT = truth(rows)
        run_R = np.arange(len(clean_RT)) if rows.run_R is None else rows.run_R
        alone_RT = spread(rows, clean_RT.shape) * rng.standard_normal(clean_RT.shape)[run_R]
        together_R = common * rng.standard_normal(len(clean_RT))[run_R]
        return np.asarray(clean_RT * np.exp(alone_RT + together_R[:, None]))

    loss_RT, new_RT = losses(runs), losses(new)
    spread_RT, own_RT = (np.hypot(spread(rows, loss.shape), common) for rows, loss in ((new, new_RT), (runs, loss_RT)))
    oracle_RT = np.hypot(spread_RT, unavoidable(truth, runs, new, own_RT))
    return Table(runs, loss_RT, truth, new, new_RT, spread_RT, oracle_RT, languages, at or {})


def unavoidable(truth: Truth, runs: Runs, new: Runs, spread_RT: np.ndarray) -> np.ndarray:
    """Standard deviation [R, T] of the log loss of ``new`` for one who knows form and noise and fits the parameters.

    Each target by itself, linearised at the truth, with the spread of its family as the parameters' prior. Rows of one
    run have the same noise; a hundredth of it is taken as each row's own, so that their covariance has an inverse.
    """
    R, T = spread_RT.shape
    slope_RTP, new_RTP = slopes(truth, runs), slopes(truth, new)
    prior_TP = np.concatenate([x.reshape(T, -1) for x in truth.prior.values()], axis=1)
    run_R = np.arange(R) if runs.run_R is None else runs.run_R
    same_RR = (run_R[:, None] == run_R) + 1e-4 * np.eye(R)
    sd_RT = np.zeros((len(new.p_RL), T))
    for t in range(T):
        free_P = prior_TP[t] > 0
        noise_RR = same_RR * spread_RT[:, t, None] * spread_RT[:, t]
        slope_RP, at_RP = slope_RTP[:, t, free_P], new_RTP[:, t, free_P]
        precision_PP = slope_RP.T @ np.linalg.solve(noise_RR, slope_RP) + np.diag(prior_TP[t, free_P] ** -2)
        sd_RT[:, t] = np.sqrt(np.einsum("rp,pr->r", at_RP, np.linalg.solve(precision_PP, at_RP.T)))
    return sd_RT


def slopes(truth: Truth, runs: Runs) -> np.ndarray:
    """d log loss / d parameter [R, T, P], by central differences; parameters in the order of ``truth.prior``."""
    columns = []
    for name, prior in truth.prior.items():
        value = truth.theta[name].astype(float)
        for j in range(prior[0].size):
            step_T = 1e-4 * prior.reshape(len(prior), -1)[:, j]
            moved = []
            for sign in (1, -1):
                other = value.copy().reshape(len(value), -1)
                other[:, j] += sign * step_T
                moved.append(np.log(truth.form({**truth.theta, name: other.reshape(value.shape)}, runs)))
            columns.append((moved[0] - moved[1]) / (2 * np.where(step_T > 0, step_T, 1)))
    return np.stack(columns, axis=2)


def plain(
    make_truth: Callable[[np.random.Generator, int], Truth],
    *,
    R: int = 40,
    L: int = 5,
    noise: float = 0.01,
    common: float = 0.0,
    concentration: float = 1.0,
) -> Callable[[np.random.Generator], Table]:
    """One size, every run another mixture."""

    def make(rng: np.random.Generator) -> Table:
        truth = make_truth(rng, L)
        runs, new = Runs(mixtures(rng, R, L, concentration)), Runs(mixtures(rng, 100, L, concentration))
        return measured(rng, truth, runs, new, noise, named(L), common)

    return make


def outliers(rng: np.random.Generator) -> Table:
    """An eighth of the runs went wrong for one target."""
    table = plain(lambda rng, L: transfer_truth(rng, L))(rng)
    spoiled = rng.choice(len(table.loss_RT), 5, replace=False)
    table.loss_RT[spoiled, 2] *= np.exp(rng.uniform(0.3, 0.9, 5))
    return table


def heteroscedastic(rng: np.random.Generator) -> Table:
    """The noise of a target grows as its share falls: 0.4 % at half the tokens, 3 % at none."""
    truth = transfer_truth(rng, 5)
    runs, new = Runs(mixtures(rng, 48, 5)), Runs(mixtures(rng, 100, 5))

    def noise(rows: Runs) -> np.ndarray:
        return np.asarray(0.004 + 0.026 * np.exp(-8 * rows.p_RL))

    return measured(rng, truth, runs, new, noise, named(5))


def repeats(rng: np.random.Generator) -> Table:
    """Twelve mixtures with four seeds each."""
    truth = transfer_truth(rng, 5)
    runs, new = Runs(np.repeat(mixtures(rng, 12, 5), 4, axis=0)), Runs(mixtures(rng, 100, 5))
    return measured(rng, truth, runs, new, 0.01, named(5))


def wrong_form(rng: np.random.Generator) -> Table:
    """A saturating curve, pairs that help only together, and a wave: nothing that any law has."""
    L = 5
    E_T, half_T = rng.uniform(0.8, 1.3, L), rng.uniform(0.05, 0.2, L)
    pair_TLL = rng.uniform(-0.6, 0.6, (L, L, L)) * (rng.random((L, L, L)) < 0.3)
    turn_T = rng.uniform(0, 2 * np.pi, L)

    def form(theta: Parameters, rows: Runs) -> np.ndarray:
        p_RL = rows.p_RL
        own_RT = 0.5 * theta["half"] / (theta["half"] + p_RL)
        pairs_RT = np.einsum("rk,tkl,rl->rt", p_RL, theta["pair"], p_RL)
        return np.asarray(theta["E"] * (1 + own_RT - pairs_RT + 0.01 * np.sin(9 * p_RL + theta["turn"])))

    parameters = drawn(
        E=(E_T, uniform_spread(0.8, 1.3)),
        half=(half_T, uniform_spread(0.05, 0.2)),
        pair=(pair_TLL, 0.3**0.5 * uniform_spread(-0.6, 0.6)),
        turn=(turn_T, uniform_spread(0, 2 * np.pi)),
    )

    runs, new = Runs(mixtures(rng, 60, L)), Runs(mixtures(rng, 100, L))
    return measured(rng, Truth(form, *parameters), runs, new, 0.005, named(L))


def boundary(rng: np.random.Generator) -> Table:
    """Only three of five groups are evaluated, the others help little: the optimum leaves them out."""
    table = plain(lambda rng, L: transfer_truth(rng, L, helpers=0.1))(rng)
    cut = {name: getattr(table, name)[:, :3] for name in ("loss_RT", "new_loss_RT", "spread_RT", "oracle_RT")}
    return replace(table, truth=table.truth.first(3), **cut)


def no_effect(rng: np.random.Generator) -> Table:
    """The mixture does nothing."""
    E_T = rng.uniform(0.9, 1.6, 5)

    def form(theta: Parameters, rows: Runs) -> np.ndarray:
        return np.tile(theta["E"], (len(rows.p_RL), 1))

    truth = Truth(form, *drawn(E=(E_T, uniform_spread(0.9, 1.6))))
    runs, new = Runs(mixtures(rng, 40, 5)), Runs(mixtures(rng, 100, 5))
    return measured(rng, truth, runs, new, 0.01, named(5))


def sized(mixed: Truth, rng: np.random.Generator, T: int) -> Truth:
    """A mixture that scales what size leaves over: ``m (E + A N^-α + B D^-β)`` with the terms that are known."""
    E_T, A_T, B_T = rng.uniform(0.5, 0.7, T), rng.uniform(0.2, 0.4, T), rng.uniform(0.2, 0.5, T)

    def form(theta: Parameters, runs: Runs) -> np.ndarray:
        size_RT = np.tile(theta["E_size"], (len(runs.p_RL), 1))
        if runs.N_R is not None:
            size_RT = size_RT + theta["A"] * (runs.N_R[:, None] / 2e7) ** -0.34
        if runs.D_R is not None:
            size_RT = size_RT + theta["B"] * (runs.D_R[:, None] / 5e8) ** -0.28
        return mixed.form(theta, runs) * size_RT

    theta, prior = drawn(
        E_size=(E_T, uniform_spread(0.5, 0.7)), A=(A_T, uniform_spread(0.2, 0.4)), B=(B_T, uniform_spread(0.2, 0.5))
    )
    return Truth(form, {**mixed.theta, **theta}, {**mixed.prior, **prior})


def sizes(rng: np.random.Generator) -> Table:
    """Fifteen mixtures at four models, tokens of their own; asked at twice the largest."""
    truth = sized(transfer_truth(rng, 4), rng, 4)
    N_S, D_S = np.array([2e7, 5e7, 1.2e8, 3e8]), np.array([5e8, 8e8, 1.6e9, 3e9])
    p_RL = np.repeat(mixtures(rng, 15, 4), 4, axis=0)
    D_R = np.tile(D_S, 15) * rng.uniform(0.8, 1.25, 60)
    runs = Runs(p_RL, np.tile(N_S, 15), D_R)
    new = Runs(mixtures(rng, 100, 4), rng.choice(N_S, 100), rng.choice(D_S, 100))
    return measured(rng, truth, runs, new, 0.005, named(4), at={"N": 3e8, "D": 3e9})


def checkpoints(rng: np.random.Generator) -> Table:
    """Twenty runs with ten checkpoints each; what moves a run moves all of its checkpoints."""
    truth = sized(transfer_truth(rng, 4), rng, 4)
    D_S = np.geomspace(1e8, 2e9, 10)
    runs = Runs(np.repeat(mixtures(rng, 20, 4), 10, axis=0), None, np.tile(D_S, 20), None, np.repeat(np.arange(20), 10))
    new = Runs(mixtures(rng, 100, 4), None, rng.choice(D_S, 100))
    return measured(rng, truth, runs, new, 0.01, named(4), at={"D": 2e9})


def repetition(rng: np.random.Generator) -> Table:
    """Four corpora of very different size, of which the small ones are repeated (ATLAS with the loss of a share)."""
    L = 4
    unique_L = np.array([5e9, 2e9, 3e8, 1e8])
    E_T, B_T = rng.uniform(0.5, 0.8, L), rng.uniform(0.3, 0.6, L)
    tau_TL, rate = rng.uniform(0, 0.3, (L, L)) * (rng.random((L, L)) < 0.6), rng.uniform(0.1, 0.4)
    np.fill_diagonal(tau_TL, 1.0)

    def form(theta: Parameters, runs: Runs) -> np.ndarray:
        assert runs.D_R is not None
        assert runs.unique_L is not None
        d_RL = runs.p_RL * runs.D_R[:, None]
        over_RL, rate_T11 = np.maximum(d_RL / runs.unique_L - 1, 0), theta["rate"][:, None, None]
        repeated_TRL = runs.unique_L * (1 + (1 - np.exp(-rate_T11 * over_RL)) / rate_T11)
        seen_TRL = np.where(over_RL > 0, repeated_TRL, d_RL)
        share_RT = np.einsum("trl,tl->rt", seen_TRL, theta["tau"])
        return np.asarray(theta["E"] + theta["B"] * (share_RT / 1e8 + 0.02) ** -0.3)

    parameters = drawn(
        E=(E_T, uniform_spread(0.5, 0.8)),
        B=(B_T, uniform_spread(0.3, 0.6)),
        tau=(tau_TL, uniform_spread(0, 0.3) * (1 - np.eye(L))),
        rate=(np.full(L, rate), uniform_spread(0.1, 0.4)),
    )

    D_S = np.array([5e8, 1e9, 2e9, 4e9])
    runs = Runs(mixtures(rng, 48, L), None, np.tile(D_S, 12), unique_L)
    new = Runs(mixtures(rng, 100, L), None, rng.choice(D_S, 100), unique_L)
    return measured(rng, Truth(form, *parameters), runs, new, 0.007, named(L), at={"D": 4e9})


def hundred(rng: np.random.Generator) -> Table:
    """A hundred languages in twenty-five families, three hundred runs."""
    L = 100
    family_L = np.arange(L) // 4
    E_T, gamma_T = rng.uniform(0.8, 1.4, L), rng.uniform(0.03, 0.08, L)
    w_TL = np.where(family_L[:, None] == family_L, rng.uniform(0.05, 0.4, (L, L)), 0.0)
    np.fill_diagonal(w_TL, 1.0)

    def form(theta: Parameters, rows: Runs) -> np.ndarray:
        return np.asarray(theta["E"] * (rows.p_RL @ theta["w"].T + 1e-4) ** -theta["gamma"])

    related_TL = (family_L[:, None] == family_L) & ~np.eye(L, dtype=bool)
    parameters = drawn(
        E=(E_T, uniform_spread(0.8, 1.4)),
        gamma=(gamma_T, uniform_spread(0.03, 0.08)),
        w=(w_TL, uniform_spread(0.05, 0.4) * related_TL),
    )
    runs, new = Runs(mixtures(rng, 300, L, 0.5)), Runs(mixtures(rng, 100, L, 0.5))
    return measured(rng, Truth(form, *parameters), runs, new, 0.01, tuple(f"l{i:03}" for i in range(L)))


def named(L: int) -> tuple[str, ...]:
    """Names of L groups."""
    return NAMES[:L]


FAMILIES = {
    family.name: family
    for family in (
        Family("own_ratio", "own ratio only", plain(own_truth)),
        Family("negative", "strong negative transfer", plain(lambda rng, L: transfer_truth(rng, L, harm=0.8))),
        Family("repetition", "repetition, several corpora", repetition),
        Family("twelve", "12 languages, 40 runs", plain(transfer_truth, L=12, concentration=0.7)),
        Family("noise", "noise of 8 %", plain(transfer_truth, R=64, noise=0.08)),
        Family("outliers", "an eighth of one target's runs went wrong", outliers),
        Family("sizes", "N and D varied", sizes),
        Family("boundary", "optimum at the boundary", boundary),
        Family("checkpoints", "20 mixtures × 10 checkpoints", checkpoints),
        Family("shared_noise", "one seed moves all targets", plain(transfer_truth, noise=0.003, common=0.015)),
        Family("heteroscedastic", "noise grows as the share falls", heteroscedastic),
        Family("wrong_form", "a truth of no law's form", wrong_form),
        Family("repeats", "12 mixtures × 4 seeds", repeats),
        Family("no_effect", "the mixture does nothing", no_effect),
        Family("hundred", "100 languages, 300 runs", hundred),
    )
}
