"""The page people decide from: numbers first (frames), drawing second (figures), one file at the end (page)."""

from glotmix.estimate import Estimate
from glotmix.report.evidence import (
    About,
    Advice,
    Candidate,
    CorpusRow,
    Evidence,
    Front,
    HeldOutPredictions,
    Interactions,
    LawFit,
    RunRow,
    Spending,
    Trained,
)
from glotmix.report.page import write_comparison, write_report

__all__ = [
    "About",
    "Advice",
    "Candidate",
    "CorpusRow",
    "Estimate",
    "Evidence",
    "Front",
    "HeldOutPredictions",
    "Interactions",
    "LawFit",
    "RunRow",
    "Spending",
    "Trained",
    "write_comparison",
    "write_report",
]
