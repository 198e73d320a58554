"""Everything that is wrong is told at once, before anything is trained, in the user's own spelling, with what works."""

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from glotmix.config import read_study
from glotmix.errors import BadInput, Problems
from glotmix.studies import KINDS
from glotmix.studies.mixture.kind import MixtureKind
from glotmix.studies.start import open_study
from glotmix.study.preflight import in_the_users_words, preflight, respelt, spellings

WORDS = {name: [f"{name[:2]}{k}" for k in range(400)] for name in ("es", "est_Latn", "sw", "gl")}


def rows(path, language, documents, words=40, seed=0, **more):
    rng = random.Random(f"{language} {seed}")
    path.parent.mkdir(parents=True, exist_ok=True)
    pool = WORDS.get(language) or [f"{language}{k}" for k in range(300)]
    lines = [
        json.dumps({"text": " ".join(rng.choices(pool, k=words)), **more}, ensure_ascii=False) for _ in range(documents)
    ]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def found(tmp_path):
    """``found(yaml text)``: the problems of a mixture study in a folder with ``data``."""

    def problems(text, kind="mixture"):
        path = tmp_path / "study.yaml"
        path.write_text(text)
        kind = KINDS.find(kind)()
        return [str(one) for one in preflight(kind, kind.load(path), tmp_path, tmp_path / "out")]

    return problems


