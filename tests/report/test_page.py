"""The file itself: complete in itself, harmless whatever the names are, and never in need of every stage."""

import base64
import dataclasses
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from sample import HOSTILE

from glotmix.fit.form import Form
from glotmix.report import Evidence, write_report
from glotmix.report.evidence import FormDraws
from glotmix.report.explorer import explorer_data, law_data
from glotmix.report.figures import palette
from glotmix.report.figures.drawing import Canvas, Scale, decimals
from glotmix.report.figures.heatmap import STEPS, level
from glotmix.report.html import Html, data, el, formula
from glotmix.report.page import page

VOID = {"meta", "input", "br"}


class Checker(HTMLParser):
    """Collects elements, and checks that they nest."""

    def __init__(self):
        super().__init__()
        self.open, self.elements, self.ids, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, text):
        self.text.append(text)


def checked(path):
    checker = Checker()
    checker.feed(path.read_text(encoding="utf-8"))
    assert checker.open == []
    return checker


@pytest.mark.parametrize("name", ["small", "compared"])
def test_elements_nest_and_ids_are_unique(pages, name):
    checker = checked(pages[name])
    assert len(checker.ids) == len(set(checker.ids))


def test_every_drawing_has_a_title_a_description_and_its_data(pages):
    text = pages["small"].read_text(encoding="utf-8")
    drawings = re.findall(r"<svg .*?</svg>", text, re.S)
    assert len(drawings) > 20
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("role") == "img"
        names = root.get("aria-labelledby").split()
        found = {child.get("id"): child.text for child in root if child.tag.endswith(("title", "desc"))}
        assert set(names) == set(found)
        assert all(found.values())
    for figure in re.findall(r"<figure .*?</figure>", text, re.S):
        stored = json.loads(re.search(r'<script type="application/json">(.*?)</script>', figure, re.S)[1])
        assert stored["rows"]
        assert all(len(row) == len(stored["columns"]) for row in stored["rows"])


def test_nothing_comes_from_or_goes_to_the_network(pages):
    text = pages["small"].read_text(encoding="utf-8")
    without_namespaces = text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", without_namespaces)
    assert "default-src 'none'" in text
    assert "unsafe" not in text


@pytest.mark.parametrize("name", ["hostile", "compared"])
def test_hostile_names_stay_text(pages, name):
    """Every language, title and provenance of this study is an attack; only our own script and data elements exist."""
    checker = checked(pages[name])
    assert not [tag for tag, _ in checker.elements if tag in ("img", "iframe", "object")]
    assert not [a for _, attributes in checker.elements for a in attributes if a.startswith("on")]
    runnable = [a for tag, a in checker.elements if tag == "script" and a.get("type") != "application/json"]
    assert runnable == [{"id": "law-script"}, {}]
    assert HOSTILE in "".join(checker.text)


@pytest.mark.parametrize(
    "field", ["measurements", "census", "transfer", "held_out", "law", "advice", "trained", "cost"]
)
def test_any_stage_may_be_missing(small, field):
    empty = {"census": (), "transfer": {}, "held_out": (), "trained": ()}.get(field)
    text = page(dataclasses.replace(small, **{field: empty}))
    assert "What could be wrong" in text


def test_a_title_alone_makes_a_page():
    text = page(Evidence("nothing yet"))
    assert "Not enough was measured" in text


def test_runs_of_a_table_with_unknown_sizes_make_a_page(small):
    """`glotmix fit` on a CSV without N, D and with a missing loss."""
    runs = small.measurements
    loss = runs.loss_RT.copy()
    loss[3, 2] = np.nan
    unknown = dataclasses.replace(runs, N_R=np.full(len(runs), np.nan), D_R=np.full(len(runs), np.nan), loss_RT=loss)
    law = dataclasses.replace(small.law, N=float("nan"), D=float("nan"))
    text = page(Evidence("runs.csv", measurements=unknown, law=law, held_out=small.held_out))
    assert "NaN" not in re.sub(r"<script(?: id=\"law-script\")?>.*?</script>", "", text, flags=re.S)


def test_the_same_evidence_gives_the_same_file(small, tmp_path):
    a, b = write_report(small, tmp_path / "a.html"), write_report(small, tmp_path / "b.html")
    assert a.read_bytes() == b.read_bytes()
    assert a.stat().st_size < 500_000


def test_text_is_escaped_by_construction():
    assert el("p", "<b>", el("i", "&"), title='"') == '<p title="&quot;">&lt;b&gt;<i>&amp;</i></p>'
    assert isinstance(el("p"), Html)
    assert "</script" not in data({"</script>": "<!--"})[10:-9]
    assert formula("L_t = E p^-γ <") == "<i>L<sub>t</sub> = E p<sup>−γ</sup> &lt;</i>"
    assert formula("Σ_{l≠t} x^(1/κ)") == "<i>Σ<sub>l≠t</sub> x<sup>1/κ</sup></i>"
    canvas = Canvas(10, 10)
    canvas.text(0, 0, "<script>")
    canvas.rect(0, 0, 1, 1, "bar", '"><script>')
    ElementTree.fromstring(canvas.svg("k", "<t>", "&"))


