"""The card's and the tables' numbers computed a second time, from a study's JSON and Parquet alone: no code of the report."""

import html
import json
import re

import numpy as np
import polars as pl
from scipy import stats

NUMBER = re.compile(r"(?<![\w.])[+−<]?\u202f?\d[\d.,]*(?:\u202f\d{3})*(?:\u202f(?:%|thousand|million|billion))?")
"""A number as the page writes it, with its sign and its unit."""


def numbers_in(text):
    """Numbers of a text, in order."""
    return [found.rstrip(".,") for found in NUMBER.findall(text)]


def plain(markup):
    """Text of some markup, scripts left out."""
    text = re.sub(r"<script.*?</script>|<svg.*?</svg>", "", markup, flags=re.S)
    return html.unescape(re.sub(r"<[^>]+>", " ", text))


def card_of(page):
    """Text of the decision card in a page."""
    return plain(re.search(r'<div class="card.*?</dl>', page, flags=re.S)[0])


def table_of(page, caption):
    """Cells of the table with this caption, row by row."""
    found = re.search(rf"<table[^>]*><caption><span>{re.escape(caption)}.*?</table>", page, flags=re.S)[0]
    rows = re.findall(r"<tr>(.*?)</tr>", found.partition("<tbody>")[2], flags=re.S)
    return [[plain(cell).replace("\u00a0", " ").strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, flags=re.S)] for row in rows]  # fmt: skip


def fixed(x, digits=3):
    text = f"{x:.{digits}f}"
    return "−" + text[1:] if text.startswith("-") and float(text) else text.lstrip("-")


def signed(x, digits=3):
    return ("+" if x > 0 and float(f"{x:.{digits}f}") else "") + fixed(x, digits)


def share(x):
    return f"{100 * x:.{1 if 100 * x >= 0.95 else 2}f}\u202f%" if x else "0\u202f%"


def large(x):
    for size, word, unit in ((1e9, "billion", 1e9), (1e6, "million", 1e6), (1e4, "thousand", 1e3)):
        if x >= size:
            y = x / unit
            return f"{y:.0f}\u202f{word}" if y >= 100 else f"{y:.1f}\u202f{word}" if y >= 10 else f"{y:.2f}\u202f{word}"
    return f"{x:,.0f}".replace(",", "\u202f")


def both_ways(values):
    """Interval of the mean and of differences between rows of [M, S]: what is left after rows and seeds, pooled."""
    M, S = values.shape
    rest = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    freedom = (M - 1) * (S - 1)
    return stats.t.ppf(0.975, freedom) * np.sqrt((rest**2).sum() / freedom / S) * np.sqrt(2)


