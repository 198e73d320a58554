"""A finished run whose influence is asked: its model, its checkpoints, its tokenizer, wherever it was trained.

Understood are directories of transformers models and of LoRA adapters, alone or with checkpoints below them
(``checkpoint-500`` of transformers' trainer, ``epoch-1``, a proxy's ``checkpoints/step-500``). Learning rates are read
from ``trainer_state.json`` where there is one. Nothing is fetched from the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from glotmix.artifact import read_json
from glotmix.attribution.gradients import Loss
from glotmix.attribution.samples import classification_loss, context_of, next_token_loss
from glotmix.attribution.tracin import Checkpoint
from glotmix.errors import BadInput, MissingExtra
from glotmix.tokens.tokenizer import load_tokenizer

MODEL, ADAPTER = "config.json", "adapter_config.json"
NUMBERED = re.compile(r"^(?:checkpoint|epoch|step)-(\d+)$")


@dataclass(frozen=True)
class FinishedRun:
    """What influence needs to know of a run."""

    directory: Path
    """Where it lies."""
    model: nn.Module
    """The model, with the weights of the last checkpoint."""
    loss: Loss
    """Per-sample losses of its task."""
    checkpoints: tuple[Checkpoint, ...]
    """Its moments, in order."""
    classes: tuple[str, ...] | None
    """Classes of a classifier; None for a language model."""
    context: int | None
    """Longest sequence."""


def open_run(directory: Path, names: Sequence[str] | None = None) -> FinishedRun:
    """Open a finished run.

    Args:
        directory: see the module.
        names: checkpoints to use; all of them by default.

    Raises:
        BadInput: no model there, no such checkpoints, or a model that is neither a classifier nor a causal language
            model.
        MissingExtra: transformers (or peft, for adapters) is not installed.
    """
    places = _checkpoints(directory)
    if names is not None:
        known = [place.name for place in places]
        if unknown := [name for name in names if name not in known]:
            raise BadInput(f"no checkpoint {unknown[0]}", where=directory, expected=f"among {', '.join(known)}")
        places = [place for place in places if place.name in names]
    last = places[-1]
    model, classes = _adapted(last) if (last / ADAPTER).is_file() else _plain(last)
    checkpoints = tuple(Checkpoint(place.name, place, _rate(place)) for place in places)
    if (last / ADAPTER).is_file():
        checkpoints = tuple(replace(c, weights=_adapter_weights(model, c)) for c in checkpoints)
    return FinishedRun(
        directory,
        model,
        next_token_loss if classes is None else classification_loss,
        checkpoints,
        classes,
        context_of(model.config),
    )


@contextmanager
def quiet() -> Iterator[None]:
    """transformers without its bars and its remarks on heads that are new; they come back afterwards."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _checkpoints(directory: Path) -> list[Path]:
    """Directories of its moments in order; the directory itself where there are none below it."""
    if not directory.is_dir():
        raise BadInput("no such directory", where=directory, expected="a finished run, a model or an adapter")
    below = [*directory.glob("checkpoints/*"), *directory.glob("*")]
    numbered = [(int(match[1]), path) for path in below if (match := NUMBERED.match(path.name)) and _is_model(path)]
    if numbered:
        return [path for _, path in sorted(numbered)]
    if _is_model(directory):
        return [directory]
    raise BadInput(
        "no checkpoints in it",
        where=directory,
        expected=f"{MODEL} or {ADAPTER}, here or in checkpoint-*, epoch-* or step-* (proxies: keep_checkpoints: true)",
    )


def _is_model(path: Path) -> bool:
    return (path / MODEL).is_file() or (path / ADAPTER).is_file()


def _rate(directory: Path) -> float | None:
    """Learning rate at a checkpoint, of transformers' own trainer or ours; None where nobody wrote it down."""
    path = directory / "trainer_state.json"
    if not path.is_file():
        return None
    history = read_json(path).get("log_history", [])
    rates = [row["learning_rate"] for row in history if "learning_rate" in row]
    return float(rates[-1]) if rates else None


