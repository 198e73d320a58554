"""A post-training study proposed for chats: its languages, what is held out, the model that is fine-tuned, and a grid.

Chats are read by the code that the study reads them with, so what is counted here is what it will find. The rules are
those of the recipes: sizes by factors of four up to what the smallest language has, as many samples of the pivot.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glotmix.config import checked
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.embedded.speaker import embedded_languages
from glotmix.corpus.layout import Layout
from glotmix.corpus.readers.reader import Reader, open_reader
from glotmix.errors import BadInput, GlotmixError
from glotmix.language import Language
from glotmix.notebook import Brief, Shown
from glotmix.posttraining.chat import encode, load_chat_tokenizer
from glotmix.posttraining.sample import Sample
from glotmix.posttraining.sources import SourceConfig, read_all
from glotmix.reading.labels import LEFT_OUT, Labels
from glotmix.reading.rows import Wanted, read_rows
from glotmix.reading.values import value_of
from glotmix.study.machine import SPEED, this_machine
from glotmix.study.proposing import ProposalWish
from glotmix.tables import by_group

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType

TASK = "chat"
"""Conversations without one right answer: judged by how probable the held-out answers are, so nothing must be rated."""
LEAST_TRAINED, LEAST_TESTED = 20, 4
"""Samples of a language that is trained on, and of one that is only measured."""
TEST_SHARE, MOST_TEST = 0.2, 200
"""Share of the samples of the smallest language that is trained on, and the most of each, that are tested on."""
VALIDATION_SHARE, MOST_VALIDATION = 0.1, 20
"""The same of what chooses checkpoints; nothing does for a small proxy, whose last one is kept (as in the recipe)."""
PARTS = (16, 4, 1)
"""Sizes of the grid: the most samples of a language, divided by these."""
MOST_SAMPLES = {"proxy": 600, "model": 2000}
"""Of each language: what the recipes train their largest models on."""
SEEDS = 3
EPOCHS = {"proxy": 16, "model": 2}
BATCH = {"proxy": 24, "model": 32}
PASS_TOKENS = 16384
"""Tokens that go through a model together: longer samples make smaller passes, with the result of the whole batch."""
PROXY = {"width": 64, "layers": 3, "heads": 4, "tokens": 2_500_000, "context": 128, "batch": 16, "learning_rate": 6e-3}
PARAMETERS, VOCABULARY = 0.3e6, 2048
"""Of that proxy, with its vectors of tokens, for the hours."""
ROLES = 8
"""Tokens that a turn takes beside what is said, at most, in usual templates; and so many turns more for their frame."""
ANSWERED = 4.0
"""Fine-tuning and answering over the same tokens of pretraining."""


@dataclass(frozen=True, repr=False)
class Chats(Brief):
    """The chats of a language."""

    language: str
    """Tag."""
    name: str
    """English name."""
    spelt: str
    """How folders, files or labels spell it."""
    samples: int
    """Conversations that end with an answer."""
    bytes: int
    """UTF-8 bytes of all that is said."""
    is_trained: bool
    """Whether the study trains on it; else it is only measured."""


@dataclass(frozen=True, repr=False)
class ChatProposal(Shown):
    """A study file for chats, and what it rests on."""

    study: Mapping[str, Any]
    """The fields of the study file."""
    kept: tuple[Chats, ...]
    """Languages of the study, the pivot first, then those with most samples."""
    left_out: Mapping[str, str]
    """Folder, file, label or language that is not in the study, to the reason."""
    remarks: tuple[str, ...]
    """What else there is to know."""
    longest: int
    """Tokens of the longest sample, or the most that it can have."""
    is_counted: bool
    """Whether they were counted with the model's tokenizer."""
    machine: str
    """What there is to train with, in words."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return {
            "study": dict(self.study),
            "languages": [asdict(one) for one in self.kept],
            "left_out": dict(self.left_out),
            "remarks": list(self.remarks),
            "machine": self.machine,
        }

    def to_polars(self) -> pl.DataFrame:
        """One row per language of the study: ``language``, its English ``name``, ``spelt`` (what folders, files or
        labels call it), ``samples``, ``bytes`` of text, ``is_trained`` (else it is only measured)."""
        import polars as pl

        return pl.DataFrame([asdict(one) for one in self.kept])

    def table(self) -> RenderableType:
        """The languages, for a terminal of 80 characters or a notebook."""
        from rich.console import Group

        columns = (
            ("name", [one.name for one in self.kept]),
            ("chats", [f"{one.samples:,}" for one in self.kept]),
            ("bytes of one", [f"{one.bytes / one.samples:,.0f}" for one in self.kept]),
            ("trained on", ["yes" if one.is_trained else "only measured" for one in self.kept]),
            ("from", ["" if one.spelt == one.language else one.spelt for one in self.kept]),
        )
        return Group(*by_group("Chats", [one.language for one in self.kept], columns))


def propose_for_chats(wish: ProposalWish) -> ChatProposal:
    """A study of how many chats of which languages fine-tuning needs.

    Raises:
        BadInput: fewer than two languages with enough chats; no model, and a language that the embedded corpus, on
            which a small proxy could be trained, does not have.
    """
    base, folder, model, progress = wish.base, wish.folder, wish.model, wish.progress
    source, spelt, left_out = _source(wish.layout, base)
    there: dict[str, list[Sample]] = {}
    for number, (language, spelling) in enumerate(spelt.items()):
        progress(f"Looking at {language}", number, len(spelt))
        try:
            there[language] = read_all(checked(SourceConfig, source), TASK, (language,), base)[language]
        except BadInput as error:
            left_out[spelling] = f"{Language.resolve(language).name} cannot be read: {error}"
    if _shares_ids(there):
        source["parallel"] = True
    order = sorted(there, key=lambda one: (-len(there[one]), one))
    for language in [one for one in order if len(there[one]) < LEAST_TESTED]:
        left_out[_called(language)] = f"{len(there[language])} chats, too few to measure on"
        order.remove(language)
    trained = [one for one in order if len(there[one]) >= LEAST_TRAINED]
    _two_or_more(trained, there, left_out, folder)
    kind = "proxy" if model is None else "model"
    if model is None and (unknown := [one for one in order if one not in embedded_languages()]):
        raise BadInput(
            f"no model to fine-tune: a small proxy is trained on text that glotmix makes itself, and there is none in "
            f"{', '.join(map(_called, unknown[:6]))}{' …' if len(unknown) > 6 else ''}",
            where=folder,
            expected="--model: a folder with your model, or owner/name on the hub",
        )
    pivot = "eng_Latn" if "eng_Latn" in trained else trained[0]
    others = [one for one in trained if one != pivot]
    smallest = min(len(there[one]) for one in trained)
    test = max(LEAST_TESTED, min(MOST_TEST, int(TEST_SHARE * smallest)))
    validation = 0 if model is None else max(1, min(MOST_VALIDATION, int(VALIDATION_SHARE * smallest)))
    longest, is_counted = _longest(there, order, model, base)
    device, workers, machine = this_machine()
    rest = min(len(there[one]) for one in others) - test - validation
    some = [sample for one in trained for sample in there[one]]
    mean = sum(len(sample.text.encode("utf-8", "surrogatepass")) for sample in some) / len(some)
    sizes = _sizes(
        min(rest, MOST_SAMPLES[kind]), len(others), mean / 3, SPEED[device] * workers * wish.hours * 3600, model
    )
    pivot_samples = min(len(there[pivot]) - test - validation, max(sizes))
    outside = [one for one in order if one not in trained]
    passes = _passes(BATCH[kind], longest)
    context = max(128, min(512, 1 << (longest - 1).bit_length()))
    study = {
        "kind": "posttraining",
        "name": (wish.name or f"Chats in {len(order)} languages of {folder}")[:100],
        "pivot": pivot,
        "languages": others,
        **({"outside": outside} if outside else {}),
        **({"corpus": {"reader": "embedded", "bytes_per_language": 600_000}} if model is None else {}),
        **({"tokens": {"vocab_size": VOCABULARY, "held_out_tokens": 5000}} if model is None else {}),
        "bases": {_named(model): {"model": model}} if model else {"small": {"proxy": {**PROXY, "context": context}}},
        "tasks": {
            TASK: {"train": source, "test_samples": test, "validation_samples": validation, "leakage": "drop"}
        },
        "grids": [{"samples": [0, *sizes], "pivot_samples": pivot_samples, "seeds": SEEDS}],
        "finetuning": {
            **({} if model is None else {"method": "lora"}),
            "batch": BATCH[kind],
            **({} if passes == BATCH[kind] else {"micro_batch": passes}),
            "epochs": EPOCHS[kind],
            "learning_rate": 4e-3 if model is None else 1e-4,
            "decay": "cosine",
            "warmup": 0.05,
            "save_every": 100 if model is None else 25,
            "context": longest,
            **({"precision": "bfloat16"} if model is not None and device == "cuda" else {}),
        },
        **({"sweep": {"workers": 1, "device": "cuda"}} if model is not None and device == "cuda" else {}),
    }  # fmt: skip
    kept = tuple(
        Chats(
            language,
            Language.resolve(language).name,
            spelt[language],
            len(there[language]),
            sum(len(sample.text.encode("utf-8", "surrogatepass")) for sample in there[language]),
            language in trained,
        )
        for language in (pivot, *others, *outside)
    )
    return ChatProposal(study, kept, left_out, (), longest, is_counted, machine)


def _shares_ids(there: Mapping[str, Sequence[Sample]]) -> bool:
    """Whether an id stands in several languages: then it is that of translations, or else of nothing."""
    seen = Counter(id for samples in there.values() for id in {sample.id for sample in samples})
    return any(count > 1 for count in seen.values())


def _called(language: str) -> str:
    return f"{Language.resolve(language).name} ({language})"


def _named(model: str) -> str:
    """A model's name as a study file takes it."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", model.rstrip("/").rpartition("/")[2]).strip("-.") or "model"


