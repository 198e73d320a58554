"""Design of experiments: which mixtures to train proxies on, as a list of planned runs."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from glotmix.errors import BadInput, Infeasible
from glotmix.mixture.adaptives.plan import AdaptivePlan
from glotmix.mixture.groups import Groups, coalitions_of_groups, spread_over_groups
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.part import Part
from glotmix.mixture.schedule import Schedule
from glotmix.mixture.weighting import Weighting

Role = Literal["coalition", "swarm", "anchor", "validation", "ladder", "method", "active", "turn", "schedule", "base"]
Budget = Literal["fixed", "own", "capped"]

MOST_ENUMERATED = 127
"""Coalitions that are trained at most unless more are asked for: all of 7 languages, the game of ShapleyLaw's authors;
of groups, 4 of 2 have 79, 3 of 3 have 79, 2 of 5 have 123."""
LONGEST_LABEL = 64
"""Characters of a run's label; a longer list of languages becomes its number and a hash."""
FULL = "full"
"""Label of the coalition of all languages."""
MOST_LOOKED_THROUGH = 4000
"""Coalitions of one size among which a design chooses."""
SMALLEST_SHARE_SEQUENCES = 2
"""A swarm's language gets at least so many sequences of the run, or none."""
REJECTIONS = 10_000
"""Draws after which a capped swarm gives up."""
SEEDS_PER_STUDY = 10_000
"""Run seeds of study seed s start at this many times s, so that no two studies share one."""


@dataclass(frozen=True)
class PlannedRun:
    """A proxy run that is to be trained."""

    run: str
    """Unique name, safe as a file name: ``coalition-spa+por-s0``, ``swarm-007-s0``, ``anchor-full-s2``."""
    role: Role
    """What the run is for."""
    schedule: Schedule
    """Mixture over the run."""
    tokens: int
    """Training tokens D."""
    seed: int
    """Seed of initialisation and order of the data."""
    size: str = ""
    """Rung of the ladder; "" for the study's own proxy."""
    weighting: Weighting | None = None
    """Loss weights of the languages; None where every sequence counts the same."""
    adaptive: AdaptivePlan | None = None
    """A method that changes mixture or weights while the run goes on."""
    keep: bool = False
    """Whether the final weights are kept, whatever ``proxy.keep_checkpoints`` says."""
    part: Part | None = None
    """What is trained of it, where that is not all."""

    @property
    def trained(self) -> float:
        """Tokens that are trained on."""
        return self.tokens if self.part is None else self.tokens * self.part.share

    def to_json(self) -> dict[str, Any]:
        """A plain dict, for plan.json; defaults are omitted."""
        found: dict[str, Any] = {
            "run": self.run,
            "role": self.role,
            "schedule": self.schedule.to_json(),
            "tokens": self.tokens,
            "seed": self.seed,
        }
        found |= {"size": self.size} if self.size else {}
        found |= {"weighting": self.weighting.to_json()} if self.weighting is not None else {}
        found |= {"adaptive": self.adaptive.to_json()} if self.adaptive is not None else {}
        found |= {"part": self.part.to_json()} if self.part is not None else {}
        return found | ({"keep": True} if self.keep else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, where: object = None) -> PlannedRun:
        """Read what :meth:`to_json` wrote; a name that leads out of the study's directory is refused."""
        try:
            if not (name := str(value["run"])) or "/" in name or "\0" in name or name.startswith("."):
                raise BadInput(f"a run called {name!r}", where=where, expected="a name that is safe as a file name")
            schedule = Schedule.from_json(value["schedule"], where=where)
            weights, adaptive, part = (value.get(name) for name in ("weighting", "adaptive", "part"))
            return cls(
                name,
                value["role"],
                schedule,
                int(value["tokens"]),
                int(value["seed"]),
                str(value.get("size", "")),
                None if weights is None else Weighting(weights, where=where),
                None if adaptive is None else AdaptivePlan.from_json(adaptive, where=where),
                bool(value.get("keep", False)),
                None if part is None else Part.from_json(part, where=where),
            )
        except KeyError as error:
            raise BadInput(f"a planned run without {error}", where=where) from None