def _plain(directory: Path) -> tuple[Any, tuple[str, ...] | None]:
    """The model in fp32, whatever it was saved in: products of gradients with eight bits say little."""
    try:
        import torch
        import transformers
    except ImportError:
        raise MissingExtra("transformers", "posttrain") from None
    kind = _kind(directory)
    Auto = getattr(transformers, f"AutoModelFor{kind}")
    try:
        with quiet():
            model = Auto.from_pretrained(directory, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"cannot be opened: {str(error).splitlines()[0]}", where=directory) from None
    return model, _classes(model.config) if kind == "SequenceClassification" else None


def _kind(directory: Path) -> str:
    architectures = read_json(directory / MODEL).get("architectures") or [""]
    for kind in ("SequenceClassification", "CausalLM"):
        if architectures[0].endswith(f"For{kind}") or (architectures[0].endswith("LMHeadModel") and kind == "CausalLM"):
            return kind
    raise BadInput(
        f"architectures = {architectures}",
        where=directory / MODEL,
        expected="a model for sequence classification or a causal language model",
    )


def _classes(config: Any) -> tuple[str, ...]:
    return tuple(str(config.id2label[i]) for i in range(config.num_labels))


def _adapted(directory: Path) -> tuple[Any, tuple[str, ...] | None]:
    try:
        import peft
    except ImportError:
        raise MissingExtra("peft", "posttrain") from None
    settings = read_json(directory / ADAPTER)
    base = Path(str(settings.get("base_model_name_or_path")))
    base = base if base.is_absolute() else next((p for p in (directory / base, base) if p.is_dir()), base)
    if not base.is_dir():
        raise BadInput(
            f"base_model_name_or_path = {str(base)!r}",
            where=directory / ADAPTER,
            expected="a directory on this machine (download the model and set its path)",
        )
    model, classes = _plain(base)
    if settings.get("task_type") == "SEQ_CLS" and classes is None:
        raise BadInput("an adapter of a classifier", where=directory, expected=f"a classifier in {base}")
    return peft.PeftModel.from_pretrained(model, str(directory), is_trainable=True), classes


def _adapter_weights(model: Any, checkpoint: Checkpoint) -> dict[str, Any]:
    """All weights of the model with this checkpoint's adapter."""
    from peft import load_peft_weights, set_peft_model_state_dict

    set_peft_model_state_dict(model, load_peft_weights(str(checkpoint.weights), device="cpu"))
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


AROUND = 4
"""Directories above a checkpoint in which its tokenizer is looked for: its run, the runs, and their study."""


class TokenizerEncoder:
    """The tokenizer that lies beside a model, or its ``tokenizer.json`` alone; of a study's proxies, the study's."""

    def __init__(self, directory: Path):
        """
        Raises:
            BadInput: no tokenizer there, in the directories around it, or in the study that it is a run of.
        """
        around = [directory, *directory.resolve().parents[:AROUND]]
        near = [path for place in around for path in (place, place / "tokens")]
        found = next((path for path in near if (path / "tokenizer.json").is_file()), None)
        if found is None:
            raise BadInput("no tokenizer.json", where=directory, expected="the model's tokenizer beside it")
        self._special = None
        if any((found / name).is_file() for name in ("tokenizer_config.json", "special_tokens_map.json")):
            from transformers import AutoTokenizer

            self._special = AutoTokenizer.from_pretrained(found, local_files_only=True)
            self.padding = int(self._special.pad_token_id or 0)
        else:
            self._plain = load_tokenizer("tokenizer.json", found)
            self.padding = self._plain.end_of_document

    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None, length: int) -> list[list[int]]:
        """Token ids; a tokenizer alone, which has no way with pairs, puts the end of a document between them."""
        if self._special is not None:
            given = (list(texts),) if pairs is None else (list(texts), list(pairs))
            ids: list[list[int]] = self._special(*given, truncation=True, max_length=length)["input_ids"]
            return ids
        first = self._plain.encode_batch(texts)
        if pairs is not None:
            second, end = self._plain.encode_batch(pairs), self._plain.end_of_document
            first = [[*a[: length // 2], end, *b] for a, b in zip(first, second, strict=True)]
        return [row[:length] for row in first]
