"""What the explorer in the page needs, packed: the law's parameters, the mixtures, the limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from glotmix.laws.gaussian_process import POWER, TINY, UNIT
from glotmix.report.evidence import Advice, Evidence, LawFit
from glotmix.report.html import pack
from glotmix.wording import counted

EXACT_BYTES = 1_000_000
"""Resamples up to this size travel as 64-bit numbers; more of them as 16-bit steps, thinned to the same size."""
FEWEST, MOST = 40, 400
"""Resamples are never thinned below the first number, always to the second, which drags smoothly."""


def explorer_data(evidence: Evidence) -> dict[str, Any] | None:
    """The JSON value that assets/explorer.js starts from; None where no law can be evaluated in the page."""
    law, advice = evidence.law, evidence.advice
    if law is None:
        return None
    languages = list(law.languages)
    mixtures: dict[str, list[float]] = {}
    if advice is not None:
        for candidate in (advice.optimum, *advice.baselines):
            mixtures[candidate.name] = [candidate.mixture.get(language, 0.0) for language in languages]
    mixtures.setdefault("uniform", [1 / len(languages)] * len(languages))
    runs = evidence.measurements
    same = runs is not None and runs.languages == law.languages
    epochs = _epochs_per_share(evidence)
    return {
        "law": law_data(law),
        "names": {language: evidence.name_of(language) for language in dict.fromkeys((*law.languages, *law.targets))},
        "groups": {
            kind: {
                language: getattr(evidence.about[language], kind)
                for language in languages
                if language in evidence.about
            }
            for kind in _kinds(evidence, languages)
        },
        "unit": evidence.unit,
        "mixes": evidence.mixes,
        "measures": evidence.measures,
        "scored": [None if (one := evidence.scored.get(t)) is None else one.higher_is_better for t in law.targets],
        "mixtures": mixtures,
        "start": "optimum" if "optimum" in mixtures else "uniform",
        "objective": advice.objective if advice else "mean",
        "weights": _weights(evidence, law),
        "reference": dict(advice.reference) if advice else {},
        "floors": [advice.floors.get(language, 0.0) if advice else 0.0 for language in languages],
        "ceilings": [min(1.0, advice.ceilings.get(language, 1.0)) if advice else 1.0 for language in languages],
        "epochs": [epochs.get(language) for language in languages],
        "limits": [
            {"members": list(members), "floor": floor, "ceiling": ceiling}
            for members, floor, ceiling in (advice.groups.values() if advice else ())
        ],
        "quantile": advice.quantile if advice else 0.75,
        "penalty": _penalty(advice, languages),
        "order": None
        if evidence.order is None
        else {
            "lengths": list(evidence.order.lengths),
            "rates": list(evidence.order.rates),
            "behind": evidence.order.behind,
            "beside": evidence.order.beside,
            "schedules": {
                name: [[phase[language] for language in languages] for phase in phases]
                for name, phases in evidence.order.schedules.items()
            },
        },
        "runs": [i for i, role in enumerate(runs.role_R) if role != "validation"] if same and runs is not None else [],
    }


def _kinds(evidence: Evidence, languages: list[str]) -> list[str]:
    """What languages and sources can be grouped by."""
    known = [evidence.about[language] for language in languages if language in evidence.about]
    own = [kind for kind in ("group", "language") if any(getattr(about, kind) for about in known)]
    return [*own, "family", "script"]


def _penalty(advice: Advice | None, languages: list[str]) -> dict[str, Any] | None:
    if advice is None or advice.penalty is None:
        return None
    kind, weight, reference = advice.penalty
    return {"kind": kind, "weight": weight, "reference": [reference.get(language, 0.0) for language in languages]}


def law_data(law: LawFit) -> dict[str, Any]:
    """Parameters of a law, row by row as little-endian numbers in base64."""
    weights = [name for name in law.parameters if name[:2] in ("w/", "a/")]
    in_order = [name[2:] for name in law.parameters[-len(law.languages) :]] == list(law.languages)
    assert in_order or not weights, "weights stand last, in the order of the languages"
    return {
        "name": law.name,
        "form": law.form,
        "varies": sorted(law.varies),
        "formula": law.formula,
        "languages": list(law.languages),
        "targets": list(law.targets),
        **_of_scores(law),
        "parameters": [name for name in law.parameters if name not in weights],
        "theta": pack(law.theta_TP, np.float64),
        "resamples": _resamples(law),
        "process": _processes(law),
        "thinned": _note(law),
        "N": None if np.isnan(law.N) else law.N,
        "D": None if np.isnan(law.D) else law.D,
        "repeats": None if law.repeats is None else {"unique": law.repeats.unique, "added": law.repeats.added},
    }


def _of_scores(law: LawFit) -> dict[str, Any]:
    """What the page needs of targets that are scores."""
    if not law.most:
        return {}
    return {"most": list(law.most), "stands_on": list(law.stands_on), "further": list(law.further)}


def _resamples(law: LawFit) -> dict[str, Any] | None:
    """Resampled parameters: exact where that is small, else as 16-bit steps.

    Errors of form always travel as steps, which moves the end of an interval by less than a millionth of the loss per
    hundredth that the form is off; where resamples are left out, in 8 bits, which moves it by far less than that does.
    """
    if law.theta_BTP is None or len(law.theta_BTP) < 2:
        return None
    B, size = len(law.theta_BTP), law.theta_BTP[0].size
    drawn = 0 if law.draws is None else law.draws.amplitude_BFT[0].size
    exact = B <= MOST and B * size * 8 <= EXACT_BYTES
    keep = B if exact else min(B, MOST, max(FEWEST, EXACT_BYTES // (2 * size + drawn)))
    rows = np.linspace(0, B - 1, keep).astype(int)
    note = f"from {B} resamples of the runs"
    if keep < B:
        note = f"from {keep} of {counted(B, 'resample')} of the runs, to keep the page small"
    parts: dict[str, Any] = {"note": note}
    parts |= {"values": pack(law.theta_BTP, np.float64)} if exact else _steps(law.theta_BTP[rows], law.theta_TP)
    if law.draws is not None:
        amplitude_BFT = law.draws.amplitude_BFT[rows]
        waves = {"turn": pack(law.draws.turn_LF, np.float64), "phase": pack(law.draws.phase_F, np.float64)}
        kind = np.int16 if keep == B else np.int8
        parts["draws"] = waves | _steps(amplitude_BFT, np.zeros(amplitude_BFT.shape[1:]), kind)
    return parts


def _steps(values: np.ndarray, middle: np.ndarray, kind: type[np.signedinteger[Any]] = np.int16) -> dict[str, Any]:
    """Resamples [B, ...] as steps of 16 or 8 bits from their middle [...]."""
    away, most, bits = values - middle, np.iinfo(kind).max, np.iinfo(kind).bits
    step = np.maximum((np.abs(away).max(axis=0) / most).astype(np.float32), np.float32(1e-30)).astype(float)
    steps = np.clip(np.round(away / step), -most, most)
    return {"steps": pack(steps, kind), "step": pack(step, np.float32), "bits": bits}


def _processes(law: LawFit) -> dict[str, Any] | None:
    """The processes of all targets; features that several share travel once."""
    if not law.processes:
        return None
    shared: dict[bytes, int] = {}
    arrays: list[str] = []
    targets = []
    for one in law.processes:
        key = one.x_RK.tobytes()
        if key not in shared:
            shared[key] = len(arrays)
            arrays.append(pack(one.x_RK, np.float64))
        thin = len(one.picked_M) < len(one.alpha_R)
        rows, columns = np.tril_indices(len(one.picked_M))
        targets.append(
            {
                "x": shared[key],
                "alpha": pack(one.alpha_R, np.float64),
                "length": pack(one.length_K, np.float64),
                "variance": one.variance,
                "pairs": one.pairs,
                "unit": one.unit,
                "picked": one.picked_M.tolist() if thin else None,
                "root": pack(one.root_MM[rows, columns], np.float32 if thin else np.float64),
            }
        )
    return {"power": POWER, "factor": UNIT, "tiny": TINY, "features": arrays, "targets": targets}


def _note(law: LawFit) -> str:
    """What the intervals in the page rest on."""
    error = max((one.error for one in law.processes), default=0.0)
    if not error:
        return ""
    return f"off by at most {100 * error:.2g} % of a loss beside those of the command line, to keep the page small"


def _weights(evidence: Evidence, law: LawFit) -> dict[str, float]:
    if evidence.advice is not None and evidence.advice.weights:
        return {t: evidence.advice.weights.get(t, 0.0) for t in law.targets}
    return {t: 1.0 if t in law.languages else 0.0 for t in law.targets}


def _epochs_per_share(evidence: Evidence) -> dict[str, float]:
    """D / U of each language, read off the optimum's epochs or the baselines'."""
    found: dict[str, float] = {}
    for candidate in (evidence.advice.optimum, *evidence.advice.baselines) if evidence.advice else ():
        for language, epochs in candidate.epochs.items():
            p = candidate.mixture.get(language, 0.0)
            if p > 0 and np.isfinite(epochs):
                found.setdefault(language, epochs / p)
    return found
