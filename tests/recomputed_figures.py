"""The numbers of the figures of a study of a mixture a second time, from its Parquet and JSON: no code of the report."""

import json
import re
from itertools import combinations
from math import factorial

import numpy as np
from scipy import stats

from tests.recomputed import Study, fixed, numbers_in, plain, share, signed

CLOSE = 2e-5
"""Data behind figures are kept with six digits."""


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


class Drawn:
    """One figure: its heading, the numbers in its drawing, and the data behind it."""

    def __init__(self, key, markup):
        stored = json.loads(re.search(r'<script type="application/json">(.*?)</script>', markup, flags=re.S)[1])
        self.key, self.columns, self.rows = key, stored["columns"], stored["rows"]
        self.heading = " ".join(plain(re.search(r"<h[34]>(.*?)</h[34]>", markup, flags=re.S)[1]).split(" "))
        wide = re.search(r"<svg.*?</svg>", markup, flags=re.S)[0]
        self.written = [text for css, text in re.findall(r'<text[^>]*class="([^"]*)"[^>]*>([^<]*)<', wide) if re.search(r"\b(value|number)\b", css)]  # fmt: skip

    def by_first(self):
        return {row[0]: row[1:] for row in self.rows}

    def says(self, *numbers):
        """Every number of the heading and of the drawing is one of these, written."""
        said = [*numbers_in(self.heading), *self.written]
        assert [number for number in said if number not in numbers] == [], self.key


def near(told, expected):
    """The same up to the digits kept; None is None."""
    assert (told is None) == (expected is None), (told, expected)
    assert told is None or abs(told - expected) <= CLOSE * max(abs(expected), 1e-3), (told, expected)


def drawn_in(page):
    """Key to figure, those that wait behind a menu left out."""
    body = re.sub(r'<script type="application/json">\{"prediction.*?</script>', "", page, flags=re.S)
    return {key: Drawn(key, of) for key, of in re.findall(r'<figure[^>]*id="fig-([^"]+)"(.*?)</figure>', body, flags=re.S)}  # fmt: skip


def figures_of_mixture(directory, against):
    """Every figure whose numbers follow from the files alone; returns the keys that were looked at."""
    page, files = (directory / "report.html").read_text(encoding="utf-8"), Study(directory)
    drawn, seen = drawn_in(page), set()
    for key, of in drawn.items():
        kind = re.sub(r"-\d+$", "", key)
        if check := CHECKS.get(kind):
            check(of, files, directory, against)
            seen.add(kind)
    return seen


def _languages(of, files, _, against):
    """Measured change of every loss with its interval, the predicted one, the weight."""
    total = sum(files.weights.values())
    before = next(b["predicted"] for b in files.optimum["baselines"] if b["name"] == against)
    changes = []
    for target, (_, weight, change, low, high, measured, ghost) in of.by_first().items():
        expected = files.change(files.measured(target), against)
        for told, x in zip((change, low, high), expected, strict=True):
            near(told, x)
        near(weight, files.weights.get(target, 0.0) / total)
        near(ghost, files.optimum["predicted"][target]["value"] - before[target]["value"])
        assert measured == 1
        changes.append(expected)
    pays, wins = sum(low > 0 for _, low, _ in changes), sum(high < 0 for *_, high in changes)
    of.says(*[signed(value) for value, *_ in changes], str(wins), str(pays), str(len(changes)))
    assert numbers_in(of.heading)[0] == str(wins)


def _mixture(of, files, *_):
    """Shares of the recommended mixture and of every other, and passes."""
    optimum = files.optimum["mixture"]
    others = {b["name"]: b["mixture"] for b in files.optimum["baselines"]}
    told = [share(p) for mixture in (optimum, *others.values()) for p in mixture.values()]
    for row in of.rows:
        tag = row[0]
        near(row[2], optimum[tag])
        for name, p in zip(of.columns[3:-1], row[3:-1], strict=True):
            near(p, others[name.removeprefix("optimum of ")][tag])
        near(row[-1], files.optimum["epochs"][tag])
    of.says(*told)