def command(study, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "glotmix", *arguments, str(study), "--out", str(Path(study).parent / "out")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


STUDY = """
name: small
languages: [es, est_Latn]
outside: [sw]
corpus: {reader: jsonl, path: data, held_out: 0.1}
tokens: {vocab_size: 300, sample_bytes: 2000, held_out_tokens: 1000}
proxy: {width: 16, layers: 1, heads: 1, tokens: 5000, context: 16, batch: 4}
fit: {laws: [null, own_ratio], folds: 2, bootstrap: 0}
validation: {seeds: 1, baselines: [natural]}
"""


def test_a_sound_study_has_no_problems(found, tmp_path):
    for name in ("es", "est_Latn", "sw"):
        rows(tmp_path / "data" / name / "a.jsonl", name, 60)
    assert found(STUDY) == []


def test_everything_that_is_wrong_is_told_at_once(found, tmp_path):
    rows(tmp_path / "data/es/a.jsonl", "es", 60)
    (tmp_path / "data/est_Latn").mkdir()
    (tmp_path / "data/est_Latn/a.jsonl").write_text('{"text": "a"}\n{"text": \n')
    text = STUDY.replace("baselines: [natural]", "baselines: [natural, unimaks]").replace("batch: 4", "batch: 400")
    text = text.replace("folds: 2", "choose: own_ration, folds: 2") + "optimize: {floors: {es: 0.7, est: 0.6}}\n"
    told = "\n".join(found(text))
    for one in ("'unimaks' is not known; did you mean unimax?", "'own_ration' is not known; did you mean own_ratio?",
                "tokens = 5000 is less than a batch of 400", "floor 0.7 of spa_Latn", "no jsonl files for swh_Latn",
                "a.jsonl:2: not valid JSON"):  # fmt: skip
        assert one in told


def test_a_language_with_too_little_to_measure_on_gets_a_share_that_is_enough(found, tmp_path):
    for name in ("es", "est_Latn"):
        rows(tmp_path / "data" / name / "a.jsonl", name, 60)
    rows(tmp_path / "data/sw/a.jsonl", "sw", 6)
    (told,) = found(STUDY.replace("held_out: 0.1", "held_out: 0.01"))
    assert "too few held-out tokens with 0.01 held out" in told
    assert "swh_Latn has 0" in told
    share = told.partition("; held_out: ")[2].partition(",")[0]
    assert found(STUDY.replace("held_out: 0.1", f"held_out: {share}")) == []


def test_fewer_tokens_to_measure_on_than_a_sequence_has_are_no_fault_of_the_text(found, tmp_path):
    for name in ("es", "est_Latn", "sw"):
        rows(tmp_path / "data" / name / "a.jsonl", name, 600)
    text = STUDY.replace("context: 16", "context: 1024").replace("tokens: 5000,", "tokens: 5e6,")
    assert "context: 1024" in text
    told = [one for one in found(text) if "held" in one]
    assert len(told) == 1
    assert "tokens.held_out_tokens: no more than 1,000 are measured on (expected 1025 or more, one sequence)" in told[0]


def test_a_language_shorter_than_a_sequence_gets_a_context_that_fits(found, tmp_path):
    for name in ("es", "est_Latn"):
        rows(tmp_path / "data" / name / "a.jsonl", name, 60)
    rows(tmp_path / "data/sw/a.jsonl", "sw", 12, words=3)
    (told,) = found(
        STUDY.replace("context: 16", "context: 1000")
        .replace("tokens: 5000, ", "tokens: 5e4, ")
        .replace("held_out: 0.1", "held_out: 0.3")
    )
    assert "too few training tokens: swh_Latn has" in told
    assert "proxy.context: " in told


def test_budgets_that_are_advised_are_enough(found, tmp_path):
    """Who takes the smallest of the advised target.tokens has no problem left."""
    for name, documents in (("es", 200), ("est_Latn", 20), ("sw", 30)):
        rows(tmp_path / "data" / name / "a.jsonl", name, documents)
    told = found(STUDY + "target: {tokens: 20e9, parameters: 1e9}\noptimize: {max_epochs: 4, floors: {est: 0.2}}\n")
    assert len(told) >= 2
    advised = [float(one.partition("target.tokens: ")[2].split()[0]) for one in told if "target.tokens: " in one]
    assert len(advised) == 2
    text = f"target: {{tokens: {min(advised):g}, parameters: 1e9}}\noptimize: {{max_epochs: 4, floors: {{est: 0.2}}}}\n"
    assert found(STUDY + text) == []
    epochs = next(one for one in told if "max_epochs: " in one).partition("max_epochs: ")[2].split()[0]
    text = f"target: {{tokens: 20e9}}\noptimize: {{max_epochs: {epochs}, floors: {{est: 0.2}}}}\n"
    assert not [one for one in found(STUDY + text) if one.startswith("optimize")]


def test_everything_advised_at_once_is_right_at_once(found, tmp_path):
    """The share to hold out decides what is trained on, hence the tokenizer, hence the tokens that budgets are cut to."""
    for name, documents in (("es", 90), ("est_Latn", 8), ("sw", 9)):
        rows(tmp_path / "data" / name / "a.jsonl", name, documents)
    limits = "optimize: {max_epochs: 4, floors: {est: 0.05}}\n"
    text = STUDY.replace("tokens: 5000, context: 16", "tokens: 5000, context: 64").replace("languages: [es, est_Latn]\noutside: [sw]", "languages: [es, est_Latn, sw]")  # fmt: skip
    text = text.replace("held_out: 0.1", "held_out: 0.01").replace("vocab_size: 300", "vocab_size: 700")
    told = found(text + "target: {tokens: 20e9, parameters: 1e9}\n" + limits)
    share = next(one for one in told if "; held_out: " in one).partition("; held_out: ")[2].partition(",")[0]
    advised = [float(one.partition("target.tokens: ")[2].split()[0]) for one in told if "target.tokens: " in one]
    assert len(told) == 3
    again = text.replace("held_out: 0.01", f"held_out: {share}") + f"target: {{tokens: {min(advised):g}}}\n"
    assert found(again + limits) == []


def refused(tmp_path, text):
    """The problems of a study file that is refused."""
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(BadInput) as raised:
        open_study(tmp_path / "study.yaml", out=tmp_path / "out")
    return [str(one) for one in getattr(raised.value, "problems", (raised.value,))]


def test_wrong_fields_and_what_is_wrong_with_the_corpus_are_one_list(tmp_path):
    rows(tmp_path / "data/es/a.jsonl", "es", 60)
    rows(tmp_path / "data/est_Latn/a.jsonl", "est_Latn", 60)
    (tmp_path / "data/est_Latn/b.jsonl").write_text('{"text": "a"}\n{"text": \n')
    text = STUDY.replace("baselines: [natural]", "baselines: [natural, unimaks]").replace(
        "languages: [es", "languages: [nosuch, es"
    )
    text = (
        text.replace("folds: 2", "folds: two")
        + "seed: many\noptimize: {floors: {es: 0.7, neither: 0.6}}\ndesign: {swarms: 3}\n"
    )
    told = refused(tmp_path, text)
    for one in ("'nosuch' is no language", "fit.folds = 'two'", "seed = 'many'", "optimize.floors.neither", "design.swarms",
                "b.jsonl:2: not valid JSON", "no jsonl files for sw (swh_Latn)", "'unimaks' is not known"):  # fmt: skip
        assert sum(one in problem for problem in told) == 1, (one, told)
    assert len(told) == 8, told


def test_what_follows_from_a_wrong_field_is_not_told(tmp_path):
    """The corpus is there; that it would be too short for the default of a context that is wrong is not its fault."""
    for name in ("es", "est_Latn", "sw"):
        rows(tmp_path / "data" / name / "a.jsonl", name, 12)
    (told,) = refused(
        tmp_path, STUDY.replace("context: 16", "context: short").replace("held_out: 0.1", "held_out: 0.3")
    )
    assert "proxy.context = 'short'" in told
    (told,) = refused(tmp_path, STUDY.replace("reader: jsonl", "reader: jsonll"))
    assert "did you mean jsonl" in told


PROXY = "{width: 16, layers: 1, heads: 1, tokens: 5000, context: 16, batch: 4}"
CORPUS = "{reader: jsonl, path: data, held_out: 0.1}"
TOKENS = "{vocab_size: 300, sample_bytes: 2000}"
KINDS_OF_STUDY = {
    "compare": f"kind: compare\nname: x\nlanguages: [es, est_Latn]\ncorpus: {CORPUS}\ntokens: {TOKENS}\nproxy: {PROXY}\nmethods: [uniform]\n",
    "clones": f"kind: clones\nname: x\nlanguage: es\ncorpus: {CORPUS}\ntokens: {TOKENS}\nproxy: {PROXY}\n"
    "pair: {languages: [es, est_Latn]}\n",
    "influence": f"kind: influence\nname: x\nlanguages: [es, est_Latn]\ntasks: [{{name: scenes, train: 4, test: 2}}]\nscores: {{top: 2}}\n"
    f"base: {{corpus: {CORPUS}, tokens: {TOKENS}, proxy: {PROXY}}}\n",
    "posttraining": f"kind: posttraining\nname: x\npivot: es\nlanguages: [est_Latn]\ncorpus: {CORPUS}\ntokens: {TOKENS}\n"
    f"bases: {{tiny: {{proxy: {PROXY}}}}}\ntasks: {{mathematics: {{train: {{source: chat, path: 'x.{{short}}.jsonl'}}}}}}\n"
    "grids: [{tasks: [mathematics], samples: [0, 4], pivot_samples: 4, mixes: {all: [est_Latn]}}]\n",
}  # fmt: skip
CORPUS_FIELD = {"influence": "base.corpus"}
PROXY_FIELD = {"influence": "base.proxy", "posttraining": "bases.tiny.proxy"}


@pytest.mark.parametrize("kind", KINDS_OF_STUDY)
def test_every_kind_tells_what_is_wrong_with_its_corpus_and_its_proxies(found, tmp_path, kind):
    rows(tmp_path / "data/es/a.jsonl", "es", 60)
    text = KINDS_OF_STUDY[kind]
    told = "\n".join(found(text.replace("batch: 4", "batch: 400"), kind))
    assert "no jsonl files for ekk_Latn" in told
    assert f"{PROXY_FIELD.get(kind, 'proxy')}: tokens = 5000 is less than a batch of 400" in told
    rows(tmp_path / "data/est_Latn/a.jsonl", "est_Latn", 12, words=3)
    told = "\n".join(found(text, kind))
    field = CORPUS_FIELD.get(kind, "corpus")
    assert f"{field}.held_out: too few held-out tokens" in told or f"{field}: too few training tokens: ekk_Latn" in told
    rows(tmp_path / "data/est_Latn/a.jsonl", "est_Latn", 60)
    told = "\n".join(found(text, kind))
    assert field + "." not in told
    assert "tokens" not in told


def test_tables_of_an_influence_study_are_read_before_anything_is_trained(found, tmp_path):
    for name in ("es", "est_Latn"):
        rows(tmp_path / "data" / name / "a.jsonl", name, 60)
    (tmp_path / "train.tsv").write_text("text\tlanguage\tlabel\n" + "hola\tspa_Latn\tx\ntere\tekk_Latn\tx\n" * 2)
    (tmp_path / "test.tsv").write_text("text\tlanguage\tlabel\nhola\tspa_Latn\ty\ntere\tekk_Latn\tx\n")
    tasks = "tasks: [{name: scenes, source: file, path: train.tsv, test_path: test.tsv, train: %d, test: 1}, {name: gone, source: file, path: no.tsv, test_path: nor.tsv, train: 2, test: 1}]"  # fmt: skip
    text = KINDS_OF_STUDY["influence"].replace("tasks: [{name: scenes, train: 4, test: 2}]", tasks)
    told = found(text % 2, "influence")
    assert "no training text of class y" in told[0]
    assert [one.partition(": ")[0] for one in told[1:]] == [str(tmp_path / "no.tsv"), str(tmp_path / "nor.tsv")]
    told = found(text % 3, "influence")
    assert "2 texts of spa_Latn; 2 texts of ekk_Latn (expected 3, or 2 of each in the task)" in told[0]


def test_a_comparison_is_told_of_cuts_and_epochs_it_cannot_have(found, tmp_path):
    for name in ("es", "est_Latn"):
        rows(tmp_path / "data" / name / "a.jsonl", name, 60)
    text = KINDS_OF_STUDY["compare"] + "unique_tokens: {es: 1e9, fr: 1e3}\nhigh_resource: [de]\n"
    told = "\n".join(found(text, "compare"))
    for one in ("fra_Latn is none of the languages", "high_resource: deu_Latn is none", "spa_Latn = 1e+09"):
        assert one in told
    text = KINDS_OF_STUDY["compare"].replace("tokens: 5000", "tokens: 5e6") + "max_epochs: 2\n"
    (told,) = found(text, "compare")
    assert told.startswith("methods: uniform: ")


def test_errors_speak_the_users_language_and_leave_paths_alone(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    error = BadInput("ekk_Latn has 3", where="/data/ekk_Latn/a.jsonl:3", expected="ekk_Latn, or /x/ekk_Latn/y")
    with pytest.raises(BadInput) as raised, in_the_users_words(spellings(read_study(path))):
        raise error
    assert (
        str(raised.value)
        == "/data/ekk_Latn/a.jsonl:3: est_Latn (ekk_Latn) has 3 (expected est_Latn (ekk_Latn), or /x/ekk_Latn/y)"
    )
    many = respelt(Problems([error, BadInput("spa_Latn")]), {"ekk_Latn": "et", "spa_Latn": "es"})
    assert [one.message for one in many.problems] == ["et (ekk_Latn) has 3", "es (spa_Latn)"]


@pytest.mark.parametrize("arguments", [["run"], ["census"]])
def test_commands_refuse_with_one_list_and_write_nothing(tmp_path, arguments):
    rows(tmp_path / "data/es/a.jsonl", "es", 60)
    (tmp_path / "study.yaml").write_text(STUDY)
    done = command(tmp_path / "study.yaml", *arguments)
    assert done.returncode == 2
    assert "2 problems:" in done.stderr
    assert "no jsonl files for est_Latn (ekk_Latn)" in done.stderr
    assert "no jsonl files for sw (swh_Latn)" in done.stderr
    assert not (tmp_path / "out").exists()


def test_every_field_of_a_study_that_is_wrong_is_told(tmp_path):
    (tmp_path / "study.yaml").write_text(
        "name: x\nlanguages: [es, nosuch, alsono]\nproxy: {width: -3, layer: 2}\nseed: many\n"
    )
    with pytest.raises(BadInput) as raised:
        MixtureKind().load(tmp_path / "study.yaml")
    for one in (
        "'nosuch' is no language",
        "'alsono' is no language",
        "proxy.width = -3",
        "proxy.layer",
        "seed = 'many'",
    ):
        assert one in str(raised.value)


def broken_corpus(folder: Path) -> dict[str, str]:
    """200 languages of 5 files, 12 of them broken in a way of their own; language to what must be told of it."""
    import glotmix.language as languages

    tags = [f"{code}_{row.scripts[0]}" for code, row in languages._table().items()][:200]
    for tag in tags:
        for k in range(5):
            rows(folder / tag / f"{k}.jsonl", tag, 8, words=12, seed=k)
    bad = dict(zip(tags[5::16], range(12), strict=False))
    ways = [
        (lambda f: f.write_bytes(b'{"text": "\xe9"}\n'), "0.jsonl:1: not valid UTF-8"),
        (lambda f: f.write_text('{"text": "a"}\n{"text":'), "0.jsonl:2: not valid JSON"),
        (lambda f: f.write_text('{"body": "a"}\n'), "no field 'text'"),
        (lambda f: f.write_text('{"text": 3}\n'), "text is a number"),
        (lambda f: f.write_text('{"text": ' + "[" * 300 + "]" * 300 + "}\n"), "nested over 100"),
        (lambda f: f.write_text('{"text": "a", "n": ' + "9" * 5000 + "}\n"), "a number of 5000 digits"),
        (lambda f: (f.unlink(), f.symlink_to("gone.jsonl")), "a link to nothing"),
        (lambda f: (f.with_suffix(".jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 999)[:20]), f.unlink()), "damaged or not gz"),
        (lambda f: f.write_text('{"text": "a", "text": "b"}\n'), "is listed twice"),
        (lambda f: f.write_text('{"text": "\\ud800"}\n'), "half of a surrogate pair"),
        (lambda f: f.write_bytes('{"text": "hola, hola"}\n'.encode("utf-16-le")), "is it UTF-16?"),
        (lambda f: f.write_text("3\n"), "holds a number"),
    ]  # fmt: skip
    told = {}
    for tag, way in bad.items():
        ways[way][0](folder / tag / "0.jsonl")
        told[tag] = ways[way][1]
    return told


def test_a_corpus_of_200_languages_broken_in_12_ways_gives_one_list(tmp_path):
    told = broken_corpus(tmp_path / "data")
    names = sorted(path.name for path in (tmp_path / "data").iterdir())
    (tmp_path / "study.yaml").write_text(
        f"name: many\nlanguages: {json.dumps(names)}\ncorpus: {{reader: jsonl, path: data, held_out: 0.2}}\n"
        "design: {coalitions: none, swarm: 4, swarm_roles: fit}\nproxy: {context: 16}\ntokens: {vocab_size: 300, sample_bytes: 1000}\n"
    )
    done = command(tmp_path / "study.yaml", "census")
    assert done.returncode == 2
    assert f"{len(told)} problems:" in done.stderr
    lines = done.stderr.splitlines()
    for tag, message in told.items():
        assert [line for line in lines if f"/{tag}/" in line and message in line], (tag, message, done.stderr)
