"""The laboratory of cloned languages: from a study file to a page, resumed without training anything twice."""

import json
from pathlib import Path

import pytest

from glotmix.artifact import read_json
from glotmix.errors import BadInput
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.model import Shape
from glotmix.studies.clones.arms import arms
from glotmix.studies.clones.config import CloneStudyConfig
from glotmix.study.training import Training
from glotmix.sweep.executors.executor import Executor, JobEnd
from glotmix.sweep.worker import work
from tests.contracts.kind import KindContract, Ran
from tests.recomputed_kinds import clones_page
from tests.study.shell import kind_of, ran

RECIPE = Path(__file__).parents[2] / "recipes" / "cloned-languages.yaml"
STUDY = """
kind: clones
name: Two clones
language: fra_Latn
corpus: {reader: embedded, bytes_per_language: 60000, held_out: 0.1}
tokens: {vocab_size: 257, held_out_tokens: 2000}
proxy: {width: 16, layers: 1, heads: 1, tied: false, tokens: 12800, context: 16, batch: 8, evaluations: 2, weight_decay: 0}
sweep: {stack: 8, workers: 2}
seeds: 1
splits: [0.5, 0.1]
alone: [0.25, 0.5, 1.0]
anchors: {shares: [0.5]}
pair: {languages: [fra_Latn, spa_Latn], vocabulary: [merged], splits: [0.5], schedules: [[0.1, 0.9]]}
sizes: {narrow: {width: 16, batch: 16}}
lenses: {splits: [0.1], tests: 2, trained: 80, top: 10, windows: 2}
probe: {sentences: 4}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("clones") / "study.yaml"
    path.write_text(STUDY)
    return path


class InThisProcess(Executor):
    """Jobs one after the other in the test's own process: eight processes would spend their time importing torch."""

    workers = 1

    def run(self, jobs, tick):
        for job in jobs:
            order = Path(job.command[-1])
            work(read_json(order), order.with_suffix(".progress"))
            yield JobEnd(job, 0, "")


@pytest.fixture(scope="module", autouse=True)
def in_this_process():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "executor", lambda self: InThisProcess())
        yield


@pytest.fixture(scope="module")
def done(study):
    experiment = kind_of("clones")
    out = study.parent / "out"
    return ran("clones", experiment.load(study), study.parent, out)


def test_a_study_of_clones_ends_with_a_page_of_verdicts_and_its_numbers(done):
    found = json.loads((done.parent / "clones.json").read_text())
    by_name = {row["name"]: row for row in found["mixtures"] if row["arm"] == "two clones"}
    assert list(by_name) == ["split-50-50", "split-90-10"]
    assert by_name["split-90-10"]["shares"] == pytest.approx([0.9, 0.1])
    assert all(row["gradient"] is not None and len(row["centred"]) == 1 for row in by_name.values())
    assert [row["tokens"] for row in found["alone"] if row["arm"] == "two clones"] == [3200, 6400, 12800]
    assert found["dials"][0]["dial"] == "anchors"
    assert {claim["verdict"] for claim in found["claims"]} == {"not decidable at this size"}  # one seed
    assert [row["lens"] for row in found["lenses"]] == ["measured", "game", "TracIn shares", "in-run scores"]
    narrow = [row for row in found["mixtures"] if row["arm"] == "size narrow"]
    assert [row["name"] for row in narrow] == ["split-50-50", "split-90-10"]
    assert all(row["efficiency"][1]["value"] > 0 for row in narrow)
    pair, swapped = [row for row in found["mixtures"] if "merged vocabulary" in row["arm"]]
    assert swapped["name"] == "schedule-10_90"
    assert swapped["shares"] == pytest.approx([0.5, 0.5])
    assert swapped["efficiency"][0]["value"] is not None
    assert pair["efficiency"][1]["value"] is not None
    assert pair["gradient"] is not None
    assert pair["embedding"] is None
    page = done.read_text()
    for claim in found["claims"]:
        assert claim["claim"] in page


def test_every_number_of_the_pages_tables_follows_from_the_files(done):
    clones_page(done.parent)


def test_probes_follow_the_training(done):
    probes = json.loads((done.parent / "arms" / "main" / "probes" / "split-50-50-s0.json").read_text())
    assert list(probes["steps"]) == ["50", "100"]


def test_called_again_nothing_is_trained_and_the_numbers_are_the_same(study, done):
    runs = done.parent / "arms" / "main" / "runs"
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("run.json")}
    numbers = (done.parent / "clones.json").read_bytes()
    experiment = kind_of("clones")
    ran("clones", experiment.load(study), study.parent, done.parent)
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("run.json")} == before
    assert (done.parent / "clones.json").read_bytes() == numbers


def test_another_proxy_in_the_same_directory_is_refused_with_the_difference(study, done):
    experiment = kind_of("clones")
    other = experiment.load(study, overrides=["proxy.width=32"])
    with pytest.raises(BadInput, match=r"proxy\.width: 16 there, 32 here"):
        ran("clones", other, study.parent, done.parent)


def test_the_price_counts_every_run(study):
    experiment = kind_of("clones")
    price = experiment.price(experiment.load(study), study.parent)
    assert price.amounts["runs"] == 6 + 8 + 5
    assert price.amounts["tokens"] == 12800 * (2 + 1.75 + 1 + 2 + 2 * 1.75 + 2 + 1.75)


def config(**fields):
    return CloneStudyConfig(name="x", language="fr", **fields)


