"""The tables of the other kinds' pages a second time, from a study's Parquet and JSON: no code of the report or the analysis."""

import json
import math
import re
from itertools import combinations

import numpy as np
import polars as pl
from safetensors.numpy import load_file
from scipy import stats

from tests.recomputed import fixed, large, share, signed, table_of


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def finite(x):
    return None if x is None or x in ("inf", "-inf", "nan") or not math.isfinite(x) else x


def told(estimate, digits=3):
    """ "1.203 (1.100 to 1.306)"."""
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    ends = "" if low is None or high is None else f" ({fixed(low, digits)} to {fixed(high, digits)})"
    return fixed(value, digits) + ends


def around(value, half, digits=3):
    return told({"value": value, "low": value - half, "high": value + half}, digits)


def last_losses(directory, metric="bpb"):
    """(run, language) to the loss at the end of the run, from the table of losses."""
    losses = pl.read_parquet(directory / "measurements" / "losses.parquet").filter(pl.col("metric") == metric)
    last = losses.sort("step").group_by(["run", "language"]).last()
    return {(row["run"], row["language"]): row["value"] for row in last.iter_rows(named=True)}


class Compared:
    """Methods x seeds x languages of a comparison, as measured."""

    def __init__(self, directory):
        self.config, loss = read(directory / "study.json"), last_losses(directory)
        sizes = read(directory / "comparison.json")["sizes"]
        self.methods, self.languages = self.config["methods"], sorted(self.config["languages"], key=lambda t: -sizes[t])
        seeds, name = range(self.config["seeds"]), lambda m: m.replace(":", "-")
        by_language = {t: np.array([[loss[f"{name(m)}-s{s}", t] for s in seeds] for m in self.methods]) for t in self.languages}  # fmt: skip
        every = np.stack(list(by_language.values()))
        self.columns = [*by_language.values(), every.mean(0), every.max(0)]

    def spread(self, value_MS):
        """What is left after methods and seeds, and its degrees of freedom."""
        M, S = value_MS.shape
        rest = value_MS - value_MS.mean(1, keepdims=True) - value_MS.mean(0) + value_MS.mean()
        freedom = (M - 1) * (S - 1)
        return np.sqrt((rest**2).sum() / freedom / S), freedom

    def adjusted(self, value_MS):
        """p of every pair of methods after Holm's correction over all of them."""
        error, freedom = self.spread(value_MS)
        pairs = list(combinations(range(len(value_MS)), 2))
        p = {(a, b): 2 * stats.t.sf(abs(value_MS[a].mean() - value_MS[b].mean()) / (error * 2**0.5), freedom) for a, b in pairs}  # fmt: skip
        least, found = 0.0, {}
        for rank, pair in enumerate(sorted(p, key=p.get)):
            least = max(least, min(1.0, p[pair] * (len(p) - rank)))
            found[pair] = found[pair[::-1]] = least
        return found