def _loop(of, files, *_):
    """Mean of the seeds of every trained mixture, its interval from the spread pooled over all, and the prediction."""
    value_MS = files.objective()
    M, S = value_MS.shape
    spread = np.sqrt(((value_MS - value_MS.mean(1, keepdims=True)) ** 2).sum() / (M * (S - 1)))
    half = stats.t.ppf(0.975, M * (S - 1)) * spread / np.sqrt(S)
    said = {"optimum": files.optimum["objective"]} | {b["name"]: b["objective"] for b in files.optimum["baselines"]}
    assert set(of.by_first()) == set(files.mixtures)
    for name, row in of.by_first().items():
        mean = value_MS[files.mixtures.index(name)].mean()
        for told, x in zip(row[:3], (mean, mean - half, mean + half), strict=True):
            near(told, x)
        for told, key in zip(row[3:6], ("value", "low", "high"), strict=True):
            near(told, said[name][key])
        assert row[6] == S
    assert numbers_in(of.heading) == []


def _game(files, directory):
    """Reductions of loss of every coalition, from the runs: coalition to target to value."""
    notes = read(directory / "transfer.json")["notes"]
    losses = {}
    for row in files.runs.iter_rows(named=True):
        members = frozenset(tag for tag in files.inside if row[f"p/{tag}"] > 0)
        alike = np.ptp([row[f"p/{tag}"] for tag in members]) < 1e-9
        if row["role"] in ("coalition", "anchor") and alike:
            for target in (*files.inside, *files.outside):
                losses.setdefault((members, target), []).append(files.loss[row["run"], target])
    value = {key: notes["empty_loss"][key[1]] - np.mean(found) for key, found in losses.items()}
    return lambda members, target: value[frozenset(members), target] if members else 0.0


def _others(files, *left_out):
    rest = [tag for tag in files.inside if tag not in left_out]
    return [subset for k in range(len(rest) + 1) for subset in combinations(rest, k)]


def _transfer(of, files, directory, _):
    """Shapley values by all orders, their intervals as the study keeps them."""
    game, n, kept = _game(files, directory), len(files.inside), read(directory / "transfer.json")["values"]
    written = []
    for target, source, value, low, high in of.rows:
        weight = lambda k: factorial(k) * factorial(n - k - 1) / factorial(n)  # noqa: E731
        phi = sum(weight(len(s)) * (game((*s, source), target) - game(s, target)) for s in _others(files, source))
        near(value, phi)
        near(low, kept[target][source]["low"])
        near(high, kept[target][source]["high"])
        written.append(signed(phi, 2))
    of.says(*written)


def _waterfall(of, files, directory, _):
    """The same values of one target, the largest first, and what they add up to: what all languages together gain."""
    game = _game(files, directory)
    values = [row[1] for row in of.rows]
    assert sorted(values, key=abs, reverse=True) == values
    gains = {target: game(files.inside, target) for target in (*files.inside, *files.outside)}
    target = min(gains, key=lambda t: abs(gains[t] - sum(values)))
    assert abs(gains[target] - sum(values)) < CLOSE * max(map(abs, values)) * len(values)
    of.says(*[signed(x, 2) for x in values], signed(gains[target], 2))


def _interactions(of, files, directory, _):
    """The pairwise Shapley interaction index, mean over the targets in the mixture."""
    game, n, written = _game(files, directory), len(files.inside), {"0.00"}
    apart = {"+": 0, "-": 0}
    for one, other, value, low, high in of.rows:
        terms = []
        for target in files.inside:
            for s in _others(files, one, other):
                weight = factorial(len(s)) * factorial(n - len(s) - 2) / factorial(n - 1)
                both, first, second, none = (game((*s, *more), target) for more in ((one, other), (one,), (other,), ()))
                terms.append(weight * (both - first - second + none))
        expected = sum(terms) / len(files.inside)
        near(value, expected)
        written.add(signed(expected, 2))
        apart["+"] += low is not None and low > 0
        apart["-"] += high is not None and high < 0
    of.says(*written, str(apart["+"]), str(apart["-"]), str(len(of.rows)))