def _two_or_more(
    trained: Sequence[str], there: Mapping[str, Sequence[Sample]], left_out: Mapping[str, str], folder: str
) -> None:
    if len(trained) > 1:
        return
    counts = ", ".join(f"{len(samples)} in {_called(one)}" for one, samples in there.items()) or "none"
    why = "".join(f"\n  {name}: {reason}" for name, reason in list(left_out.items())[:12])
    raise BadInput(
        f"chats that can be used: {counts}" + (f"; left out:{why}" if why else ""),
        where=folder,
        expected=f"{LEAST_TRAINED} chats or more in two languages or more, as samples of languages are weighed",
    )


def _source(layout: Layout, base: Path) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """Fields of the task's source, how each language is spelt, and what is left out."""
    assert layout.chat is not None
    assert layout.chat.chat is not None
    source: dict[str, Any] = {"source": layout.chat.chat}
    left_out = dict(layout.left_out)
    if layout.labelled:
        config = checked(CorpusConfig, layout.corpus)
        spelt, unknown = _labels(config, base)
        left_out |= {label: f"a label that is no language, on {rows:,} rows" for label, rows in unknown.items()}
        source |= {"path": layout.corpus["path"], "language_field": layout.corpus["language_field"]}
        return source | ({"labels": dict.fromkeys(unknown, LEFT_OUT)} if unknown else {}), spelt, left_out
    reader = open_reader(checked(CorpusConfig, layout.corpus), list(layout.languages), base)
    names, spelt = {}, {}
    for language, spelling in layout.languages.items():
        place = _place(reader, language)
        if place is None:
            left_out[spelling] = f"{Language.resolve(language).name} is in several places: lay them into one folder"
        else:
            names[language], spelt[language] = place, spelling
    return source | {"path": "{name}", "names": _relative(names, layout.corpus["path"], reader, base)}, spelt, left_out