def compare_page(directory):
    """Losses, differences with their verdicts, every pair, and what it cost."""
    page, of = (directory / "report.html").read_text(encoding="utf-8"), Compared(directory)
    losses = table_of(page, "Loss of every method in bits per byte")
    assert [row[0].split()[0] for row in losses] == of.methods
    for m, row in enumerate(losses):
        expected = []
        for value_MS in of.columns:
            error, freedom = of.spread(value_MS)
            expected.append(around(value_MS[m].mean(), stats.t.ppf(0.975, freedom) * error))
        assert row[1:] == expected
    base = of.methods.index("proportional")
    for method, *cells in table_of(page, "Difference of loss in bits per byte"):
        m = of.methods.index(method)
        for text, value_MS in zip(cells, of.columns, strict=True):
            error, freedom = of.spread(value_MS)
            value, half = value_MS[m].mean() - value_MS[base].mean(), stats.t.ppf(0.975, freedom) * error * 2**0.5
            sure = of.adjusted(value_MS)[m, base] < 0.05
            word = ("✓ better" if value < 0 else "✗ worse") if sure else "? not told apart"
            alone = " once all pairs count" if not sure and abs(value) > half else ""
            assert text == f"{around(value, half)} {word}{alone}"
    mean_MS = of.columns[-2]
    for m, row in enumerate(table_of(page, "Every pair: difference of the mean loss")):
        for other, text in enumerate(row[1:]):
            value = mean_MS[m].mean() - mean_MS[other].mean()
            sure = m != other and of.adjusted(mean_MS)[m, other] < 0.05
            assert text == ("–" if m == other else signed(value) + ("*" if sure else ""))
    _cost_of_methods(directory, page, of)
    _watches(directory, page)
    side = read(directory / "comparison.json")["side"]
    noise = {t: side["G"][t]["value"] * side["weights"][t] for t in of.languages}
    for name, moment, weight, part in table_of(page, "Gradients at the end of the proportional run"):
        tag = name.split()[-1]
        assert (moment, weight, part) == (told(side["G"][tag], 2), fixed(side["weights"][tag], 2), share(side["shares"][tag]))  # fmt: skip
        assert noise[tag] > 0
    assert abs(sum(side["shares"].values()) - 1) < 1e-9


def _cost_of_methods(directory, page, of):
    """FLOPs, tokens to the baseline's loss, and passes: those of constant mixtures from the runs themselves."""
    runs = pl.read_parquet(directory / "measurements" / "runs.parquet")
    by_run = {row["run"]: row for row in runs.iter_rows(named=True)}
    found, sizes = read(directory / "comparison.json"), read(directory / "comparison.json")["sizes"]
    rows, constant = {row["method"]: row for row in found["rows"]}, 0
    for method, flops, reached, *epochs in table_of(page, "Cost"):
        run = by_run[f"{method.replace(':', '-')}-s0"]
        steady = method.partition(":")[0] in ("proportional", "temperature", "scalarization")  # one run, one mixture
        if steady:
            assert flops.split("\u202f")[0] == f"{run['C']:.1e}".split("e")[0]
        assert flops.split("\u202f")[0] == f"{rows[method]['flops']:.1e}".split("e")[0]
        at = rows[method]["tokens_to"]["mean"]
        assert reached == ("never" if at is None else large(round(at)))
        for language, text in zip(of.languages, epochs, strict=True):
            assert text == fixed(rows[method]["epochs"][language], 2)
            if steady:
                constant += 1
                drawn = run[f"p/{language}"] * run["D"] / sizes[language]
                assert abs(rows[method]["epochs"][language] - drawn) < 0.02 * max(drawn, 1)
    assert constant


def _watches(directory, page):
    """Who overfits: gaps from the losses on held-out text and on text that was trained on."""
    found, table = read(directory / "comparison.json"), table_of(page, "Every method and language")
    config, losses = read(directory / "study.json"), pl.read_parquet(directory / "measurements" / "losses.parquet")
    assert len(table) == len(found["watches"])
    for watch, row in zip(found["watches"], table, strict=True):
        run = f"{watch['method'].replace(':', '-')}-s"
        ends = {}
        for metric in ("nats", "train"):
            own = losses.filter((pl.col("metric") == metric) & (pl.col("language") == watch["language"]) & pl.col("run").is_in([f"{run}{s}" for s in range(config["seeds"])]))  # fmt: skip
            last = own.sort("step").group_by("run").last().sort("run")["value"].to_numpy()
            ends[metric] = last
        gap = ends["nats"] - ends["train"]
        half = stats.t.ppf(0.975, len(gap) - 1) * gap.std(ddof=1) / np.sqrt(len(gap))
        assert row[3] == around(gap.mean(), half)
        assert row[0] == watch["method"]
        assert row[2] == fixed(watch["moments"][-1]["epochs"], 2)
        assert row[4] == f"{fixed(watch['best']['epochs'], 1)} epochs"
        assert row[6] == fixed(watch["best"]["tokens"] / 1e6, 2)
        assert row[7] == told(watch["rise"])


