"""Which jobs ran beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from glotmix.report.evidence import RunRow


def lanes(rows: Sequence[RunRow]) -> list[list[list[RunRow]]]:
    """Jobs in as few lanes as possible so that no two of a lane overlap; a job is the runs that one program trained.

    Runs without times are left out. Lane → job → runs, jobs by the time at which they began.
    """
    jobs: dict[tuple[float, float], list[RunRow]] = {}
    for run in rows:
        if run.began is not None and run.ended is not None:
            jobs.setdefault((run.began, run.ended), []).append(run)
    found: list[list[list[RunRow]]] = []
    free: list[float] = []
    for began, ended in sorted(jobs):
        lane = next((i for i, end in enumerate(free) if end <= began), len(free))
        if lane == len(free):
            free.append(ended)
            found.append([])
        free[lane] = ended
        found[lane].append(jobs[began, ended])
    return found
