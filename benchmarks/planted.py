"""Planted truths: tables of runs whose noise-free losses are known everywhere, one family per kind of table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

NAMES = ("spa", "fra", "ita", "rus", "tur", "deu", "pol", "ces", "fin", "hun", "swe", "nld")
Shape = Callable[[np.ndarray], np.ndarray]
"""Noise-free losses [R, T] of mixtures [R, L]."""


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


Truth = Callable[[Runs], np.ndarray]
"""Noise-free losses [R, T]."""


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
) -> Shape:
    """``E_t (f + (1-f) (p_t + Σ w p + 0.01)^-γ) exp(Σ h p)``: own text, some help, an irreducible part, some harm.

    No law of glotmix has this form: the floor and the constant 0.01 are its own, and harm is in none but log-linear.
    """
    E_T = rng.uniform(0.8, 1.4, L)
    gamma_T = rng.uniform(0.15, 0.35, L)
    w_TL = rng.exponential(helpers * 0.3, (L, L)) * (rng.random((L, L)) < 0.5)
    h_TL = harm * rng.random((L, L)) * (rng.random((L, L)) < 0.4)
    np.fill_diagonal(w_TL, 1.0)
    np.fill_diagonal(h_TL, 0.0)

    def shape(p_RL: np.ndarray) -> np.ndarray:
        share_RT = p_RL @ w_TL.T + 0.01
        return np.asarray(E_T * (floor + (1 - floor) * share_RT**-gamma_T) * np.exp(p_RL @ h_TL.T))

    return shape


def own_truth(rng: np.random.Generator, L: int) -> Shape:
    """He et al.: ``E_t p_t^-γ_t``."""
    E_T, gamma_T = rng.uniform(0.8, 1.4, L), rng.uniform(0.06, 0.16, L)
    return lambda p_RL: np.asarray(E_T * np.maximum(p_RL, 1e-6) ** -gamma_T)


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
    spread_RT = np.hypot(spread(new, new_RT.shape), common)
    return Table(runs, loss_RT, truth, new, new_RT, spread_RT, languages, at or {})


def plain(
    make_shape: Callable[[np.random.Generator, int], Shape],
    *,
    R: int = 40,
    L: int = 5,
    noise: float = 0.01,
    common: float = 0.0,
    concentration: float = 1.0,
) -> Callable[[np.random.Generator], Table]:
    """One size, every run another mixture."""

    def make(rng: np.random.Generator) -> Table:
        shape = make_shape(rng, L)

        def truth(runs: Runs) -> np.ndarray:
            return shape(runs.p_RL)

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
    shape = transfer_truth(rng, 5)
    runs, new = Runs(mixtures(rng, 48, 5)), Runs(mixtures(rng, 100, 5))

    def noise(rows: Runs) -> np.ndarray:
        return np.asarray(0.004 + 0.026 * np.exp(-8 * rows.p_RL))

    return measured(rng, lambda rows: shape(rows.p_RL), runs, new, noise, named(5))


def repeats(rng: np.random.Generator) -> Table:
    """Twelve mixtures with four seeds each."""
    shape = transfer_truth(rng, 5)
    runs, new = Runs(np.repeat(mixtures(rng, 12, 5), 4, axis=0)), Runs(mixtures(rng, 100, 5))
    return measured(rng, lambda rows: shape(rows.p_RL), runs, new, 0.01, named(5))


def wrong_form(rng: np.random.Generator) -> Table:
    """A saturating curve, pairs that help only together, and a wave: nothing that any law has."""
    L = 5
    E_T, half_T = rng.uniform(0.8, 1.3, L), rng.uniform(0.05, 0.2, L)
    pair_TLL = rng.uniform(-0.6, 0.6, (L, L, L)) * (rng.random((L, L, L)) < 0.3)
    turn_T = rng.uniform(0, 2 * np.pi, L)

    def shape(p_RL: np.ndarray) -> np.ndarray:
        own_RT = 0.5 * half_T / (half_T + p_RL)
        pairs_RT = np.einsum("rk,tkl,rl->rt", p_RL, pair_TLL, p_RL)
        return np.asarray(E_T * (1 + own_RT - pairs_RT + 0.01 * np.sin(9 * p_RL + turn_T)))

    runs, new = Runs(mixtures(rng, 60, L)), Runs(mixtures(rng, 100, L))
    return measured(rng, lambda rows: shape(rows.p_RL), runs, new, 0.005, named(L))


def boundary(rng: np.random.Generator) -> Table:
    """Only three of five groups are evaluated, the others help little: the optimum leaves them out."""
    table = plain(lambda rng, L: transfer_truth(rng, L, helpers=0.1))(rng)
    whole = table.truth

    def truth(runs: Runs) -> np.ndarray:
        return whole(runs)[:, :3]

    cut = {name: getattr(table, name)[:, :3] for name in ("loss_RT", "new_loss_RT", "spread_RT")}
    return replace(table, truth=truth, **cut)


def no_effect(rng: np.random.Generator) -> Table:
    """The mixture does nothing."""
    E_T = rng.uniform(0.9, 1.6, 5)

    def truth(runs: Runs) -> np.ndarray:
        return np.tile(E_T, (len(runs.p_RL), 1))

    runs, new = Runs(mixtures(rng, 40, 5)), Runs(mixtures(rng, 100, 5))
    return measured(rng, truth, runs, new, 0.01, named(5))


def sized(shape: Shape, rng: np.random.Generator, T: int) -> Truth:
    """A mixture that scales what size leaves over: ``m (E + A N^-α + B D^-β)`` with the terms that are known."""
    E_T, A_T, B_T = rng.uniform(0.5, 0.7, T), rng.uniform(0.2, 0.4, T), rng.uniform(0.2, 0.5, T)

    def truth(runs: Runs) -> np.ndarray:
        size_RT = np.tile(E_T, (len(runs.p_RL), 1))
        if runs.N_R is not None:
            size_RT = size_RT + A_T * (runs.N_R[:, None] / 2e7) ** -0.34
        if runs.D_R is not None:
            size_RT = size_RT + B_T * (runs.D_R[:, None] / 5e8) ** -0.28
        return shape(runs.p_RL) * size_RT

    return truth


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

    def truth(runs: Runs) -> np.ndarray:
        assert runs.D_R is not None
        assert runs.unique_L is not None
        d_RL = runs.p_RL * runs.D_R[:, None]
        over_RL = np.maximum(d_RL / runs.unique_L - 1, 0)
        seen_RL = np.where(over_RL > 0, runs.unique_L * (1 + (1 - np.exp(-rate * over_RL)) / rate), d_RL)
        return np.asarray(E_T + B_T * (seen_RL @ tau_TL.T / 1e8 + 0.02) ** -0.3)

    D_S = np.array([5e8, 1e9, 2e9, 4e9])
    runs = Runs(mixtures(rng, 48, L), None, np.tile(D_S, 12), unique_L)
    new = Runs(mixtures(rng, 100, L), None, rng.choice(D_S, 100), unique_L)
    return measured(rng, truth, runs, new, 0.007, named(L), at={"D": 4e9})


def hundred(rng: np.random.Generator) -> Table:
    """A hundred languages in twenty-five families, three hundred runs."""
    L = 100
    family_L = np.arange(L) // 4
    E_T, gamma_T = rng.uniform(0.8, 1.4, L), rng.uniform(0.03, 0.08, L)
    w_TL = np.where(family_L[:, None] == family_L, rng.uniform(0.05, 0.4, (L, L)), 0.0)
    np.fill_diagonal(w_TL, 1.0)

    def truth(runs: Runs) -> np.ndarray:
        return np.asarray(E_T * (runs.p_RL @ w_TL.T + 1e-4) ** -gamma_T)

    runs, new = Runs(mixtures(rng, 300, L, 0.5)), Runs(mixtures(rng, 100, L, 0.5))
    return measured(rng, truth, runs, new, 0.01, tuple(f"l{i:03}" for i in range(L)))


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