def _laws(of, files, *_):
    """Held-out errors of every law, mean over the targets in the mixture, and the worst of all targets."""
    judged = files.holdout.get("held_out") or files.holdout["cross_validated"]
    written = []
    for law, error, _, worst, absolute, rank, targets in of.rows:
        scores = judged["scores"][law]
        inside = [scores[t]["error"] if t in scores else np.nan for t in files.inside]
        near(error, float(np.mean(inside)))
        near(worst, max(one["error"] for one in scores.values()))
        near(absolute, float(np.mean([one["mae"] for one in scores.values()])))
        if law != "null" and rank is not None:
            near(rank, float(np.mean([one["spearman"] for one in scores.values()])))
        assert targets == len(scores)
        written.append(f"{fixed(100 * error, 2)}\u202f%")
    of.says(*written)


def _prediction(of, files, *_):
    """Every point is a run with its measured loss; the heading's error is that of the points."""
    targets = {t for t in (*files.inside, *files.outside) if all(abs(files.loss[run, t] - m) < CLOSE * m for run, m, _ in of.rows)}  # fmt: skip
    assert len(targets) == 1
    error = np.mean([abs(predicted / measured - 1) for _, measured, predicted in of.rows])
    judged = files.holdout.get("held_out") or files.holdout["cross_validated"]
    assert abs(error - judged["scores"][files.holdout["chosen"]][targets.pop()]["error"]) < 1e-5
    assert numbers_in(of.heading) == [f"{fixed(100 * error, 2)}\u202f%"]


def _share(of, files, *_):
    """Every point is a run: its share of the language, and that language's loss."""
    runs = {row["run"]: row for row in files.runs.iter_rows(named=True)}
    found = {t for t in files.inside if all(abs(files.loss[run, t] - loss) < CLOSE * loss and abs(runs[run][f"p/{t}"] - p) < CLOSE for run, p, loss in of.rows)}  # fmt: skip
    assert len(found) == 1
    assert len(of.rows) == len(runs)
    losses = {fixed(loss, 2) for *_, loss in of.rows}
    rows = sorted(of.rows, key=lambda row: row[1])
    ends = numbers_in(of.heading)
    assert len(ends) == 2
    for end, few in zip(ends, (rows[: len(rows) // 2], rows[len(rows) // 2 :]), strict=True):
        values = [loss for *_, loss in few]
        assert end in losses or min(values) - 0.005 <= float(end) <= max(values) + 0.005


def _front(of, files, *_):
    """The ends of the heading are those of the line; what was measured is the objective of the loop."""
    value_MS = files.objective()
    for row in of.rows:
        if row[0] in files.mixtures:
            near(row[4], float(value_MS[files.mixtures.index(row[0])].mean()))
    line = [row for row in of.rows if row[0].startswith("front ")]
    gained, paid = line[0][7] - line[-1][7], line[-1][1] - line[0][1]
    if said := numbers_in(of.heading):
        assert np.allclose([float(x) for x in said], [gained, paid], atol=6e-4)
    near(line[0][1], files.optimum["objective"]["value"])


def _timeline(of, files, directory, _):
    """Began and ended as the jobs noted; the heading counts runs and jobs."""
    times = {path.stem: read(path) for path in (directory / "jobs" / "timings").glob("*.json")}
    start = min(one["began"] for one in times.values())
    for run, _, _, began, ended, _ in of.rows:
        assert abs(began - (times[run]["began"] - start)) < 0.01 * max(1, abs(began))
        assert abs(ended - (times[run]["ended"] - start)) < 0.01 * max(1, abs(ended))
    jobs = {(one["began"], one["ended"]) for one in times.values()}
    busy = sum(b - a for a, b in jobs) / (max(b for _, b in jobs) - start)
    said = numbers_in(of.heading)
    assert said[:2] == [str(len(of.rows)), str(len(jobs))] or len(jobs) == 1
    assert said[-1] == fixed(busy, 1) or len(jobs) == 1


CHECKS = {
    "languages": _languages, "mixture": _mixture, "loop": _loop, "transfer": _transfer, "waterfall": _waterfall,
    "interactions": _interactions, "laws": _laws, "prediction": _prediction, "share": _share, "front": _front,
    "timeline": _timeline,
}  # fmt: skip
"""Start of a figure's key to what recomputes it."""
