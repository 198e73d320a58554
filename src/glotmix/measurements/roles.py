"""What a column is, by its name: a share, a loss, unique tokens, a size, the run."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from glotmix.measurements.table import UNNAMED

RUN, N, D, STEP, SEED, ROLE, STATE = "run", "N", "D", "step", "seed", "role", "state"
KEYS = {
    RUN: ("run", "run_name", "name", "run_id", "display_name", "id"),
    N: ("n", "params", "parameters", "n_params", "num_params", "num_parameters", "n_parameters", "model_params",
        "non_embedding_params"),
    D: ("d", "tokens", "n_tokens", "num_tokens", "train_tokens", "training_tokens", "total_tokens", "tokens_seen"),
    STEP: ("step", "_step", "steps", "global_step", "trainer/global_step"),
    SEED: ("seed", "random_seed"),
    ROLE: ("role",),
    STATE: ("state", "status"),
}  # fmt: skip
"""Names of columns that are no group, in lower case, blanks as underscores; of several, the first is taken."""
TRACKER = re.compile(r"^(?:config|summary|summary_metrics)[./]", re.IGNORECASE)
"""Where a tracker's export has a column from; Weights & Biases writes ``config.`` and ``summary.``."""
SHARE = re.compile(
    r"^(?:p|shares?|mix|mixture|mixtures|ratios?|proportions?|data_mix|data_mixture|mixture_weights|sampling_ratios?)"
    r"[/.:]\s*(.+)$",
    re.IGNORECASE,
)
UNIQUE = re.compile(r"^unique(?:_tokens)?[/.:]\s*(.+)$", re.IGNORECASE)
PHASE = re.compile(r"^phase[ _-]?([1-9]\d?)[/.:]\s*(.+)$", re.IGNORECASE)
"""A column of one phase of a run: "phase2/p/swh", "phase2/tokens", "phase2/lr"."""
LENGTH, RATE = "tokens", "lr"
METRICS = ("bpb", "bits_per_byte", "loss", "val_loss", "eval_loss", "nll", "ce", "ce_loss", "cross_entropy")
"""Losses by how they are called, the one that compares languages first."""
PLACES = r"(?:eval|evaluation|val|valid|validation|test|heldout|held_out|metrics?)"
LOSS = re.compile(rf"^(?:{PLACES}[/.:])?({'|'.join(METRICS)})[/.:]\s*(.+)$", re.IGNORECASE)
METRIC = re.compile(rf"^(?:{PLACES}[/.:_])?(.+)[/.:]({'|'.join(METRICS)})$", re.IGNORECASE)
SCORES = {
    **dict.fromkeys(("score", "acc", "acc_norm", "accuracy", "exact_match", "f1"), True),
    **dict.fromkeys(("error", "error_rate"), False),
}
"""Scores by how they are called, to whether higher is better; of several of a group the first counts."""
LOOSE_SCORES = frozenset({"score", "error", "error_rate"})
"""Those that may be called so and be something else."""
SCORE = re.compile(rf"^(?:{PLACES}[/.:])?({'|'.join(SCORES)})[/.:]\s*(.+)$", re.IGNORECASE)
SCORE_BEHIND = re.compile(rf"^(?:{PLACES}[/.:_])?(.+)[/.:]({'|'.join(SCORES)})$", re.IGNORECASE)
UNITS = {
    "k": 1e3, "thousand": 1e3, "m": 1e6, "mio": 1e6, "million": 1e6, "b": 1e9, "bn": 1e9, "billion": 1e9, "t": 1e12,
    "trillion": 1e12,
}  # fmt: skip
UNIT = re.compile(rf"^(.*?)_*[(\[]?_*(?:in_)?({'|'.join(sorted(UNITS, key=len, reverse=True))})s?_*[)\]]?$")
"""A size with its unit in the header, blanks read as underscores: "params_(m)", "tokens_in_billions"."""


