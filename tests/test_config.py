"""A study file either means what it says or is refused with the place and what was expected."""

import pytest

from glotmix.errors import BadInput
from glotmix.studies import KINDS
from glotmix.studies.mixture.config import StudyConfig, load_study

STUDY = """
name: test
languages: [spa_Latn, no]
proxy: {tokens: 1e6}
scales:
  tiny: {proxy: {tokens: 1000, width: 32}}
"""


def write(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return path


def test_norwegian_is_a_language_and_1e6_is_a_number(tmp_path):
    config = load_study(write(tmp_path, STUDY))
    assert config.languages == ["spa_Latn", "nob_Latn"]
    assert config.proxy.tokens == 1_000_000


def test_the_null_law_may_be_written_without_quotes(tmp_path):
    text = "name: x\nlanguages: [no, sw]\nfit: {laws: [null, own_ratio]}"
    assert load_study(write(tmp_path, text)).fit.laws == ["null", "own_ratio"]


def test_languages_as_keys_resolve_as_in_the_list(tmp_path):
    text = "name: x\nlanguages: [no, sw]\noptimize: {floors: {no: 0.1}, current: {swh: 0.5, nb: 0.5}}"
    config = load_study(write(tmp_path, text))
    assert config.optimize.floors == {"nob_Latn": 0.1}
    assert config.optimize.current == {"swh_Latn": 0.5, "nob_Latn": 0.5}


def test_a_scale_is_laid_over_the_rest_and_set_over_both(tmp_path):
    config = load_study(write(tmp_path, STUDY), scale="tiny", overrides=["proxy.width=48", "fit.laws=[curse]"])
    assert (config.proxy.tokens, config.proxy.width, config.proxy.layers) == (1000, 48, 3)
    assert config.fit.laws == ["curse"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name: x\nlanguages: [spa_Latn]\nproxies: {}", r"study\.yaml: proxies: no such field; did you mean proxy\?"),
        ("name: x\nlanguages: [spa_Latn]\nproxy: {widht: 3}", r"proxy\.widht"),
        ("name: x\nlanguages: [spa_Latn]\nproxy: {width: wide}", r"proxy\.width = 'wide'"),
        ("name: x\nlanguages: [spa_Latn]\nproxy: {width: 60, heads: 8}", "no multiple of twice the heads"),
        ("name: x\nlanguages: [klingonian]", "klingonian"),
        ("name: x\nlanguages: [es, spa_Latn]", "twice"),
        ("name: x\nlanguages: [es]\noutside: [spa]", "twice"),
        (
            "name: x\nlanguages: [es, fr]\noptimize: {floors: {klingonian: 0.1}}",
            r"optimize\.floors\.klingonian: 'klingonian' is no language",
        ),
        ("name: x\nlanguages: [es, fr]\noptimize: {floors: {de: 0.1}}", "deu_Latn is none of the languages"),
        ("name: x\nlanguages: [es, fr]\noptimize: {floors: {es: 0.1, spa: 0.2}}", "twice"),
        ("languages: [es]", "name"),
        ("name: x\nname: y\nlanguages: [es]", r"study\.yaml:2"),
        ("- a\n- b", "holds a list"),
        ("name: [", r"not valid YAML"),
        ("name: &a x\nlanguages: [*a]", "alias"),
        ("name: !!python/object/apply:os.system ['true']\nlanguages: [es]", "not valid YAML"),
        ('name: "\\udcff"', "not valid YAML|name"),
    ],
)
def test_a_wrong_file_is_refused_with_place_and_reason(tmp_path, text, match):
    with pytest.raises(BadInput, match=match) as caught:
        load_study(write(tmp_path, text))
    assert "study.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: x\nlangages: [es, fr]", "langages: no such field; did you mean languages?"),
        ("name: x\nlanguages: [es]\nproxy: {widht: 3}", "proxy.widht = 3: no such field; did you mean proxy.width?"),
        ("name: x\nlanguages: [es]\nmax_epochs: 3", "max_epochs = 3: no such field; did you mean optimize.max_epochs?"),
        ("name: x\nlanguages: [es]\ndesign: {active: {run: 3, hours: 1}}", "did you mean design.active.runs?"),
        ("name: x\nlanguages: [es]\nqqqqqq: 3", "qqqqqq = 3: no such field; see `glotmix fields`"),
    ],
)
def test_a_field_that_there_is_not_is_told_with_the_near_one_and_alone(tmp_path, text, told):
    with pytest.raises(BadInput) as caught:
        load_study(write(tmp_path, text))
    assert not hasattr(caught.value, "problems")
    assert told in str(caught.value)


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        load_study(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"name: \xff")
    with pytest.raises(BadInput, match="byte 6 is not UTF-8"):
        load_study(tmp_path / "b.yaml")


def test_an_unknown_scale_names_those_there_are(tmp_path):
    with pytest.raises(BadInput, match="tiny"):
        load_study(write(tmp_path, STUDY), scale="huge")


def test_an_override_needs_a_name_and_a_value(tmp_path):
    for override in ("proxy.width", "=3", "proxy..width=3"):
        with pytest.raises(BadInput, match="--set"):
            load_study(write(tmp_path, STUDY), overrides=[override])


def test_every_field_says_what_it_is():
    def sections(model):
        yield model
        for field in model.model_fields.values():
            if hasattr(field.annotation, "model_fields"):
                yield from sections(field.annotation)

    for section in sections(StudyConfig):
        for name, field in section.model_fields.items():
            if not hasattr(field.annotation, "model_fields"):
                assert field.description, f"{section.__name__}.{name} has no sentence"


def test_names_that_moved_are_found_with_a_word_on_where_they_are():
    import glotmix.config
    from glotmix.corpus import readers

    for module, name in [(glotmix.config, "load_study"), (glotmix.config, "ProxyConfig"), (readers, "open_reader")]:
        with pytest.warns(DeprecationWarning, match=rf"{name} has moved: from glotmix\.\S+ import {name}"):
            assert callable(getattr(module, name))
    with pytest.raises(AttributeError, match="nothing"):
        glotmix.config.nothing  # noqa: B018 - it is asked for


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "mixture"])
@pytest.mark.parametrize("field", ["sources", "targets"])
def test_a_kind_without_sources_or_targets_says_what_does_it_there(tmp_path, kind, field):
    path = write(tmp_path, f"kind: {kind}\nname: x\n{field}: {{code: {{path: data/code}}}}")
    with pytest.raises(BadInput) as caught:
        KINDS.find(kind)().load(path)
    said = [one for one in caught.value.problems if f"{field}: no such field; " in one.message]
    assert len(said) == 1
    assert "did you mean" not in said[0].message
    assert any(word in said[0].message for word in ("corpus", "task", "kind mixture"))


def test_numbers_among_the_options_of_slurm_are_written_as_they_are(tmp_path):
    text = (
        "name: x\nlanguages: [es, fr]\nsweep: {{slurm: {{nodes: 4, time: 12:00:00, gpus-per-node: 8, exclusive: {}}}}}"
    )
    study = load_study(write(tmp_path, text.format("user")))
    assert study.sweep.slurm == {"nodes": "4", "time": "12:00:00", "gpus-per-node": "8", "exclusive": "user"}
    with pytest.raises(BadInput, match=r"sweep\.slurm\.exclusive"):
        load_study(write(tmp_path, text.format("true")))