def test_ticks_are_round_and_inside():
    for low, high in ((0, 1), (0.96, 1.34), (-3, 1700), (1e-5, 3e-5)):
        scale = Scale(low, high, 0, 100)
        ticks = scale.ticks(5)
        assert 2 <= len(ticks) <= 8
        assert all(low - 1e-12 <= t <= high + 1e-12 for t in ticks)
        assert len({f"{t:.{decimals(ticks)}f}" for t in ticks}) == len(ticks) or high < 1e-4


def luminance(colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


# Machado, Oliveira & Fernandes (2009), full severity
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def oklab(colour, matrix):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(matrix) @ linear, 0, 1)
    return palette._M2 @ np.cbrt(palette._M1 @ seen)


@pytest.mark.parametrize("ends", [palette.LIGHT, palette.DARK])
def test_help_and_harm_differ_for_every_common_colour_blindness(ends):
    """Oklab distance between equal steps of both signs; a just noticeable difference is about 0.02."""
    colours = palette.ramp(ends, STEPS)
    for matrix in (np.eye(3), *BLINDNESS.values()):
        for k in range(2, STEPS + 1):
            gap = np.linalg.norm(oklab(colours[f"hp{k}"], matrix) - oklab(colours[f"hn{k}"], matrix))
            assert gap > 0.02 * min(k, 4), (k, gap)
    for sign in "np":
        steps = [luminance(colours["h0"]), *[luminance(colours[f"h{sign}{k}"]) for k in range(1, STEPS + 1)]]
        assert np.all(np.diff(steps) < 0) or np.all(np.diff(steps) > 0)


def test_colour_steps_are_signed_monotone_and_saturate():
    values = np.linspace(-2, 2, 41)
    steps = [level(v, 1.0) for v in values]
    assert steps == sorted(steps)
    assert (min(steps), max(steps), level(0.0, 1.0), level(float("nan"), 1.0)) == (-STEPS, STEPS, 0, 0)


def test_many_resamples_travel_as_small_steps_within_a_ten_thousandth(small):
    """Above the limit resamples are thinned and rounded; each stays within 1/32767 of its parameter's largest move."""
    rng = np.random.default_rng(0)
    boot = small.law.theta_TP * (1 + rng.normal(0, 0.01, (4000, *small.law.theta_TP.shape)))
    form = Form(0, 0.5, 0.01 * np.eye(len(small.law.targets)))
    drawn = FormDraws(*form.waves(len(small.law.languages)), form.amplitudes(4000))
    stored = law_data(dataclasses.replace(small.law, theta_BTP=boot, draws=drawn))["resamples"]
    steps = np.frombuffer(base64.b64decode(stored["steps"]), "<i2").reshape(-1, *small.law.theta_TP.shape)
    step = np.frombuffer(base64.b64decode(stored["step"]), "<f4").reshape(small.law.theta_TP.shape)
    kept = boot[np.linspace(0, 3999, len(steps)).astype(int)]
    limit = np.abs(kept - small.law.theta_TP).max(axis=0) / 32767
    assert np.all(np.abs(small.law.theta_TP + steps * step - kept) <= limit * 0.51)
    assert len(steps) == 400
    shape = drawn.amplitude_BFT.shape[1:]
    waves = np.frombuffer(base64.b64decode(stored["draws"]["steps"]), "<i1").reshape(-1, *shape)
    step = np.frombuffer(base64.b64decode(stored["draws"]["step"]), "<f4").reshape(shape)
    kept = drawn.amplitude_BFT[np.linspace(0, 3999, len(steps)).astype(int)]
    assert np.all(np.abs(waves * step - kept) <= np.abs(kept).max(axis=0) / 127 * 0.51)


def test_the_explorer_starts_from_the_studys_mixtures_and_limits(small):
    value = explorer_data(small)
    assert value["mixtures"]["optimum"] == pytest.approx(list(small.advice.optimum.mixture.values()))
    assert value["floors"][-1] == 0.01
    epochs = np.array(value["epochs"]) * value["mixtures"]["natural"]
    assert epochs == pytest.approx([small.advice.baselines[0].epochs[lang] for lang in small.law.languages])


def test_the_optimum_under_another_law_is_called_so(small):
    baselines = (dataclasses.replace(small.advice.baselines[0], name="own_ratio"), *small.advice.baselines[1:])
    text = page(dataclasses.replace(small, advice=dataclasses.replace(small.advice, baselines=baselines)))
    assert "optimum of own_ratio" in text
