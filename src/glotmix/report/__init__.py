"""The page people decide from: numbers first (frames), drawing second (figures), one file at the end (page)."""

from glotmix.estimate import Estimate
from glotmix.report.evidence import (
    About,
    Advice,
    Candidate,
    CensusRow,
    Cost,
    Evidence,
    Front,
    HeldOut,
    Interactions,
    LawFit,
    RunRow,
    Trained,
)
from glotmix.report.page import write_comparison, write_report

__all__ = [
    "About",
    "Advice",
    "Candidate",
    "CensusRow",
    "Cost",
    "Estimate",
    "Evidence",
    "Front",
    "HeldOut",
    "Interactions",
    "LawFit",
    "RunRow",
    "Trained",
    "write_comparison",
    "write_report",
]