@dataclass
class Roles:
    """Columns by what they are; columns that are nothing of it are left alone."""

    keys: dict[str, str] = field(default_factory=dict)
    """"run", "N", "D", "step", "seed", "role", "state" to the column."""
    factors: dict[str, float] = field(default_factory=dict)
    """"N" or "D" to what its header says that it is counted in."""
    shares: dict[str, str] = field(default_factory=dict)
    """Group to the column of its shares."""
    losses: dict[str, str] = field(default_factory=dict)
    """Group to the column of its losses."""
    unique: dict[str, str] = field(default_factory=dict)
    """Group to the column of its unique tokens."""
    phases: dict[int, dict[str, str]] = field(default_factory=dict)
    """Number of a phase to the columns of its shares, by group."""
    phase_keys: dict[int, dict[str, str]] = field(default_factory=dict)
    """Number of a phase to the columns of its "tokens" and "lr"."""
    metric: str = "loss"
    """Which loss it is."""
    scores: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """Target to the column of its scores, and whether higher is better; one of a group that has losses as well is
    called after both (``swh/acc``)."""
    rest: list[str] = field(default_factory=list)
    """Other columns."""


def roles_of(columns: Sequence[str]) -> Roles:
    """Every column by its name. Of several losses of one group the first of ``METRICS`` is taken."""
    found = Roles()
    metrics: dict[str, dict[str, str]] = {}
    scores: dict[str, dict[str, str]] = {}
    for column in columns:
        name = TRACKER.sub("", column)
        if phase := PHASE.match(name):
            _of_phase(found, int(phase[1]), phase[2], column)
        elif share := SHARE.match(name):
            found.shares.setdefault(share[1], column)
        elif unique := UNIQUE.match(name):
            found.unique.setdefault(unique[1], column)
        elif parts := metric_of(name):
            metrics.setdefault(parts[1], {}).setdefault(parts[0], column)
        elif parts := score_of(name):
            scores.setdefault(parts[0], {}).setdefault(parts[1], column)
        elif not _key(found, name, column) and not column.startswith(UNNAMED):
            found.rest.append(column)
    for key, known in KEYS.items():  # the first name of a role wins, wherever it stands
        several = [column for column in columns if _plain(TRACKER.sub("", column)) in known]
        if several:
            found.keys[key] = min(several, key=lambda column: known.index(_plain(TRACKER.sub("", column))))
            found.rest = [column for column in found.rest if column not in several]
    for metric in METRICS:
        if metric in metrics:
            found.losses, found.metric = metrics.pop(metric), metric
            break
    found.rest.extend(column for other in metrics.values() for column in other.values())
    for group, alike in scores.items():
        metric = next(one for one in SCORES if one in alike)
        found.scores[score_name(group, metric, found.losses)] = (alike.pop(metric), SCORES[metric])
        found.rest.extend(alike.values())
    return found


def score_name(group: str, metric: str, losses: Collection[str]) -> str:
    """What a score is called as a target, beside the targets that are losses."""
    return f"{group}/{metric}" if group in losses else group


def _of_phase(found: Roles, number: int, name: str, column: str) -> None:
    """A column of a phase: a share, its tokens, or its learning rate; others are left alone."""
    if share := SHARE.match(name):
        found.phases.setdefault(number, {}).setdefault(share[1], column)
    elif _plain(name) in (LENGTH, RATE):
        found.phase_keys.setdefault(number, {}).setdefault(_plain(name), column)
    else:
        found.rest.append(column)


def metric_of(name: str) -> tuple[str, str] | None:
    """Group and metric of the name of a loss: "eval/swh/bpb" and "loss/swh" are one each."""
    name = TRACKER.sub("", name)
    if loss := LOSS.match(name):
        return loss[2], loss[1].lower()
    if metric := METRIC.match(name):
        return metric[1], metric[2].lower()
    return None


def score_of(name: str) -> tuple[str, str] | None:
    """Group and metric of the name of a score: "acc/swh" and "eval/swh/acc" are one each."""
    name = TRACKER.sub("", name)
    if score := SCORE.match(name):
        return score[2], score[1].lower()
    if score := SCORE_BEHIND.match(name):
        return score[1], score[2].lower()
    return None


def _plain(name: str) -> str:
    return re.sub(r"\s+", "_", name.strip().lower())


def _key(found: Roles, name: str, column: str) -> bool:
    """Whether the column is N or D with a unit in its header: "params (M)", "tokens_b"."""
    unit = UNIT.match(_plain(name))
    for key in (N, D):
        if unit and unit[1] in KEYS[key]:
            found.keys.setdefault(key, column)
            found.factors.setdefault(key, UNITS[unit[2].lower()])
            return True
    return False
