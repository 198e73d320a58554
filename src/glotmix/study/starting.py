"""The model that proxies start from: where it lies, what its shape makes of them, and what its weights are known by."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from glotmix.corpus.readers.reader import sampled_digest
from glotmix.errors import BadInput, MissingExtra
from glotmix.proxy.config import Architecture, ProxyConfig

if TYPE_CHECKING:
    from glotmix.proxy.model import Shape

FIELD = "proxy.base"
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
DESCRIPTION = ("config.json", "tokenizer.json", "tokenizer.model")
"""Beside the weights, all that is read of a model's folder, and fetched of one on the hub."""
OF_SHAPE = ("width", "layers", "heads", "feed_forward", "tied")
"""Fields of a proxy that are those of the model that it starts from."""


def is_local(name: str, base: Path) -> bool:
    """Whether a model is a folder here, and none of the hub."""
    return (base / Path(name).expanduser()).is_dir()


def place_of_base(name: str, base: Path, *, weights: bool = True) -> Path:
    """The folder of a model: a local one, else that of the hub, fetched into its cache.

    Args:
        name: path relative to ``base``, or ``owner/model``.
        base: directory that a relative path starts from (that of the study file).
        weights: whether they are fetched too; a study is checked and priced without them.

    Raises:
        BadInput: there is nothing under that path or name.
    """
    place = base / Path(name).expanduser()
    if is_local(name, base):
        return place
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise BadInput(f"no folder {place}", where=FIELD, expected="a folder with a model, or owner/model on the hub")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtra("huggingface_hub", "train") from None
    try:
        return Path(snapshot_download(name, allow_patterns=[*DESCRIPTION, *(WEIGHTS if weights else ())]))
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(
            f"there is no folder {place}, and the hub does not give {name!r}: {reason}",
            where=FIELD,
            expected="a folder with a model, or owner/model on the hub",
        ) from None


def digest_of(place: Path) -> str:
    """Sixteen digits that change when a model's configuration or weights do (of large files see ``sampled_digest``).

    Raises:
        BadInput: there are no weights.
    """
    weights = sorted(path for pattern in WEIGHTS for path in place.glob(pattern))
    if not any(path.suffix == ".safetensors" for path in weights):
        raise BadInput("no weights in it", where=place, expected="model.safetensors, or several files with their index")
    from glotmix.proxy.checkpoint import told_digest

    whole = sha256()
    for path in (place / "config.json", *weights):
        # What we write tells the digest of its tensors; its header is not the same bytes twice.
        told = told_digest(path) if path.suffix == ".safetensors" else None
        whole.update(f"{path.name}\0".encode() + (sampled_digest(path) if told is None else told.encode()))
    return whole.hexdigest()[:16]


def starting_from(proxy: ProxyConfig, place: Path) -> ProxyConfig:
    """A proxy with the shape of the model in a folder.

    Raises:
        BadInput: the file asks for another shape, or for longer sequences than the model knows.
    """
    from glotmix.proxy.checkpoint import load_shape

    shape = load_shape(place)
    own = {name: getattr(shape, name) for name in OF_SHAPE}
    told = proxy.model_fields_set if proxy.architecture is None else set()
    if proxy.size is not None and proxy.architecture is None:
        raise BadInput("size and base at once", where="proxy.size", expected=f"none: it is that of {proxy.base}")
    for name in OF_SHAPE:
        if name in told and (asked := getattr(proxy, name)) is not None and asked != own[name]:
            raise BadInput(f"{name} = {asked}", where=f"proxy.{name}", expected=f"{own[name]}, that of {proxy.base}")
    if proxy.context > shape.context:
        raise BadInput(
            f"context = {proxy.context}",
            where="proxy.context",
            expected=f"{shape.context} or less, as {proxy.base} has",
        )
    return proxy.model_copy(update={**own, "architecture": architecture_of(shape)})


def architecture_of(shape: Shape) -> Architecture:
    """What a shape has beside width, layers and heads."""
    own = {name: getattr(shape, name) for name in Architecture.model_fields if name != "vocabulary"}
    return Architecture(vocabulary=shape.vocab, **own)