def coalitions(
    languages: Sequence[str],
    base: Mixture,
    D: float,
    budget: Budget = "fixed",
    seeds: Iterable[int] = (0,),
    *,
    caps: Mapping[str, float] | None = None,
    most: int = MOST_ENUMERATED,
) -> list[PlannedRun]:
    """Every non-empty subset of the languages, smallest first, once per seed.

    Args:
        languages: the players.
        base: mixture of the full coalition; a coalition S has the shares ``base_l / Σ_S base``.
        D: tokens of the full coalition.
        budget: ``fixed`` gives every coalition D tokens, so that a small one repeats its text; ``own`` gives it
            ``D Σ_S base``, the tokens of its members; ``capped`` gives no member more than its cap, what one cannot
            take to the others, and what nobody can take to nobody: the run is shorter. Of a uniform base that is
            UniMax of every coalition.
        seeds: each coalition is planned once per seed.
        caps: with ``capped``: most of D that a language can take, as a share; None, or without a language, no limit.
        most: coalitions above which the plan is refused.

    Raises:
        BadInput: more coalitions than ``most``, or a language without a share in ``base``.
    """
    if (count := 2 ** len(languages) - 1) > most:
        raise BadInput(
            f"{len(languages)} languages have {count:,} coalitions",
            where="design.coalitions",
            expected=f"at most {most:,} (design.most_coalitions), or coalitions: sampled",
        )
    sizes = range(1, len(languages) + 1)
    subsets = [subset for size in sizes for subset in itertools.combinations(languages, size)]
    return _coalition_runs(subsets, languages, base, D, budget, seeds, caps)


def grouped_coalitions(
    languages: Sequence[str],
    groups: Groups,
    base: Mixture,
    D: float,
    budget: Budget = "fixed",
    seeds: Iterable[int] = (0,),
    *,
    caps: Mapping[str, float] | None = None,
    parts: bool = True,
    most: int = MOST_ENUMERATED,
) -> list[PlannedRun]:
    """Coalitions of whole groups, with parts of one more (:func:`~glotmix.mixture.groups.coalitions_of_groups`).

    Raises:
        BadInput: more than ``most`` of them, or a language in no group or in two.
    """
    subsets = coalitions_of_groups(languages, groups, parts=parts)
    if len(subsets) > most:
        whole = "coalitions: between, which takes groups whole, or sampled" if parts else "coalitions: sampled"
        raise BadInput(
            f"{len(groups)} groups of {len(languages)} sources have {len(subsets):,} coalitions",
            where="design.coalitions",
            expected=f"at most {most:,} (design.most_coalitions), or {whole}",
        )
    return _coalition_runs(subsets, languages, base, D, budget, seeds, caps)


def sampled_coalitions(
    languages: Sequence[str],
    base: Mixture,
    D: float,
    count: int,
    rng: np.random.Generator,
    budget: Budget = "fixed",
    seeds: Iterable[int] = (0,),
    groups: Groups | None = None,
    caps: Mapping[str, float] | None = None,
) -> list[PlannedRun]:
    """``count`` different coalitions, chosen by :func:`spread_coalitions`, for games too large to enumerate; of those
    of groups, where these are the players, by :func:`~glotmix.mixture.groups.spread_over_groups`.

    Raises:
        BadInput: fewer than one or more coalitions asked for than there are.
    """
    n = len(languages)
    if not 1 <= count <= 2**n - 1:
        raise BadInput(
            f"{count} coalitions of {n} languages", where="design.sampled_coalitions", expected=f"1 to {2**n - 1}"
        )
    inside_CL = (
        spread_coalitions(n, count, rng) if groups is None else spread_over_groups(languages, groups, count, rng)
    )
    subsets = [tuple(np.array(languages)[row].tolist()) for row in inside_CL]
    return _coalition_runs(subsets, languages, base, D, budget, seeds, caps)


