"""Draft: runs as a table has them, before anything is checked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from glotmix.errors import BadInput
from glotmix.measurements.names import named_alike
from glotmix.scored import Scored


@dataclass
class PhaseColumns:
    """One phase of every run; NaN where a run has no such phase."""

    shares: dict[str, np.ndarray] = field(default_factory=dict)
    """Group to shares as written."""
    sizes: dict[str, np.ndarray] = field(default_factory=dict)
    """"tokens", "lr" where the table has them."""

    def at(self, rows: np.ndarray) -> PhaseColumns:
        """Only some rows, in the order given."""
        return PhaseColumns(*({name: x_R[rows] for name, x_R in of.items()} for of in (self.shares, self.sizes)))


@dataclass
class Draft:
    """One row per run and checkpoint, in the order of the file."""

    where: str
    """The file or files."""
    names: list[str]
    """Runs, [R]."""
    shares: dict[str, np.ndarray] = field(default_factory=dict)
    """Group to shares as written."""
    losses: dict[str, np.ndarray] = field(default_factory=dict)
    """Target to losses; NaN where a cell is missing."""
    unique: dict[str, np.ndarray] = field(default_factory=dict)
    """Group to unique tokens."""
    sizes: dict[str, np.ndarray] = field(default_factory=dict)
    """"N", "D", "seed", "step" where the table has them."""
    roles: list[str] | None = None
    """What each run was planned for."""
    unit: str = "loss"
    """Unit of the losses."""
    percent: bool = False
    """Whether shares carry percent signs."""
    loose_shares: bool = False
    """Whether groups are whole names of columns, of which a part may be common to all."""
    loose_losses: bool = False
    """The same of targets."""
    remarks: list[str] = field(default_factory=list)
    """What a reader must know of how the table was read."""
    faults: list[str] = field(default_factory=list)
    """What is wrong with it."""
    phases: dict[int, PhaseColumns] = field(default_factory=dict)
    """Number of a phase to what the table has of it."""
    scored: dict[str, Scored] = field(default_factory=dict)
    """Targets whose columns say that they are scores; ``losses`` holds these as they are written."""
    percent_scores: set[str] = field(default_factory=set)
    """Those that carry percent signs."""

    def keep(self, rows: np.ndarray) -> None:
        """Only some rows, in the order given."""
        self.names = [self.names[r] for r in rows]
        for columns in (self.shares, self.losses, self.unique, self.sizes):
            for name in columns:
                columns[name] = columns[name][rows]
        self.phases = {number: phase.at(rows) for number, phase in self.phases.items()}
        if self.roles is not None:
            self.roles = [self.roles[r] for r in rows]

    def meet(self) -> None:
        """Groups and targets under the names that make most of them meet; names of one language are one name."""
        for phase in self.phases.values():  # a table of phases need not say what they are on average
            for group in phase.shares:
                self.shares.setdefault(group, np.full(len(self.names), np.nan))
        raw = list(self.shares)
        languages, targets = named_alike(
            list(self.shares), list(self.losses), loose_p=self.loose_shares, loose_l=self.loose_losses
        )
        self.shares = dict(zip(languages, self.shares.values(), strict=True))
        called = dict(zip(self.losses, targets, strict=True))
        self.losses = dict(zip(targets, self.losses.values(), strict=True))
        self.scored = {called[name]: told for name, told in self.scored.items()}
        self.percent_scores = {called.get(name, name) for name in self.percent_scores}
        known = dict(zip(raw, languages, strict=True))
        for phase in self.phases.values():
            phase.shares = {known[group]: x_R for group, x_R in phase.shares.items()}
        if self.unique:
            names, _ = named_alike(list(self.unique), languages, loose_p=False, loose_l=False)
            self.unique = dict(zip(names, self.unique.values(), strict=True))

    def last_steps(self) -> None:
        """Where rows of a run differ in their step only, the last one; tokens D make checkpoints of them."""
        step_R = self.sizes.pop("step", None)
        if step_R is None or ("D" in self.sizes and self._told_apart()):
            return
        last: dict[tuple[str, float], int] = {}
        seed_R = self.sizes.get("seed", np.zeros(len(self.names)))
        for r, name in enumerate(self.names):
            key = (name, float(np.nan_to_num(seed_R[r])))
            if key not in last or np.nan_to_num(step_R[r], nan=-1) > np.nan_to_num(step_R[last[key]], nan=-1):
                last[key] = r
        if len(last) < len(self.names):
            self.remarks.append(
                f"{len(self.names)} rows are {len(last)} runs at several steps: the last is taken "
                "(a column D, the tokens so far, makes checkpoints of them)"
            )
            self.keep(np.array(sorted(last.values()), dtype=int))

    def _told_apart(self) -> bool:
        """Whether tokens differ between the rows of a run."""
        tokens_R = np.nan_to_num(self.sizes["D"])
        return len(set(zip(self.names, tokens_R.tolist(), strict=True))) > len(set(self.names))


def merged(shares: Draft, losses: Draft) -> Draft:
    """Shares of one table and losses of another, joined by the run.

    Raises:
        BadInput: a run stands in one table only, or twice among the shares.
    """
    first: dict[str, int] = {}
    for r, name in enumerate(shares.names):
        if name in first and any(x_R[r] != x_R[first[name]] for x_R in shares.shares.values()):
            raise BadInput(f"run {name} is listed twice", where=shares.where, expected="one mixture per run")
        first.setdefault(name, r)
    where = f"{shares.where}, {losses.where}"
    if only := sorted(set(first) ^ set(losses.names)):
        raise BadInput(f"run {only[0]} and {len(only) - 1} more stand in one table only", where=where)
    rows = np.array([first[name] for name in losses.names], dtype=int)
    sizes = {name: x_R[rows] for name, x_R in shares.sizes.items() if name != "step"}
    return Draft(
        where,
        losses.names,
        {group: x_R[rows] for group, x_R in shares.shares.items()},
        losses.losses,
        {group: x_R[rows] for group, x_R in shares.unique.items()},
        sizes | losses.sizes,
        None if shares.roles is None else [shares.roles[r] for r in rows],
        losses.unit,
        shares.percent,
        shares.loose_shares,
        losses.loose_losses,
        list(dict.fromkeys([*shares.remarks, *losses.remarks])),
        [*shares.faults, *losses.faults],
        {number: phase.at(rows) for number, phase in shares.phases.items()},
        losses.scored,
        losses.percent_scores,
    )
