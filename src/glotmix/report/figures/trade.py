"""What one objective costs in terms of another, and where the time of a sweep went."""

from __future__ import annotations

from glotmix.report.evidence import Evidence, Front, RunRow
from glotmix.report.figures.drawing import (
    NARROW,
    WIDE,
    Canvas,
    Cell,
    Figure,
    Scale,
    legend,
    px,
    series,
    x_axis,
    y_axis,
)
from glotmix.report.frames.timeline import lanes
from glotmix.wording import counted, duration, number, share

ROLES = ("coalition", "swarm", "held_out", "anchor", "ladder", "active", "validation")
"""Roles of runs in the order in which they take the colours."""


def front_figure(evidence: Evidence, front: Front) -> Figure:
    """The front, with the optimum and the baselines where the law puts them."""
    (best_a, b_there, _), (a_there, best_b, _) = front.points[0], front.points[-1]
    unit = evidence.unit
    finding = (
        f"To lower the {front.second} as far as it goes, by {number(b_there - best_b)} {unit}, the {front.first} must "
        f"rise by {number(a_there - best_a)}"
    )
    if b_there - best_b < 1e-4:
        finding = f"The {front.first} and the {front.second} want the same mixture"
    languages = list(front.points[0][2])
    about = f"{finding}. {len(front.points)} mixtures between the best for each."
    rows: list[tuple[Cell, ...]] = [
        (f"front {i + 1}", a, b, *[p.get(name, 0.0) for name in languages]) for i, (a, b, p) in enumerate(front.points)
    ]
    rows += [(name, a, b, *[None] * len(languages)) for name, (a, b) in front.known.items()]
    return Figure(
        "front",
        finding,
        about,
        tuple(_draw_front(evidence, front, width, finding, about) for width in (WIDE, NARROW)),
        ("mixture", f"{front.first} ({unit})", f"{front.second} ({unit})", *[f"p/{name}" for name in languages]),
        rows,
        "The line: mixtures that nothing allowed beats in both, by the law. Down and left is better.",
    )


def _draw_front(evidence: Evidence, front: Front, width: int, finding: str, about: str) -> str:
    canvas = Canvas(width, 0)
    names = [name for name in front.known if series(name)[1] != "s-other"]
    left, right = 58, width - 14
    top = legend(canvas, names, left, 12, right - left) + 24
    bottom = top + (260 if width == WIDE else 220)
    canvas.height = bottom + 42
    a = [point[0] for point in front.points] + [front.known[name][0] for name in names]
    b = [point[1] for point in front.points] + [front.known[name][1] for name in names]
    x, y = Scale.around(a, left, right), Scale.around(b, bottom, top)
    y_axis(canvas, y, left, right, f"{front.second} ({evidence.unit})")
    x_axis(canvas, x, top, bottom, f"{front.first} ({evidence.unit})", n=5 if width == WIDE else 3)
    line = "L".join(f"{px(x(p))} {px(y(q))}" for p, q, _ in front.points)
    canvas.path(f"M{line}", "s-optimum curve")
    for p, q, mixture in front.points:
        tip = "\n".join(f"{evidence.name_of(name)} {share(p)}" for name, p in mixture.items())
        canvas.mark("circle", x(p), y(q), "s-optimum hollow", tip, 3.5)
    for name in names:
        kind, css = series(name)
        p, q = front.known[name]
        canvas.mark(kind, x(p), y(q), f"{css} filled", f"{name}\n{number(p)} and {number(q)} {evidence.unit}", 6)
    return canvas.svg(f"front-{width}", finding, about, "wide" if width == WIDE else "narrow")


def timeline(evidence: Evidence) -> Figure | None:
    """When every job of the sweep ran, and beside which others."""
    rows = [run for run in evidence.runs if run.began is not None and run.ended is not None]
    if not rows:
        return None
    packed = lanes(rows)
    jobs = len({(run.began, run.ended) for run in rows})
    busy = sum(ended - began for began, ended in {(r.began or 0.0, r.ended or 0.0) for r in rows})
    span = max(r.ended or 0.0 for r in rows) - min(r.began or 0.0 for r in rows)
    finding = (
        f"{counted(len(rows), 'run')} in {counted(jobs, 'job')} took {duration(span)}, "
        f"{number(busy / span, 1) if span else '1'} at a time on average"
    )
    about = f"{finding}. " + ", ".join(f"{role}: {n}" for role, n in _counts(rows).items())
    start = min(run.began or 0.0 for run in rows)
    data = [(r.run, r.role, r.status, (r.began or 0.0) - start, (r.ended or 0.0) - start, r.seconds) for r in rows]
    return Figure(
        "timeline",
        finding,
        about,
        tuple(_draw_timeline(packed, width, start, span, finding, about) for width in (WIDE, NARROW)),
        ("run", "role", "status", "began (s)", "ended (s)", "its share of the job (s)"),
        data,
        "A bar is a job: one run, or several trained as one program. Gaps are pauses and restarts.",
    )


def _counts(rows: list[RunRow]) -> dict[str, int]:
    return {role: sum(1 for r in rows if r.role == role) for role in dict.fromkeys(r.role for r in rows)}


def _draw_timeline(
    packed: list[list[list[RunRow]]], width: int, start: float, span: float, finding: str, about: str
) -> str:
    roles = dict.fromkeys(run.role for lane in packed for job in lane for run in job)
    canvas = Canvas(width, 0)
    left, right, row = 14, width - 14, 20 if len(packed) <= 12 else 6
    at = left
    for role in roles:
        canvas.rect(at, 6, 12, 12, f"role r{_colour(role)}", "", 2)
        canvas.text(at + 17, 16.5, role.replace("_", " ") or "run", "label z12")
        at += 34 + 7 * len(role)
    top = 32.0
    bottom = top + row * len(packed)
    canvas.height = bottom + 42
    size, unit = (3600.0, "hours") if span > 2 * 3600 else (60.0, "minutes") if span > 120 else (1.0, "seconds")
    x = Scale(0.0, max(span, 1e-9) / size, left, right)
    x_axis(canvas, x, top, bottom, f"{unit} since the first job began", n=6 if width == WIDE else 3)
    for i, lane in enumerate(packed):
        for job in lane:
            began, ended = (job[0].began or 0.0) - start, (job[0].ended or 0.0) - start
            tip = f"{counted(len(job), 'run')}, {duration(ended - began)}\n" + ", ".join(r.run for r in job[:6])
            tip += ", …" if len(job) > 6 else ""
            wide = max(x(ended / size) - x(began / size) - 1, 0.8)
            css = f"role r{_colour(job[0].role)}"
            canvas.rect(x(began / size), top + row * i + 2, wide, row - 4, css, tip, 1.5)
    return canvas.svg(f"timeline-{width}", finding, about, "wide" if width == WIDE else "narrow")


def _colour(role: str) -> int:
    return ROLES.index(role) if role in ROLES else len(ROLES)
