"""Studies whose proxies go on from a trained model."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from glotmix import cli
from glotmix.artifact import checksum
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput
from glotmix.optimize.baselines import baselines_for
from glotmix.proxy.evaluate import Evaluation
from glotmix.report.frames.kept import kept_rows
from glotmix.studies.mixture.config import StudyConfig, check
from glotmix.studies.mixture.evidence import evidence_of
from glotmix.studies.mixture.kind import MixtureKind
from glotmix.studies.mixture.pipeline import findings_of
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study import starting
from glotmix.study.directory import StudyDirectory
from glotmix.study.preflight import preflight
from glotmix.tokens.opening import open_store
from glotmix.tokens.tokenizer import train_tokenizer
from tests.recomputed import fixed
from tests.study.shell import ran

torch.set_num_threads(1)
JOINS = {
    "name": "Joins",
    "languages": ["tr"],
    "base": {"languages": ["es", "en"], "tokens": 20_000},
    "corpus": {"reader": "embedded", "bytes_per_language": 60_000, "held_out": 0.1},
    "tokens": {"vocab_size": 400, "held_out_tokens": 1500},
    "design": {"coalitions": "all", "swarm": 4, "swarm_roles": "fit", "anchors": 0},
    "proxy": {"width": 32, "layers": 1, "heads": 2, "tokens": 8000, "context": 32, "batch": 4, "learning_rate": 5e-3},
    "sweep": {"stack": 8, "workers": 1},
    "fit": {"laws": ["null", "own_ratio", "d_cpt"], "folds": 3, "bootstrap": 5},
    "validation": {"seeds": 2},
}
TARGETS = ["tur_Latn", "replay", "eng_Latn", "spa_Latn"]
TABLES = ("measurements/runs.parquet", "measurements/losses.parquet", "transfer.json", "closed_loop.json", "base.json")


def joins(**changes):
    return check(JOINS | changes)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A small Llama of transformers, with a tokenizer of fewer ids than it has rows."""
    transformers = pytest.importorskip("transformers")
    place = tmp_path_factory.mktemp("models") / "llama"
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=416, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-6, initializer_range=0.1,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(place)
    reader = open_reader(CorpusConfig(bytes_per_language=30_000), ["es", "en"], Path())
    texts = {name: (one.text for one in reader.documents(name)) for name in reader.languages}
    train_tokenizer(texts, 400, 20_000).save(place)
    return place


