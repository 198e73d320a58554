"""The models that are fine-tuned: pretrained here, or given."""

from __future__ import annotations

from pathlib import Path

from glotmix.artifact import checksum, creating, fingerprint, open_artifact
from glotmix.errors import BadInput, GlotmixError
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.posttraining.cell import Base
from glotmix.posttraining.chat import chat_proxy, load_chat_tokenizer
from glotmix.proxy.config import ProxyConfig
from glotmix.studies.posttraining.config import PosttrainingConfig
from glotmix.study.directory import StudyDirectory
from glotmix.study.training import Training


def open_base(name: str, config: PosttrainingConfig, directory: StudyDirectory) -> Base:
    """A base model that can be talked to: a proxy trained here and given a chat template, or the user's model.

    Raises:
        BadInput: no such model, or one without a chat template.
    """
    given = config.bases[name]
    if given.proxy is not None:
        checkpoint, tokenizer, made_from = _pretrained(name, given.proxy, config, directory)
        return _chat_base(name, checkpoint, tokenizer, made_from, directory.path)
    assert given.model is not None
    base = directory.base
    path = base / Path(given.model).expanduser()
    if given.tokenizer is not None:
        tokenizer = base / Path(given.tokenizer).expanduser()
        made_from = {"weights": _checksum(path / "model.safetensors"), "tokenizer": _checksum(tokenizer)}
        return _chat_base(name, path, tokenizer, made_from, directory.path)
    template = None if given.chat_template is None else base / given.chat_template
    model = str(path.resolve()) if path.is_dir() else given.model
    load_chat_tokenizer(model, template)
    identity = given.model
    if path.is_dir():  # weights by name and size: hashing tens of gigabytes would take longer than a cell
        sizes = {file.name: file.stat().st_size for file in sorted(path.glob("*.safetensors"))}
        identity = fingerprint([_checksum(path / "config.json"), sizes])
    return Base(name, model, template, False, identity)


def _pretrained(
    name: str, proxy: ProxyConfig, config: PosttrainingConfig, directory: StudyDirectory
) -> tuple[Path, Path, dict[str, str]]:
    """A proxy trained on the study's corpus, all languages alike: its checkpoint, its tokenizer, what it is made of."""
    study = Training.in_directory(config.as_training(proxy), directory)
    store = study.tokens()
    equal = Schedule.constant(Mixture.normalised(dict.fromkeys(config.measured, 1.0)))
    tokens = round(study.config.proxy.tokens)
    run = PlannedRun(f"pretraining-{name}", "method", equal, tokens, config.seed, keep=True)
    failed = study.run([run], study.sweep_spec(store, 1), f"Pretraining {name}")
    if failed:
        raise GlotmixError(f"{run.run} failed: {failed[run.run]}")
    folder = directory.path / "runs" / run.run
    done = open_artifact(folder, "run")
    kept = sorted((folder / "checkpoints").glob("step-*"), key=lambda p: int(p.name.removeprefix("step-")))
    if done is None or not kept:
        raise GlotmixError(f"{folder}: no weights were kept; delete it to train it again")
    return kept[-1], store.directory / "tokenizer.json", {"run": done.fingerprint}


def _chat_base(name: str, checkpoint: Path, tokenizer: Path, made_from: dict[str, str], directory: Path) -> Base:
    folder = directory / "bases" / name
    if open_artifact(folder, "chat model", made_from) is None:
        with creating(folder, "chat model", made_from) as part:
            chat_proxy(checkpoint, tokenizer, part)
    found = open_artifact(folder, "chat model", made_from)
    assert found is not None
    return Base(name, str(folder.resolve()), None, True, found.fingerprint)


def _checksum(path: Path) -> str:
    if not path.is_file():
        raise BadInput("no such file", where=path, expected="a model's directory, or a proxy's checkpoint")
    return checksum(path)
