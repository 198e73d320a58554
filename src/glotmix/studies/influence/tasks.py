"""Texts of the tasks whose influence is studied, and the model that is tuned on them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from glotmix.artifact import creating, open_artifact
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput, MissingExtra
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.studies.influence.config import ClassificationTaskConfig, EncoderConfig, InfluenceConfig
from glotmix.study.narrator import Narrator
from glotmix.study.precision import settled
from glotmix.study.preflight import noting
from glotmix.tokens.build import build_store
from glotmix.wording import listed

if TYPE_CHECKING:
    from glotmix.attribution.texts import Texts


def texts_of(task: ClassificationTaskConfig, config: InfluenceConfig, base: Path) -> tuple[Texts, Texts]:
    """Training and test texts of a task; the test texts of all languages are translations where the task has any.

    Raises:
        BadInput: too few texts, texts without labels, or a language without text.
        MissingExtra: a data set of the hub without ``datasets``.
    """
    if task.source == "embedded":
        return _embedded(task, config.languages, config.seed)
    if task.source == "hub":
        sides = ((task.train_split, task.train), (task.test_split, task.test))
        train, test = (_hub(task, config.languages, split, samples, config.seed) for split, samples in sides)
        return train, test
    assert task.path is not None
    assert task.test_path is not None
    return (
        _file(base, task.path, task, config.languages, task.train, config.seed),
        _file(base, task.test_path, task, config.languages, task.test, config.seed),
    )


def problems_with_texts(task: ClassificationTaskConfig, config: InfluenceConfig, base: Path) -> list[BadInput]:
    """What is wrong with the texts of a task, both tables of it; what lies on the hub is not fetched."""
    found: list[BadInput] = []
    place = f"tasks.{config.tasks.index(task)}"
    if task.source == "hub":
        if find_spec("datasets") is None:
            found.append(BadInput(str(MissingExtra("datasets", "hub")), where=f"{place}.source"))
        if lacking := [name for name in config.languages if name not in task.configurations]:
            expected = "the data set's configuration of each language"
            found.append(BadInput(f"none of {listed(lacking)}", where=f"{place}.configurations", expected=expected))
        return found
    if task.source == "embedded":
        try:
            texts_of(task, config, base)
        except BadInput as error:  # of a corpus that the file does not name
            found.append(BadInput(error.message, where=f"{place}.source", expected=error.expected))
        return found
    classes = []
    for path, samples in ((task.path, task.train), (task.test_path, task.test)):
        with noting(found, place):
            read = _file(base, str(path), task, config.languages, samples, config.seed)
            classes.append(set(read.classes))
    if len(classes) == 2 and (unseen := classes[1] - classes[0]):
        message = f"no training text of class {listed(sorted(unseen))}"
        found.append(BadInput(message, where=base / str(task.path), expected="every class of the test texts"))
    return found


def _embedded(task: ClassificationTaskConfig, languages: Sequence[str], seed: int) -> tuple[Texts, Texts]:
    """Documents and the scenes that they are about. Test documents come first, the same in every language; training
    documents are the same in every language too, or else each language has its own."""
    reader = open_reader(CorpusConfig(bytes_per_language=2**62, seed=seed), languages, Path())
    needed = task.test + task.train * (1 if task.parallel else len(languages))
    rows: dict[str, list[tuple[str, str, str, str]]] = {"train": [], "test": []}
    for place, language in enumerate(languages):
        first = task.test + (0 if task.parallel else place * task.train)
        labelled = ((document.text, document.id.partition("/")[0]) for document in reader.documents(language))
        kept = ((text, scene) for text, scene in labelled if not task.classes or scene in task.classes)
        for k, (text, scene) in enumerate(islice(kept, needed)):
            if k < task.test:
                rows["test"].append((text, language, f"test {k}", scene))
            elif first <= k < first + task.train:
                # Without translations identities are places: joined by nothing, they show what chance gives.
                rows["train"].append((text, language, f"{k - first}", scene))
    train, test = _joined(rows["train"]), _joined(rows["test"])
    if unseen := set(test.classes) - set(train.classes):
        raise BadInput(f"no training text of class {min(unseen)}", where=f"task {task.name}", expected="a larger train")
    return train, test


def _joined(rows: Sequence[tuple[str, str, str, str]]) -> Texts:
    """From (text, language, id, label)."""
    from glotmix.attribution.texts import Texts

    texts, languages, ids, labels = (tuple(column) for column in zip(*rows, strict=True))
    return Texts(texts, languages, None, ids, labels)


def _hub(task: ClassificationTaskConfig, languages: Sequence[str], split: str, samples: int, seed: int) -> Texts:
    """Samples drawn from the whole split, in every language the same ids."""
    from glotmix.attribution.texts import Texts, drawn

    try:
        from datasets import load_dataset
    except ImportError:
        raise MissingExtra("datasets", "hub") from None
    columns: dict[str, list[str]] = {name: [] for name in ("text", "language", "pair", "id", "label")}
    for language in languages:
        if language not in task.configurations:
            raise BadInput(f"no configuration of {language}", where=f"task {task.name}", expected="configurations")
        data = load_dataset(task.path, task.configurations[language], split=split)
        fields = [name for name in (task.text_field, task.pair_field, task.label_field, task.id_field) if name]
        if lacking := [name for name in fields if name not in data.column_names]:
            expected = f"fields among {', '.join(data.column_names)}"
            raise BadInput(f"no field {listed(lacking)}", where=f"{task.path}, {language}, {split}", expected=expected)
        labels = data[task.label_field][:]
        kept = [i for i, y in enumerate(labels) if y != -1 and (not task.classes or str(y) in task.classes)]
        names = data[task.id_field][:] if task.id_field else None
        keys = [f"{split} {i}" if names is None else str(names[i]) for i in kept]
        if len(kept) < samples:
            raise BadInput(f"{len(kept)} texts of {language} in {split}", where=task.path, expected=f"{samples}")
        chosen = drawn(keys, samples, seed)
        for place, row in zip(chosen, data.select([kept[i] for i in chosen]), strict=True):
            columns["text"].append(str(row[task.text_field]))
            columns["language"].append(language)
            columns["pair"].append(str(row[task.pair_field]) if task.pair_field else "")
            columns["id"].append(keys[place])
            columns["label"].append(str(row[task.label_field]))
    texts, tags, pairs, ids, classes = (tuple(columns[n]) for n in ("text", "language", "pair", "id", "label"))
    return Texts(texts, tags, pairs if task.pair_field else None, ids, classes)


def _file(
    base: Path, name: str, task: ClassificationTaskConfig, languages: Sequence[str], samples: int, seed: int
) -> Texts:
    """The same ids of every language, so far as there are any; else a random choice."""
    from glotmix.attribution.texts import drawn, read_texts
    from glotmix.studies.influence.layouts import read_layout

    path = base / name
    if task.layout == "own":
        texts = read_texts(path)
    else:
        texts = read_layout(task.layout, name, languages, base, task.labels)
    if texts.labels is None:
        raise BadInput("no column 'label'", where=path, expected="the class of every text")
    if task.classes:
        texts = texts.take([i for i, label in enumerate(texts.labels) if label in task.classes])
    keys = texts.ids or tuple(str(i) for i in range(len(texts)))
    mine = {name: [i for i, other in enumerate(texts.languages) if other == name] for name in languages}
    if few := {name: len(rows) for name, rows in mine.items() if len(rows) < samples}:
        message = "; ".join(f"{count} texts of {name}" for name, count in few.items())
        fewer = f", or {min(few.values())} of each in the task" if min(few.values()) else ""
        raise BadInput(message, where=path, expected=f"{samples}{fewer}")
    return texts.take([rows[k] for rows in mine.values() for k in drawn([keys[i] for i in rows], samples, seed)])


def base_model(base: EncoderConfig, config: InfluenceConfig, root: Path, directory: Path, narrator: Narrator) -> Path:
    """Directory of the model that is tuned; a proxy is trained first, on equal shares of the languages."""
    if base.model is not None:
        return fetched(base.model, root, directory)
    from glotmix.proxy.model import Shape

    place = directory / "base"
    steps = [(Shape.of(base.proxy, base.tokens.vocab_size), base.proxy.batch)]
    precision = settled(directory, base.proxy.precision, steps, "cpu", narrator.say).precision
    base = base.model_copy(update={"proxy": base.proxy.model_copy(update={"precision": precision})})
    made_from = {
        "languages": config.languages,
        "seed": config.seed,
        "base": base.model_dump(mode="json", exclude={"architecture"}),
    }
    if open_artifact(place, "base", made_from) is not None:
        return place
    from glotmix.proxy.checkpoint import save_checkpoint
    from glotmix.proxy.loader import MixtureBatches
    from glotmix.proxy.run import StackRun
    from glotmix.proxy.stack import Stack
    from glotmix.proxy.train import train_stack

    reader = open_reader(base.corpus, config.languages, root)
    store = build_store(
        directory / "tokens",
        reader,
        config.languages,
        base.tokens,
        held_out=base.corpus.held_out,
        min_tokens=base.proxy.context + 1,
        base=root,
    )
    shape = Shape.of(base.proxy, store.vocab_size)
    share = 1 / len(config.languages)
    schedule = Schedule.constant(Mixture(dict.fromkeys(config.languages, share)))
    run = StackRun("base", schedule, int(base.proxy.tokens), config.seed)
    trained: list[Stack] = []
    with narrator.bar("Training the base model") as advance, creating(place, "base", made_from) as part:
        train_stack(
            [run],
            MixtureBatches(store, [run], base.proxy),
            shape,
            base.proxy,
            on_start=trained.append,
            on_step=lambda done, total, _: advance("Training the base model", done, total),
        )
        stack = trained[0]
        save_checkpoint(part, stack.master, shape, end_of_document=store.end_of_document)
        store.tokenizer().save(part)
    return place


def fetched(name: str, root: Path, directory: Path) -> Path:
    """A model's directory: on this machine, or fetched from the hub into the experiment's directory."""
    local = root / name
    if local.is_dir():
        return local
    place = directory / "base"
    if open_artifact(place, "base", {"model": name}) is not None:
        return place
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtra("huggingface_hub", "posttrain") from None
    wanted = ["*.json", "*.safetensors", "*.model"]
    with creating(place, "base", {"model": name}) as part:
        try:
            snapshot_download(name, local_dir=part, allow_patterns=wanted)
        except Exception as error:  # the network's and the hub's own kinds are many
            message = str(error).splitlines()[0]
            raise BadInput(f"model {name!r} cannot be fetched: {message}", where="base.model") from None
    return place