def from_a_model(place, **changes):
    proxy = {key: JOINS["proxy"][key] for key in ("tokens", "context", "batch", "learning_rate")}
    told = {"proxy": proxy | {"base": place.name}, "base": {"languages": ["es", "en"], "tokens": 3e9}}
    return joins(**told | changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study that makes its base itself."""
    directory = tmp_path_factory.mktemp("made") / "out"
    ran("mixture", joins(), Path(), directory)
    return directory


@pytest.fixture(scope="module")
def given(llama, tmp_path_factory):
    """A study that goes on from somebody's model."""
    directory = tmp_path_factory.mktemp("given") / "out"
    ran("mixture", from_a_model(llama), llama.parent, directory)
    return directory


class TestConfiguration:
    def test_what_the_base_has_read_is_measured_and_replayed(self):
        config = joins()
        assert config.languages == ["tur_Latn", "replay"]
        assert config.outside == ["spa_Latn", "eng_Latn"]
        assert config.corpus.described["replay"].parts == {"spa_Latn": 1, "eng_Latn": 1}
        assert config.validation.baselines == ["natural", "uniform", "new_only"]
        assert config.joining == ("tur_Latn",)
        assert StudyConfig.model_validate(config.model_dump(mode="json")) == config

    def test_its_own_shares_are_those_of_the_replay(self):
        mixture = {"es": 0.25, "en": 0.75}
        config = joins(base=JOINS["base"] | {"mixture": mixture})
        assert config.base.mixture == {"spa_Latn": 0.25, "eng_Latn": 0.75}
        assert config.corpus.described["replay"].of == mixture

    def test_a_language_of_the_base_may_have_a_share_of_its_own(self):
        config = joins(languages=["tr", "es"])
        assert config.languages == ["tur_Latn", "spa_Latn", "replay"]
        assert config.outside == ["eng_Latn"]
        assert list(config.corpus.described["replay"].parts) == ["eng_Latn"]
        assert config.joining == ("tur_Latn",)
        both = joins(languages=["tr", "es", "en"])
        assert (both.languages, both.outside) == (["tur_Latn", "spa_Latn", "eng_Latn"], [])

    def test_the_replay_may_be_left_out_or_be_the_users_own(self):
        assert joins(languages=["tr", "ru"], base=JOINS["base"] | {"replay": False}).languages == [
            "tur_Latn",
            "rus_Cyrl",
        ]
        config = joins(sources={"replay": {"path": "old/*.jsonl"}})
        assert config.languages == ["tur_Latn", "replay"]
        assert config.corpus.described["replay"].path == "old/*.jsonl"

    def test_a_study_without_a_base_says_nothing_of_one(self):
        config = check({key: value for key, value in JOINS.items() if key != "base"} | {"languages": ["es", "ru"]})
        assert config.base is None
        assert config.validation.baselines == ["natural", "uniform", "temperature", "unimax"]
        assert config.corpus.sources == {}

    @pytest.mark.parametrize(
        ("base", "words"),
        [
            ({"languages": ["es", "nowhere"], "tokens": 1e4}, "nowhere"),
            ({"languages": []}, "languages"),
            ({"languages": ["es", "en"], "mixture": {"es": 1}}, "share of each"),
            ({"languages": ["es"], "mixture": {"es": -1}}, "above 0"),
            ({"languages": ["es"]}, "tokens that the base is to be trained on"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_place(self, base, words):
        with pytest.raises(BadInput, match=words) as error:
            joins(base=base)
        assert str(error.value).startswith("base")

    def test_new_text_alone_is_a_baseline(self):
        unique = {"tur": 10.0, "replay": 90.0, "por": 30.0}
        found = baselines_for(unique, unique=unique, joining=("tur", "por"))
        assert dict(found["new_only"]) == {"tur": 0.25, "replay": 0.0, "por": 0.75}
        assert "new_only" not in baselines_for(unique, unique=unique)


def problems(config, base=Path(), kind=None):
    return "\n".join(str(one) for one in preflight(kind or MixtureKind(), config, base, Path("nowhere")))


class TestProblems:
    def test_a_model_that_is_not_there_or_asks_for_another_shape_is_told_before_anything_is_read(self, llama, tmp_path):
        base = llama.parent
        assert problems(from_a_model(llama), base) == ""
        assert "no folder" in problems(joins(proxy={"base": "./nothing"}), base)
        for proxy, words in (
            ({"width": 64}, "32, that of llama"),
            ({"size": "1M"}, "size and base at once"),
            ({"context": 128}, "64 or less"),
        ):
            found = problems(joins(proxy={"base": "llama", "context": 32, "batch": 4} | proxy), base)
            assert words in found
        assert "that of the model" in problems(from_a_model(llama, tokens={"tokenizer": "other.json"}), base)
        ladder = JOINS["design"] | {"ladder": ["60k"]}
        assert "has one size" in problems(from_a_model(llama, design=ladder), base)
        (tmp_path / "bare").mkdir()
        (tmp_path / "bare" / "config.json").write_text((llama / "config.json").read_text())
        assert "no weights" in problems(from_a_model(tmp_path / "bare"), tmp_path)

    def test_the_hub_is_asked_only_for_what_is_no_folder_and_for_no_code(self, llama, monkeypatch):
        asked = []

        def fetch(name, allow_patterns):
            asked.append((name, allow_patterns))
            return str(llama)

        hub = pytest.importorskip("huggingface_hub")
        monkeypatch.setattr(hub, "snapshot_download", fetch)
        assert starting.place_of_base("llama", llama.parent) == llama
        assert asked == []
        assert starting.place_of_base("owner/llama", llama.parent) == llama
        ((name, patterns),) = asked
        assert name == "owner/llama"
        assert not [pattern for pattern in patterns if pattern.endswith((".py", ".bin", "*"))]
        # Nothing of the weights before they are needed.
        config = joins(proxy={"base": "owner/llama", "context": 32, "batch": 4})
        assert problems(config, llama.parent) == ""
        assert len(asked) > 1
        assert not [one for _, patterns in asked[1:] for one in patterns if "safetensors" in one]

    def test_other_kinds_and_other_trainers_say_that_they_start_from_nothing(self):
        from glotmix.config import checked
        from glotmix.studies.compare.kind import CompareKind

        kind = CompareKind()
        corpus = {"reader": "embedded", "bytes_per_language": 60_000}
        config = checked(kind.config, {"name": "x", "kind": "compare", "languages": ["es", "ru"], "corpus": corpus,
                                       "proxy": JOINS["proxy"] | {"base": "llama"}})  # fmt: skip
        assert "start from random weights" in problems(config, kind=kind)
        external = {"executor": "external", "trainer": "huggingface"}
        assert "proxy.base" in problems(joins(sweep=external))


class TestMadeHere:
    def test_all_proxies_go_on_from_one_model_of_the_old_languages(self, made):
        losses = pl.read_parquet(made / "measurements" / "losses.parquet").filter(pl.col("metric") == "bpb")
        before = losses.filter(pl.col("step") == 0)
        assert before.group_by("language").agg(pl.col("value").n_unique())["value"].to_list() == [1] * 4
        own = json.loads((made / "base" / "runs" / "base" / "run.json").read_text())
        last = {row["language"]: row["value"] for row in own["losses"] if row["metric"] == "bpb"}
        note = json.loads((made / "base.json").read_text())
        assert list(note["losses"]) == TARGETS
        # The same text, held out of both: what it ended with is what the others begin with.
        assert note["losses"]["spa_Latn"] == pytest.approx(last["spa_Latn"], rel=1e-6)
        assert (note["tokens"], note["languages"]) == (20_000, ["spa_Latn", "eng_Latn"])
        trained = json.loads((made / "base" / "runs" / "base" / "run.json").read_text())
        assert set(trained["tokens"]) == {"spa_Latn", "eng_Latn"}

    def test_the_tokenizer_is_that_of_the_base(self, made):
        one, other = open_store(made / "tokens"), open_store(made / "base" / "tokens")
        assert one.tokenizer().fingerprint == other.tokenizer().fingerprint
        assert one.languages == ("tur_Latn", "replay", "spa_Latn", "eng_Latn")
        assert one.overlap.shared == {}  # what a replay shares with its languages is no transfer between them

    def test_values_are_of_what_is_added_to_the_base(self, made):
        transfer = json.loads((made / "transfer.json").read_text())
        note = json.loads((made / "base.json").read_text())
        assert transfer["notes"]["empty"] == "base"
        assert transfer["notes"]["empty_loss"] == note["losses"]
        losses = pl.read_parquet(made / "measurements" / "losses.parquet").filter(pl.col("metric") == "bpb")
        last = losses.filter(pl.col("step") > 0)
        for target in TARGETS:
            full = last.filter((pl.col("run") == "coalition-full-s0") & (pl.col("language") == target))["value"].item()
            values = sum(one["value"] for one in transfer["values"][target].values())
            assert values == pytest.approx(note["losses"][target] - full, abs=1e-9)

    def test_what_is_gained_and_forgotten_is_measured_with_intervals(self, made):
        study = MixtureStudy.of(joins(), StudyDirectory(made))
        evidence = evidence_of(findings_of(study, open_store(made / "tokens"), train=False))
        rows = {row.target: row for row in kept_rows(evidence)}
        assert [name for name, row in rows.items() if row.known] == ["replay", "eng_Latn", "spa_Latn"]
        loop = json.loads((made / "closed_loop.json").read_text())["measured"]
        for target, row in rows.items():
            for name, change in row.changes.items():
                mean = sum(loop[name][target]) / 2
                assert change.value == pytest.approx(row.before - mean)
                assert change.low < change.value < change.high
        page = (made / "report.html").read_text()
        told = page[page.index('id="kept"') :]
        assert fixed(rows["spa_Latn"].before, 3) in told
        assert re.search(r"The recommended mixture gains on .*Turkish", told)
        # Turkish alone makes a model forget Spanish that has just learned it.
        assert rows["spa_Latn"].changes["new_only"].high < 0 < rows["tur_Latn"].changes["new_only"].low

    def test_the_price_tells_the_base(self, tmp_path):
        (tmp_path / "joins.yaml").write_text(json.dumps(JOINS))
        told = CliRunner().invoke(cli.app, ["run", str(tmp_path / "joins.yaml"), "--dry-run", "--json"])
        assert told.exit_code == 0, told.output
        price = json.loads(told.output)
        assert "20,000 tokens in spa_Latn and eng_Latn, trained first" in price["lines"]["proxies start from"]
        runs = price["runs"] + price["closed_loop_runs"]
        assert price["tokens"] == runs * 8000 + 20_000
        assert [stage["name"] for stage in price["stages"]][:2] == ["reading the corpus", "training the base"]


class TestSomebodysModel:
    def test_losses_before_training_are_those_of_transformers(self, given, llama):
        import transformers

        store = open_store(given / "tokens")
        made = transformers.LlamaForCausalLM.from_pretrained(llama)
        held_out = {name: store.held_out(name) for name in TARGETS}
        evaluation = Evaluation(held_out, 32, end_of_document=store.end_of_document)
        nats = []
        for i, _ in enumerate(TARGETS):
            windows = evaluation.windows_WS[evaluation.language_W == i]
            with torch.no_grad():
                logits = made(windows[:, :-1].clamp(min=0)).logits.flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, windows[:, 1:].flatten(), ignore_index=-1)
            nats.append(float(loss))
        expected = evaluation.bits_per_byte(torch.tensor(nats, dtype=torch.float64).numpy())
        note = json.loads((given / "base.json").read_text())
        assert [note["losses"][name] for name in TARGETS] == pytest.approx(expected.tolist(), rel=1e-5)
        assert (note["model"], note["tokens"]) == ("llama", 3e9)
        assert store.vocab_size == 400 < made.config.vocab_size

    def test_n_is_that_of_the_model_and_d_what_is_read_anew(self, given):
        runs = pl.read_parquet(given / "measurements" / "runs.parquet")
        assert runs["N"].unique().to_list() == [2 * (32 * 64 + 32 * 32 + 3 * 32 * 48 + 2 * 32) + 32]
        assert runs["D"].max() <= 8064

    def test_the_same_study_resumes_and_another_model_is_refused(self, given, llama, tmp_path):
        before = {name: checksum(given / name) for name in TABLES}
        ran("mixture", from_a_model(llama), llama.parent, given)
        assert {name: checksum(given / name) for name in TABLES} == before
        import shutil

        from safetensors.torch import load_file, save_file

        other = tmp_path / "llama"
        shutil.copytree(llama, other)
        weights = load_file(other / "model.safetensors")
        save_file(
            {name: tensor * 1.01 for name, tensor in weights.items()}, other / "model.safetensors", {"format": "pt"}
        )
        with pytest.raises(BadInput, match="base"):
            ran("mixture", from_a_model(llama), tmp_path, given)


def test_killed_again_and_again_a_study_makes_the_same_tables(made, tmp_path):
    (tmp_path / "joins.yaml").write_text(json.dumps(JOINS))
    command = [sys.executable, "-m", "glotmix", "run", str(tmp_path / "joins.yaml"), "--out", str(tmp_path / "out")]
    start = partial(
        subprocess.Popen, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    # Killed at what has appeared, not by a clock: while the base is trained, and before the loop is closed.
    for sign in ("out/base/jobs/*.progress", "out/runs/*/run.json"):
        process = start()
        while process.poll() is None and not list(tmp_path.glob(sign)):
            time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start().wait() == 0
    assert {name: checksum(tmp_path / "out" / name) for name in TABLES} == {
        name: checksum(made / name) for name in TABLES
    }