def clones_page(directory):
    """Claims, mixtures, transfer against updates, alignment and lenses; the losses of the main arm from its runs."""
    page, found = (directory / "report.html").read_text(encoding="utf-8"), read(directory / "clones.json")
    answer = dict.fromkeys(("reproduced", "not reproduced"), 0)
    words = {"reproduced": "✓ reproduced", "not reproduced": "✗ not reproduced"}
    claims = table_of(page, "Claims and verdicts")
    assert len(claims) == len(found["claims"])
    for (name, verdict, measured, paper, decides), claim in zip(claims, found["claims"], strict=True):
        assert name == f"{claim['claim']}  {claim['measure']}"
        assert verdict == words.get(claim["verdict"], "? not decidable at this size")
        assert (measured, paper, decides) == (told(claim["measured"]), claim["paper"], claim["decides"])
        answer[claim["verdict"]] = answer.get(claim["verdict"], 0) + 1
        low, high = claim["measured"]["low"], claim["measured"]["high"]
        assert (verdict == "✓ reproduced") <= (low is not None and low > 0)
        assert (verdict == "✗ not reproduced") <= (high is not None and high < 0)
    held, fell = answer["reproduced"], answer["not reproduced"]
    said = f"these runs reproduce {held}, contradict {fell} and cannot decide {len(claims) - held - fell}."
    assert said in " ".join(page.split())
    losses = {arm: last_losses(path, "nats") for arm, path in ((p.name, p) for p in (directory / "arms").iterdir())}
    checked = 0
    mixtures = table_of(page, "Every mixture")
    assert len(mixtures) == len(found["mixtures"])
    for row, one in zip(mixtures, found["mixtures"], strict=True):
        assert row[1:3] == [_efficiency(value) for value in one["efficiency"]]
        assert row[3:5] == [told(value) for value in one["loss"]]
        assert row[5:] == [f"{one['tokens'] / 1e6:g} M", str(one["seeds"])]
        for arm in losses:
            runs = sorted({run for run, _ in losses[arm] if run.startswith(f"{one['name']}-s")})
            if arm == "main" and one["arm"] == found["mixtures"][0]["arm"] and len(runs) == one["seeds"]:
                for clone, text in zip(found["languages"], row[3:5], strict=True):
                    values = np.array([losses[arm][run, clone] for run in runs])
                    half = stats.t.ppf(0.975, len(runs) - 1) * values.std(ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else None  # fmt: skip
                    assert text == (fixed(values.mean()) if half is None else around(values.mean(), half))
                    checked += 1
    assert checked
    if found["controls"]:
        ranked = sorted(found["controls"], key=lambda one: one["share"])
        for row, one in zip(table_of(page, "Transfer or updates"), ranked, strict=True):
            assert row == [share(one["share"]), *[_efficiency(one[key]) for key in ("mixed", "efficiency")], told(one["gain"])]  # fmt: skip
    aligned = [one for one in found["mixtures"] if one["gradient"]]
    if aligned:
        for row, one in zip(table_of(page, "Alignment at the end of training"), aligned, strict=True):
            assert row[1:4] == [told(one["gradient"]), *[fixed(float(np.mean(one[key]))) for key in ("centred", "raw")]]
            if one["chance"] not in (None, 1):
                assert row[4:6] == [share(max(one["retrieval"])), share(one["chance"])]
            assert row[6:] == [fixed(x) if finite(x) is not None else "–" for x in one["embedding"] or (None, None)]
    if found["lenses"]:
        for row, one in zip(table_of(page, "Four lenses on equals"), found["lenses"], strict=True):
            assert row[0] == one["lens"]
            assert row[1] == f"{100 * (1 - one['second']):g}/{100 * one['second']:g}"
            assert row[2:5] == [_worth(one[key]) for key in ("to_first", "to_second", "asymmetry")]
            assert row[5:] == ([_worth(value) for value in one["bias"]] if one["bias"] else ["–", "–"])


def _efficiency(one):
    return "–" if one is None else told(one, 2) if finite(one["value"]) is not None else "beyond the curve"


def _worth(one):
    return told(one, 2) if finite(one["value"]) is not None else "not defined"


def posttraining_page(directory):
    """Plans, held-out scores, every language's score at every size, saturation and what explains it: the scores of every
    language from the measurements."""
    page, found = (directory / "report.html").read_text(encoding="utf-8"), read(directory / "findings.json")
    names = found["names"]
    scores = _scores(directory)
    for row, one in zip(table_of(page, "Held-out scores"), found["tasks"], strict=True):
        assert row == [one["task"], one["base"], one["metric"], fixed(one["chance"], 2), *[told(one[k], 2) for k in ("untrained", "best", "gain")], share(one["wrong_language"])]  # fmt: skip
        learnt = one["untrained"]["high"] is not None and one["gain"]["low"] is not None and one["gain"]["low"] > 0 and one["best"]["low"] > one["chance"]  # fmt: skip
        assert (f"{one['task']} ({one['base']}) was learnt:" in page) == learnt
        untrained = [scores[f"base-{one['base']}", one["task"], t] for t in _trained(found, one)]
        assert fixed(float(np.mean(untrained)), 2) == fixed(one["untrained"]["value"], 2)
    for row, one in zip(table_of(page, "The least data that does"), found["plans"], strict=True):
        assert row[:2] == [one["task"], one["base"]]
        if row[2] != "not learnt":
            sure = "not shown" if one["sure_size"] is None else f"{one['sure_size']:,}"
            assert row[2:] == [f"{one['size']:,}", large(one["samples"]), share(one["samples"] / one["most"]), share(one["reached"]), sure]  # fmt: skip
    for curve in found["curves"]:
        mix = "+".join(names[t] for t in curve["mix"])
        title = f"Scores of every language: {curve['task']}, {curve['base']}, trained on {curve['trained']} in {mix}"
        for name, *cells in table_of(page, title):
            tag = next(t for t in names if t in name.split())
            assert cells == [told(one, 2) for one in curve["groups"][tag]]
            for size, one in zip(curve["sizes"], curve["groups"][tag], strict=True):
                seeds = [value for (cell, task, t), value in scores.items() if task == curve["task"] and t == tag and cell.startswith(f"{curve['trained']}-{curve['base']}-") and f"-n{size}-s" in cell]  # fmt: skip
                assert not seeds or abs(np.mean(seeds) - one["value"]) < 1e-6
                assert seeds or len(found["curves"]) > 1
    saturation = [one for curve in found["curves"] for one in curve["saturation"]]
    for row, one in zip(table_of(page, "Saturation"), saturation, strict=True):
        assert row[2] == one["languages"]
        if one["n50"] is not None and finite(one["high"]) is not None:
            assert str(round(one["n50"])) in row[3]
    ablation = found["ablation"]
    if ablation:
        for row, one in zip(table_of(page, "What each variable explains"), ablation["variables"], strict=True):
            assert row == [one["variable"], *[_percent(one[key]) for key in ("alone", "part")]]


def _trained(found, task):
    """The pivot and the languages that any cell of a task trains on."""
    mixes = [
        curve["mix"] for curve in found["curves"] if (curve["task"], curve["base"]) == (task["task"], task["base"])
    ]
    return list(dict.fromkeys([found["pivot"], *[t for mix in mixes for t in mix]]))


def _scores(directory):
    """(cell, task, language) to the score that decides, from the table of measurements."""
    metric = {one["task"]: one["metric"] for one in read(directory / "findings.json")["tasks"]}
    losses = pl.read_parquet(directory / "measurements" / "losses.parquet")
    return {
        (row["run"], task, row["language"]): row["value"]
        for row in losses.iter_rows(named=True)
        for task in metric
        if row["metric"] == f"{task}/{metric[task]}"
    }


def _percent(one):
    """ "26 % (25 to 28)"."""
    value, low, high = (round(100 * one[key]) for key in ("value", "low", "high"))
    sign = lambda x: f"−{-x}" if x < 0 else str(x)  # noqa: E731
    return f"{sign(value)}\u202f% ({sign(low)} to {sign(high)})"


def influence_page(directory):
    """Every table of every task; shares of the languages from the scores themselves."""
    page, found = (directory / "report.html").read_text(encoding="utf-8"), read(directory / "findings.json")
    captions = ("Translations among", "Shares of the training", "Accuracy on", "Zero-shot: overlap", "Trained again", "Do the scores")  # fmt: skip
    tables = {caption: tables_of(page, caption) for caption in captions}
    taken = dict.fromkeys(tables, 0)

    def table(caption):
        taken[caption] += 1
        return tables[caption][taken[caption] - 1]

    for task in found:
        if task["reinforcing"]:
            for row, one in zip(table("Translations among"), task["reinforcing"], strict=True):
                assert row[0].split()[-1] == one["language"]
                assert row[1:] == [told(one["value"]), told(one["shuffled"]), share(one["chance"])]
        tops = _tops(directory, task)
        for name, *cells in table("Shares of the training"):
            kind = next(kind for kind in ("top", "random, same label", "most harmful") if name.endswith(kind))
            tag = name.removesuffix(kind).split()[-1]
            values = task[{"top": "shares", "random, same label": "null", "most harmful": "negative"}[kind]]["values"]
            assert cells == [share(values[tag][source]["value"]) for source in values[tag]]
            if kind != "random, same label":
                counted = tops(tag, list(values[tag]), kind == "most harmful")
                assert np.allclose(counted, [values[tag][source]["value"] for source in values[tag]])
        if task["accuracy"]:
            assert [row[1] for row in table("Accuracy on")] == [told(one) for one in task["accuracy"].values()]
        if task["overlap"]:
            for row, one in zip(table("Zero-shot: overlap"), task["overlap"], strict=True):
                assert row[1:] == [told(one["value"]), told(one["ceiling"]), share(one["chance"])]
        for caption, rows, name, value in (("Trained again", task["removal"], "kind", "change"), ("Do the scores", task["scores"], "score", "lds")):  # fmt: skip
            for row, one in zip(table(caption) if rows else [], rows or [], strict=True):
                assert row == [one[name].replace("_", " "), ("+" if one[value]["value"] > 0 else "") + told(one[value])]
                low, high = one[value]["low"], one[value]["high"]
                assert low is None or -1 <= low < one[value]["value"] < high <= 1
    assert taken == {caption: len(found) for caption, found in tables.items()}


def tables_of(page, caption):
    """All tables whose caption begins so, from top to bottom."""
    starts = re.compile(rf"<caption><span>{re.escape(caption)}")
    return [table_of(one, caption) for one in re.findall(r"<table[^>]*>.*?</table>", page, flags=re.S) if starts.search(one)]  # fmt: skip


def _tops(directory, task):
    """Shares of the training languages among the top m training samples of a language's test samples, seeds averaged."""
    runs = []
    for path in sorted((directory / "scores").glob(f"{task['name']}-s*-cosine-*")):
        runs.append((load_file(path / "scores.safetensors")["value_EQN"].sum(0), read(path / "scores.json")))
    assert len(runs) == task["seeds"]

    def shares(language, sources, harmful):
        found = []
        for value_QN, about in runs:
            asked = [q for q, one in enumerate(about["test"]["languages"]) if one == language]
            of = np.array(about["train"]["languages"])
            order = np.argsort(value_QN if harmful else -value_QN, axis=1, kind="stable")[asked, : task["m"]]
            found.append([(of[order] == source).mean() for source in sources])
        return np.mean(found, axis=0)

    return shares
