"""What the explorer in the page needs, packed: the law's parameters, the mixtures, the limits."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from glotmix.report.evidence import Advice, Evidence, LawFit
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
            for kind in ("family", "script")
        },
        "unit": evidence.unit,
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
        "runs": [i for i, role in enumerate(runs.role_R) if role != "validation"] if same and runs is not None else [],
    }


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
        "parameters": [name for name in law.parameters if name not in weights],
        "theta": pack(law.theta_TP, np.float64),
        "resamples": _resamples(law),
        "N": None if np.isnan(law.N) else law.N,
        "D": None if np.isnan(law.D) else law.D,
        "repeats": None if law.repeats is None else {"unique": law.repeats.unique, "added": law.repeats.added},
    }


def pack(array: np.ndarray, kind: type[np.number[Any]]) -> str:
    """Little-endian numbers in base64, C order."""
    return base64.b64encode(np.ascontiguousarray(array, dtype=np.dtype(kind).newbyteorder("<")).tobytes()).decode()


def _resamples(law: LawFit) -> dict[str, Any] | None:
    """Resampled parameters: exact where that is small, else as 16-bit steps from the fitted ones."""
    if law.theta_BTP is None or len(law.theta_BTP) < 2:
        return None
    B, size = len(law.theta_BTP), law.theta_BTP[0].size
    if B <= MOST and B * size * 8 <= EXACT_BYTES:
        return {"values": pack(law.theta_BTP, np.float64), "note": f"from {B} resamples of the runs"}
    keep = min(B, MOST, max(FEWEST, EXACT_BYTES // (2 * size)))
    away = law.theta_BTP[np.linspace(0, B - 1, keep).astype(int)] - law.theta_TP
    step = np.maximum(np.abs(away).max(axis=0) / 32767, 1e-300)
    return {
        "steps": pack(np.round(away / step), np.int16),
        "step": pack(step, np.float64),
        "note": f"from {keep} of {counted(B, 'resample')} of the runs, to keep the page small",
    }


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