class Study:
    """What a study's files say."""

    def __init__(self, directory):
        read = lambda name: json.loads((directory / name).read_text(encoding="utf-8"))  # noqa: E731
        self.config, self.optimum = read("study.json"), read("optimum.json")
        self.holdout, self.census = read("fits/holdout.json"), read("census.json")
        runs = pl.read_parquet(directory / "measurements" / "runs.parquet").filter(pl.col("status") == "complete")
        losses = pl.read_parquet(directory / "measurements" / "losses.parquet").filter(pl.col("metric") == "bpb")
        last = losses.sort("step").group_by(["run", "language"]).last()
        self.loss = {(r["run"], r["language"]): r["value"] for r in last.iter_rows(named=True)}
        self.runs = runs
        self.inside, self.outside = self.config["languages"], self.config["outside"]
        given = self.config["optimize"]["weights"]
        equal = {} if self.config["optimize"]["objective"] == "weighted" else dict.fromkeys(self.inside, 1.0)
        self.weights = {**equal, **given}
        plan = read("closed_loop_plan.json")
        prefixes = dict.fromkeys(p["run"].rpartition("-s")[0] for p in plan)
        # A mixture that was recommended anew has a number behind its name; the last one counts.
        self.prefix = {re.sub(r"^validation-|\.\d+$", "", prefix): prefix for prefix in prefixes}
        self.mixtures = list(self.prefix)
        self.seeds = len(plan) // len(prefixes)

    def measured(self, target):
        """[mixtures, seeds] of a target."""
        return np.array(
            [[self.loss[f"{self.prefix[m]}-s{s}", target] for s in range(self.seeds)] for m in self.mixtures]
        )

    def objective(self):
        """The weighted mean, seed by seed."""
        total = sum(self.weights.values())
        return sum(w * self.measured(t) for t, w in self.weights.items()) / total

    def change(self, values, against):
        """Optimum minus another mixture, with its interval."""
        here, there = self.mixtures.index("optimum"), self.mixtures.index(against)
        value = float(values[here].mean() - values[there].mean())
        half = both_ways(values)
        return value, value - half, value + half

    def error(self, law, targets):
        """Mean held-out error of a law: on mixtures kept apart, where there are any."""
        judged = self.holdout.get("held_out") or self.holdout["cross_validated"]
        return float(np.mean([judged["scores"][law][t]["error"] for t in targets if t in judged["scores"][law]]))

    def held(self):
        """How many predictions of single losses lie within both intervals, and of how many."""
        held = asked = 0
        said = {"optimum": self.optimum["predicted"]} | {b["name"]: b["predicted"] for b in self.optimum["baselines"]}
        for target in (*self.inside, *self.outside):
            values = self.measured(target)
            M, S = values.shape
            spread = np.sqrt(((values - values.mean(1, keepdims=True)) ** 2).sum() / (M * (S - 1)))
            noise = stats.t.ppf(0.975, M * (S - 1)) * spread / np.sqrt(S)
            for row, mixture in zip(values, self.mixtures, strict=True):
                told = said[mixture][target]
                doubt = (told["high"] - told["low"]) / 2
                asked += 1
                held += abs(row.mean() - told["value"]) <= np.hypot(noise, doubt)
        return held, asked

    def allowed_on_the_card(self, against):
        """Everything that the card may say of this study, as text."""
        natural = next(b["mixture"] for b in self.optimum["baselines"] if b["name"] == against)
        total, change = sum(self.weights.values()), self.change(self.objective(), against)
        law, targets = self.holdout["chosen"], self.inside
        held, asked = self.held()
        told = {share(p) for p in (*self.optimum["mixture"].values(), *natural.values())}
        told |= {share(w / total) for w in self.weights.values()}
        told |= {signed(x) for x in change} | {fixed(abs(x)) for x in change} | {"95\u202f%", "0"}
        told |= {f"{100 * self.error(x, targets):.2f}\u202f%" for x in (law, "null")}
        told |= {str(n) for n in (held, asked, len(self.mixtures), self.seeds, len(self.runs))}
        told |= {str(n) for n in range(len(self.inside) + len(self.outside) + 1)}  # counts of languages
        told |= {signed(self.change(self.measured(t), against)[0]) for t in (*self.inside, *self.outside)}
        N, D = self.runs["N"].max(), self.runs["D"].max()
        target = self.config["target"]
        told |= {large(N), large(D)}
        if target["tokens"]:
            told |= {large(round(target["tokens"] / D)), large(round((target["parameters"] or N) / N))}
        gain = self.optimum["objective"]["value"]
        told |= {fixed(x) for x in (gain,)}
        least = self.config["validation"]["least_gain"]
        base = self.objective()[self.mixtures.index(against)].mean()
        told |= {fixed(least * base, 4), *[fixed(-x, 4) for x in change]}
        return told

    def law_errors(self, target):
        """Held-out error of every law in percent, [laws]; "–" where a law says nothing of the target."""
        judged = self.holdout.get("held_out") or self.holdout["cross_validated"]
        scored = {law: of.get(target) for law, of in judged["scores"].items()}
        return {law: "–" if one is None else fixed(100 * one["error"], 2) for law, one in scored.items()}

    def passes(self, target):
        """Of the target run over a language's training text at the optimum."""
        told = self.config["target"]["tokens"] or self.config["proxy"]["tokens"]
        unique = next(row["unique_tokens"] for row in self.census["languages"] if row["language"] == target)
        return self.optimum["mixture"][target] * told / unique