def test_arms_are_what_the_file_asks_for_with_one_name_for_each_run():
    made = arms(
        config(
            vocabularies={512: 1e6},
            updates=[0.25],
            anchors={"shares": [0.05]},
            relatives={"permuted": [0.2]},
            many={"n": 10},
            pair={"languages": ["fr", "es"], "schedules": [[0.1, 0.9]]},
            schedules=[[0.1, 0.9], [0, 1]],
            budgets=[2],
            sizes={"1M": {"batch": 24}, "wide": {"width": 128, "clip": 7.0}},
        )
    )
    assert [arm.name for arm in made] == [
        "main", "updates-25", "size-1M", "size-wide", "vocabulary-512", "anchors-5", "relatives-20", "clones-10", "pair-disjoint", "pair-merged",
    ]  # fmt: skip
    for arm in made:
        assert len({run.run for run in arm.runs}) == len(arm.runs)
        assert all(set(run.schedule.languages) == set(arm.languages) for run in arm.runs)
    runs = {run.run: run for run in made[0].runs}
    assert runs["budget-2-90-10-s0"].tokens == 2e6
    by_name = {arm.name: arm for arm in made}
    by_rule, given = by_name["size-1M"].proxy, by_name["size-wide"].proxy
    assert 0.8e6 < Shape.of(by_rule, 514).N < 1.2e6
    assert (by_rule.batch, by_rule.tokens, by_rule.clip) == (24, 1e6, 1.0)
    assert (given.width, given.clip, given.batch, given.learning_rate) == (128, 7.0, 16, 4e-3)
    # A token efficiency is read off runs of the same size and recipe on a language alone.
    for name in ("size-1M", "size-wide"):
        alone = {run.tokens for run in by_name[name].runs if run.run.startswith("alone")}
        assert alone == {50_000, 100_000, 250_000, 500_000, 1_000_000}
    assert any(run.run == "schedule-10_90-s0" for run in by_name["pair-merged"].runs)
    swap = runs["schedule-10_90-s0"].schedule
    assert dict(swap.average()) == pytest.approx({"fra_Latn.1": 0.5, "fra_Latn.2": 0.5})
    assert swap.at(0.1)["fra_Latn.2"] == pytest.approx(0.1)
    assert swap.at(0.6)["fra_Latn.2"] == pytest.approx(0.9)
    assert runs["alone-5-s1"].schedule == Schedule.constant(runs["alone-5-s1"].schedule.average())
    # As many updates as the whole run, on the share's part of every batch.
    assert made[1].runs[0].tokens / made[1].proxy.batch == runs["split-50-50-s0"].tokens / made[0].proxy.batch
    assert made[1].runs[0].schedule.average().support == ("fra_Latn.1",)
    assert made[4].tokens.vocab_size == 512
    assert made[4].proxy.tokens == 1e6
    many = {run.run: run.schedule.average() for run in made[7].runs}
    assert many["main-50-s0"]["fra_Latn.7"] == pytest.approx(0.5 / 9)
    assert made[8].texts == ("fra_Latn", "spa_Latn")


@pytest.mark.parametrize("scale", ["tiny", "small", "medium", "large", "crossing", "paper"])
def test_every_scale_of_the_recipe_trains_what_its_claims_and_token_equivalents_compare(scale):
    loaded = kind_of("clones").load(RECIPE, scale=scale)
    main, *others = arms(loaded)
    by_name = {run.run for run in main.runs}
    for seed in range(loaded.seeds):
        assert {f"split-50-50-s{seed}", f"split-90-10-s{seed}", f"alone-100-s{seed}"} <= by_name
    assert loaded.seeds >= (2 if scale == "tiny" else 3)  # an interval needs repeats
    control = next(arm for arm in others if arm.name.startswith("updates"))
    steps = {run.tokens // (arm.proxy.batch * arm.proxy.context) for arm in (main, control) for run in arm.runs[:1]}
    assert max(steps) - min(steps) <= 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"splits": [0.0]}, "shares above 0"),
        ({"clones": {"n": 3}}, "main arm has two clones"),
        ({"n": 2}, "n"),
        ({"alone": [0.5, 1.0]}, "2 budgets; token equivalents need 3"),
        ({"splits": [], "alone": []}, "splits and alone are both empty"),
        ({"sizes": {"1M": {"bath": 8}}}, r"sizes\.1M.*bath"),
        ({"sizes": ["huge"]}, "size 'huge'"),
        ({"sizes": {"../1M": {"width": 64}}}, r"a size called '\.\./1M'"),
        ({"updates": [0.1]}, "0.1 of a batch of 16 are not whole sequences"),
        ({"lenses": {"splits": [0.3]}}, r"lenses\.splits: 0\.3 is none of the splits"),
        ({"lenses": {"splits": [0.5]}, "proxy": {"evaluations": 1}}, "in-run scores of the lenses need at least 2"),
    ],
)
def test_a_study_file_that_makes_no_sense_is_refused_by_field(study, fields, message):
    path = study.with_name("bad.yaml")
    import ruamel.yaml

    with open(path, "w") as file:
        ruamel.yaml.YAML(typ="safe").dump({"kind": "clones", "name": "x", "language": "fr"} | fields, file)
    with pytest.raises(BadInput, match=message):
        kind_of("clones").load(path)


class TestKind(KindContract):
    @pytest.fixture
    def ran(self, study, done):
        return Ran("clones", kind_of("clones").load(study), study.parent, done.parent)