def _place(reader: Reader, language: str) -> Path | None:
    """The one folder or file that holds a language."""
    places = reader.places(language)
    files = [path for _, path in reader.listing(language).files]
    return places[0] if len(places) == 1 else files[0] if len(files) == 1 else None


def _relative(names: Mapping[str, Path], path: str, reader: Reader, base: Path) -> dict[str, str]:
    """Places as a study file names them: below the path that was given."""
    root = base / Path(path).expanduser()
    return {
        language: (Path(path) / place.relative_to(root)).as_posix() if place != root else path
        for language, place in names.items()
    }


def _labels(config: CorpusConfig, base: Path) -> tuple[dict[str, str], dict[str, int]]:
    """Languages that rows name, to their spelling, and labels that are no language with their rows."""
    assert config.language_field is not None
    labels, unknown, spelt = Labels(), Counter[str](), dict[str, str]()
    for _, path in open_reader(config, [], base).listing("").files:
        for row in read_rows(path, wanted=Wanted((config.language_field,))):
            value = value_of(row.fields, config.language_field)
            try:
                label = labels.read(value, field=config.language_field, place=row.place)
            except BadInput:
                unknown[str(value)] += 1
                continue
            if label.tag is not None:
                spelt.setdefault(label.tag, label.spelling)
    return spelt, dict(unknown)


def _longest(
    there: Mapping[str, Sequence[Sample]], languages: Sequence[str], model: str | None, base: Path
) -> tuple[int, bool]:
    """Tokens of the longest sample: counted where the model lies here, else no more than its bytes and its roles."""
    samples = [sample for language in languages for sample in there[language]]
    if model is not None and (base / Path(model).expanduser()).is_dir():
        try:
            tokenizer = load_chat_tokenizer(base / Path(model).expanduser())
            return max(len(encode(tokenizer, sample)) for sample in samples), True
        except GlotmixError:  # pre-flight says so
            pass
    most = max(len(s.text.encode("utf-8", "surrogatepass")) + ROLES * (len(s.messages) + ROLES) for s in samples)
    return -(-most // 32) * 32, False


def _passes(batch: int, longest: int) -> int:
    """Samples of a pass: the largest part of the batch whose longest samples stay small enough."""
    return next(n for n in range(batch, 0, -1) if batch % n == 0 and (n * longest <= PASS_TOKENS or n == 1))


def _sizes(most: int, languages: int, tokens: float, budget: float, model: str | None) -> list[int]:
    """Samples of each language: the largest that fits the budget (FLOPs; of a proxy alone), and parts of it."""

    def sizes(largest: int) -> list[int]:
        return sorted({max(1, largest // part) for part in PARTS})

    def work(largest: int) -> float:
        samples = sum(largest + size * languages for size in (0, *sizes(largest)))
        return SEEDS * samples * EPOCHS["proxy"] * tokens * 6 * PARAMETERS * ANSWERED

    while model is None and most > 1 and work(most) > budget:
        most //= 2
    return sizes(most)