def spread_coalitions(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Coalitions from which the values of a game are best told, booleans [count, n], all different.

    Everybody; each language alone, which shows what it is worth before others saturate the game; then coalitions of
    half of the languages, where noise weighs least, each the one that is least like those chosen: the least
    ``Σ exp(3 - 6 d/n)`` over them, d the number of languages in which two differ. So every pair of languages stands
    together about as often. Other sizes follow, the nearest to half first, once half is used up. The rule is ours;
    docs/methods/shapley.md has what it was compared with.
    """
    chosen = [np.ones(n, dtype=bool), *np.eye(n, dtype=bool)[rng.permutation(n)]][: count if n > 1 else 1]
    sizes = sorted(range(2, n), key=lambda size: abs(size - n / 2))
    while len(chosen) < count:
        pool_CL = _of_size(n, sizes.pop(0), rng)
        sign_CL = 2.0 * pool_CL - 1
        likeness_C = np.zeros(len(pool_CL))
        for _ in range(min(count - len(chosen), len(pool_CL))):
            place = int(np.argmin(likeness_C))
            likeness_C += np.exp(3 * (sign_CL @ sign_CL[place]) / n)
            likeness_C[place] = np.inf
            chosen.append(pool_CL[place])
    return np.array(chosen)


def _of_size(n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """All coalitions of a size in random order; of a long list as many random ones as are looked through."""
    if math.comb(n, size) <= MOST_LOOKED_THROUGH:
        found = [np.isin(np.arange(n), subset) for subset in itertools.combinations(range(n), size)]
        return np.array(found)[rng.permutation(len(found))]
    drawn = {tuple(np.isin(np.arange(n), rng.choice(n, size, replace=False))) for _ in range(MOST_LOOKED_THROUGH)}
    return np.array(sorted(drawn))[rng.permutation(len(drawn))]


def _coalition_runs(
    subsets: Iterable[tuple[str, ...]],
    languages: Sequence[str],
    base: Mixture,
    D: float,
    budget: Budget,
    seeds: Iterable[int],
    caps: Mapping[str, float] | None,
) -> list[PlannedRun]:
    label, seeds = _labels(languages), tuple(seeds)
    subsets = list(subsets)
    return [
        PlannedRun(
            f"coalition-{label(subset)}-s{seed}",
            "coalition",
            *_coalition(subset, languages, base, D, budget, caps),
            seed,
        )
        for seed in seeds
        for subset in subsets
    ]


def _coalition(
    subset: Sequence[str],
    languages: Sequence[str],
    base: Mixture,
    D: float,
    budget: Budget,
    caps: Mapping[str, float] | None,
) -> tuple[Schedule, int]:
    if missing := [language for language in subset if not base.get(language, 0.0) > 0]:
        raise BadInput(
            f"{', '.join(missing)} has no share", where="design.base", expected="a share above 0 for every language"
        )
    wanted, share = {name: base[name] if name in subset else 0.0 for name in languages}, 1.0
    if budget == "own":
        share = math.fsum(base[name] for name in subset) / math.fsum(base[name] for name in languages)
    elif budget == "capped":
        wanted = filled(wanted, caps or {})
        share = min(math.fsum(wanted.values()), 1.0)
    return Schedule.constant(Mixture.normalised(wanted)), max(1, round(D * share))


def filled(wanted: Mapping[str, float], caps: Mapping[str, float]) -> dict[str, float]:
    """Shares of a whole in the proportions wanted, none above its cap; their sum is below 1 where the caps' sum is.

    What a name cannot take goes to the others in their proportions, from the one that reaches its cap first (Chung et
    al., arXiv 2304.09151, Algorithm 1, for proportions that need not be equal).

    Args:
        wanted: proportions, at least 0; who has none gets none.
        caps: greatest shares; without a name no limit.
    """
    left, rest, found = 1.0, math.fsum(wanted.values()), dict.fromkeys(wanted, 0.0)
    named = [name for name in wanted if wanted[name] > 0]
    for name in sorted(named, key=lambda name: caps.get(name, math.inf) / wanted[name]):
        found[name] = min(left * wanted[name] / rest, caps.get(name, math.inf))
        left, rest = left - found[name], rest - wanted[name]
        if rest <= 0:
            break
    return found


def dirichlet_swarm(
    languages: Sequence[str],
    count: int,
    concentration: float | Mapping[str, float],
    D: float,
    rng: np.random.Generator,
    caps: Mapping[str, float] | None = None,
    least: float = 0.0,
    seed: int = 0,
) -> list[PlannedRun]:
    """``count`` mixtures drawn from a Dirichlet distribution.

    Args:
        languages: members.
        count: mixtures.
        concentration: α, one for all languages or one each; all 1 is uniform on the simplex.
        D: tokens of each run.
        rng: source of the mixtures.
        caps: greatest share of a language (for instance max_epochs · U / D); mixtures above are drawn again.
        least: a drawn share below this becomes zero and the others are divided by their sum, as RegMix does: a share
            of less than one sequence could not be sampled.
        seed: seed of the runs.

    Raises:
        Infeasible: caps sum to less than one, or no draw met them in ``REJECTIONS`` tries.
    """
    alpha = np.array(
        [concentration[name] if isinstance(concentration, Mapping) else concentration for name in languages]
    )
    if not (alpha > 0).all():
        raise BadInput(f"concentration {concentration}", where="design.dirichlet_swarm", expected="numbers above 0")
    caps_L = np.array([math.inf if caps is None else caps.get(name, math.inf) for name in languages])
    if caps_L.sum() < 1:
        raise Infeasible(f"caps sum to {caps_L.sum():.4g}", where="design.dirichlet_swarm", expected="at least 1")
    digits = max(3, len(str(count - 1)))
    return [
        PlannedRun(
            f"swarm-{index:0{digits}}-s{seed}",
            "swarm",
            Schedule.constant(Mixture.from_vector(languages, _draw_below(alpha, caps_L, least, rng))),
            round(D),
            seed,
        )
        for index in range(count)
    ]


def _draw_below(alpha_L: np.ndarray, caps_L: np.ndarray, least: float, rng: np.random.Generator) -> np.ndarray:
    for _ in range(REJECTIONS):
        p_L = rng.dirichlet(alpha_L)
        p_L = np.where(p_L < least, 0.0, p_L)
        p_L = p_L / p_L.sum()
        if np.isfinite(p_L).all() and (p_L <= caps_L).all():
            return np.asarray(p_L)
    raise Infeasible(
        f"no mixture below the caps in {REJECTIONS} draws", where="design.dirichlet_swarm", expected="wider caps"
    )


def turning(
    languages: Sequence[str], base: Mixture, caps: Mapping[str, float], D: float, count: int, seed: int = 0
) -> list[PlannedRun]:
    """Mixtures that read one language more often than ``caps`` allow, to see where its loss turns.

    Of every language whose cap lies below one half, ``count`` runs: 2, 4, … times its cap, at most 0.9; the others
    keep their proportions in ``base``.
    """
    label, runs = _labels(languages), []
    for language in (name for name in languages if caps.get(name, 1.0) < 0.5):
        shares = [min(caps[language] * 2.0**k, 0.9) for k in range(1, count + 1)]
        rest = math.fsum(base[name] for name in languages if name != language)
        for k, share in enumerate(dict.fromkeys(shares)):
            others = {name: (1 - share) * base[name] / rest for name in languages if name != language}
            mixture = Mixture.normalised({name: others.get(name, share) for name in languages})
            name = f"turn-{label((language,))}-{k}-s{seed}"
            runs.append(PlannedRun(name, "turn", Schedule.constant(mixture), round(D), seed))
    return runs


def anchors(
    languages: Sequence[str],
    base: Mixture,
    D: float,
    count: int,
    seeds: Iterable[int],
    budget: Budget = "fixed",
    caps: Mapping[str, float] | None = None,
) -> list[PlannedRun]:
    """Mixtures repeated over seeds, which measure the noise: the full coalition first, then single languages.

    At most ``1 + n`` of them exist. Mixtures and tokens are those of :func:`coalitions`, so that an anchor is a repeat.
    """
    if count > 1 + len(languages):
        raise BadInput(
            f"{count} anchors", where="design.anchors", expected=f"at most {1 + len(languages)} (full and singles)"
        )
    label = _labels(languages)
    subsets = [tuple(languages), *((language,) for language in languages)][:count]
    return [
        PlannedRun(
            f"anchor-{label(subset)}-s{seed}", "anchor", *_coalition(subset, languages, base, D, budget, caps), seed
        )
        for subset in subsets
        for seed in tuple(seeds)
    ]


def ladder(mixtures: Sequence[Schedule], sizes: Mapping[str, float], seed: int = 0) -> list[PlannedRun]:
    """The same mixtures at other sizes of proxy, so that losses over N and D can be told from those over mixtures.

    Args:
        mixtures: what to train at every size.
        sizes: size to the training tokens of its proxies.
        seed: seed of the runs.
    """
    return [
        PlannedRun(f"ladder-{size}-{index:03}-s{seed}", "ladder", mixture, round(tokens), seed, size)
        for size, tokens in sizes.items()
        for index, mixture in enumerate(mixtures)
    ]


def without_duplicates(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """The runs without those that repeat schedule, tokens, seed and size of an earlier one."""
    first: dict[tuple[Schedule, int, int, str], PlannedRun] = {}
    for run in runs:
        first.setdefault((run.schedule, run.tokens, run.seed, run.size), run)
    return list(first.values())


def round_tokens(tokens: float, batch_tokens: int) -> int:
    """The number of tokens in whole batches nearest to ``tokens``, at least one batch."""
    return max(1, round(tokens / batch_tokens)) * batch_tokens


def simulated_epoching(
    unique: Mapping[str, float], target_tokens: float, proxy_tokens: float, *, sequence: int = 1
) -> dict[str, int]:
    """Unique tokens that a proxy may draw from so that it repeats each language as often as the target run would.

    ``U'_l = U_l · D_proxy / D_target``, so that ``p_l D_proxy / U'_l = p_l D_target / U_l`` for every mixture.

    Args:
        unique: unique tokens U of the target's corpus.
        target_tokens: training tokens of the target run; not more than the proxy's leaves the corpus as it is.
        proxy_tokens: training tokens of the proxy.
        sequence: tokens per sequence, the least that can be drawn from.

    Raises:
        BadInput: a language shrinks below one sequence; the message says how long the proxy would have to be.
    """
    ratio = min(1.0, proxy_tokens / target_tokens)
    for language, tokens in unique.items():
        if tokens * ratio < sequence:
            needed = sequence / tokens * target_tokens if tokens else math.inf
            raise BadInput(
                f"{language}: {tokens:.6g} unique tokens become {tokens * ratio:.3g}",
                where="simulated epoching",
                expected=f"one sequence of {sequence} or more (proxies of {needed:.3g} tokens, or no simulation)",
            )
    return {language: round(tokens * ratio) for language, tokens in unique.items()}


def _labels(languages: Sequence[str]) -> Callable[[Sequence[str]], str]:
    """A function from subsets to labels that are readable, unique among these languages, and safe in file names."""
    short = {
        name: re.sub(r"[^A-Za-z0-9.]+", "_", re.sub(r"_[A-Z][a-z]{3}$", "", name)).strip("._") for name in languages
    }
    several = {text.casefold() for text in short.values()} - {FULL}
    unique = len(several) == len(languages) and all(short.values())

    def label(subset: Sequence[str]) -> str:
        if len(subset) == len(languages):
            return FULL
        text = "+".join(short[name] for name in subset)
        if unique and len(text) <= LONGEST_LABEL:
            return text
        return f"{len(subset)}of{len(languages)}-{hashlib.sha256(chr(31).join(subset).encode()).hexdigest()[:12]}"

    return label


def drawable(mixture: Mixture, sequences: int) -> Mixture:
    """The mixture without shares that are less than two sequences of a proxy's run, which no sampler can draw."""
    kept = {language: share if share * sequences >= 2 else 0.0 for language, share in mixture.items()}
    return Mixture.normalised(kept)
