"""Weights on disk: a directory that transformers opens as a Llama, and the state of a stack in mid-run.

Everything is safetensors and JSON; nothing on disk can run code. A file's metadata holds a digest of its tensors, which
is compared when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from glotmix.artifact import read_json, write_json
from glotmix.errors import BadInput, Corrupt, GlotmixError
from glotmix.proxy.model import ROPE_BASE, Parameters, Shape
from glotmix.proxy.stack import Stack

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
OPTIMISER = "optimizer.safetensors"
"""AdamW's moments beside the weights, under the same names after ``first.`` and ``second.``."""
DIGEST = "sha256"
"""Field of a file's metadata."""


MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
"""Kinds of models that a :class:`Shape` can describe, by the ``model_type`` of their ``config.json``."""


def to_llama_config(shape: Shape, *, end_of_document: int | None = None) -> dict[str, Any]:
    """The ``config.json`` with which transformers opens a model of this shape: a ``LlamaForCausalLM``, or where it has
    biases or norms of heads a ``Qwen2ForCausalLM`` or ``Qwen3ForCausalLM``."""
    kind, name = ("qwen3", "Qwen3") if shape.head_norms else ("qwen2", "Qwen2") if shape.biases else ("llama", "Llama")
    config = {
        "architectures": [f"{name}ForCausalLM"],
        "model_type": kind,
        "vocab_size": shape.vocab,
        "hidden_size": shape.width,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.groups,
        "head_dim": shape.head_width,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.epsilon,
        "rope_theta": shape.rope_base,
        "tie_word_embeddings": shape.tied,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": end_of_document,
        "eos_token_id": end_of_document,
        "torch_dtype": "float32",
    }
    if shape.rope_scaling is not None:
        config["rope_scaling"] = {"rope_type": "llama3", **dict(zip(_SCALING, shape.rope_scaling, strict=True))}
    return config


def to_llama_state_dict(parameters: Parameters, shape: Shape, k: int = 0) -> dict[str, Tensor]:
    """Model k of a stack under transformers' names, every matrix ``[out, in]``, fp32 on the CPU."""
    model_k = {name: tensor[k].detach().float().cpu() for name, tensor in parameters.items()}
    state = {"model.embed_tokens.weight": model_k["embedding"], "model.norm.weight": model_k["norm"]}
    if not shape.tied:
        state["lm_head.weight"] = model_k["head"]
    widths = [shape.query_width, *2 * [shape.groups * shape.head_width]]
    for i in range(shape.layers):
        ours, theirs = f"layers.{i}.", f"model.layers.{i}."
        state |= {theirs + name: model_k[ours + own] for name, own in _vectors(shape).items()}
        for name, matrix in zip("qkv", model_k[ours + "qkv"].split(widths, -1), strict=True):
            state[f"{theirs}self_attn.{name}_proj.weight"] = matrix.T
        if shape.biases:
            for name, bias in zip("qkv", model_k[ours + "qkv_bias"].split(widths, -1), strict=True):
                state[f"{theirs}self_attn.{name}_proj.bias"] = bias
        state[theirs + "self_attn.o_proj.weight"] = model_k[ours + "out"].T
        gate, up = model_k[ours + "gate_up"].chunk(2, -1)
        state[theirs + "mlp.gate_proj.weight"], state[theirs + "mlp.up_proj.weight"] = gate.T, up.T
        state[theirs + "mlp.down_proj.weight"] = model_k[ours + "down"].T
    return {name: tensor.contiguous() for name, tensor in state.items()}


def from_llama_state_dict(state: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """The inverse of :func:`to_llama_state_dict`: parameters with K = 1."""
    parameters = {"embedding": state["model.embed_tokens.weight"], "norm": state["model.norm.weight"]}
    if not shape.tied:
        parameters["head"] = state["lm_head.weight"]
    for i in range(shape.layers):
        ours, theirs = f"layers.{i}.", f"model.layers.{i}."
        parameters |= {ours + own: state[theirs + name] for name, own in _vectors(shape).items()}
        parameters[ours + "qkv"] = torch.cat([state[f"{theirs}self_attn.{name}_proj.weight"].T for name in "qkv"], -1)
        if shape.biases:
            parameters[ours + "qkv_bias"] = torch.cat([state[f"{theirs}self_attn.{n}_proj.bias"] for n in "qkv"])
        parameters[ours + "out"] = state[theirs + "self_attn.o_proj.weight"].T
        parameters[ours + "gate_up"] = torch.cat([state[f"{theirs}mlp.{n}_proj.weight"].T for n in ("gate", "up")], -1)
        parameters[ours + "down"] = state[theirs + "mlp.down_proj.weight"].T
    return {name: parameters[name].float().contiguous().unsqueeze(0) for name in shape.tensors()}


def _vectors(shape: Shape) -> dict[str, str]:
    """Norms of a layer: transformers' name to ours."""
    norms = {"input_layernorm.weight": "attention_norm", "post_attention_layernorm.weight": "feed_forward_norm"}
    heads = {"self_attn.q_norm.weight": "query_norm", "self_attn.k_norm.weight": "key_norm"}
    return norms | (heads if shape.head_norms else {})


def save_checkpoint(
    directory: Path, parameters: Parameters, shape: Shape, *, k: int = 0, end_of_document: int | None = None
) -> None:
    """Write model k as ``config.json`` and ``model.safetensors``, which ``LlamaForCausalLM.from_pretrained`` opens."""
    directory.mkdir(parents=True, exist_ok=True)
    save_tensors(directory / WEIGHTS, to_llama_state_dict(parameters, shape, k), {"format": "pt"})
    write_json(directory / CONFIG, to_llama_config(shape, end_of_document=end_of_document))


def save_optimiser(directory: Path, stack: Stack, k: int) -> None:
    """Write AdamW's moments of model k beside its weights, so that its training can go on."""
    tensors = {
        f"{moment}.{name}": tensor
        for moment, flat_KP in (("first", stack.first_KP), ("second", stack.second_KP))
        for name, tensor in to_llama_state_dict(stack.views(flat_KP), stack.shape, k).items()
    }
    save_tensors(directory / OPTIMISER, tensors, {"updates": str(stack.updates)})


def load_into(stack: Stack, k: int, directory: Path) -> None:
    """Put weights, moments and the number of updates of a checkpoint into model k of a stack.

    Raises:
        BadInput: no such checkpoint, without its optimiser, or of another shape.
        Corrupt: a file is truncated or changed since it was written.
    """
    shape, master = load_checkpoint(directory)
    if shape != stack.shape:
        raise BadInput(f"is of shape {shape}", where=directory, expected=f"that of the proxies, {stack.shape}")
    path = directory / OPTIMISER
    tensors, updates = _load(path), _metadata(path).get("updates", "")
    try:
        moments = [
            from_llama_state_dict(
                {name.removeprefix(f"{moment}."): x for name, x in tensors.items() if name.startswith(f"{moment}.")},
                shape,
            )
            for moment in ("first", "second")
        ]
        stack.load_member(k, master, moments[0], moments[1], int(updates))
    except (KeyError, RuntimeError, IndexError, ValueError) as error:
        raise Corrupt(f"{path}: does not fit {WEIGHTS}: {_first_line(error)}") from None


def load_checkpoint(directory: Path) -> tuple[Shape, dict[str, Tensor]]:
    """Shape and parameters (K = 1, fp32) of a model on disk: what :func:`save_checkpoint` wrote, or anybody's Llama, in
    one file or several.

    Raises:
        BadInput: no checkpoint there, or of a model that a :class:`Shape` does not describe.
        Corrupt: the weights are truncated or do not fit the configuration.
    """
    shape = load_shape(directory)
    state = _load_all(directory)
    try:
        parameters = from_llama_state_dict(state, shape)
    except (KeyError, RuntimeError, IndexError) as error:
        raise Corrupt(f"{directory / WEIGHTS}: does not fit {CONFIG}: {_first_line(error)}") from None
    for name, size in shape.tensors().items():
        if tuple(parameters[name].shape[1:]) != size:
            raise Corrupt(f"{directory / WEIGHTS}: {name} is {tuple(parameters[name].shape[1:])}, {size} by {CONFIG}")
    return shape, parameters


def load_shape(directory: Path) -> Shape:
    """Shape of a model on disk, from its ``config.json`` alone; its context is the longest that the model knows.

    Raises:
        BadInput: there is none, or it is that of a model that a :class:`Shape` does not describe.
    """
    where = directory / CONFIG
    config = read_json(where)
    if not isinstance(config, dict):
        raise BadInput(f"holds a {type(config).__name__}", where=where, expected="the configuration of a Llama")
    for name in _FIELDS.values():
        if name not in config:
            raise BadInput(f"no field {name!r}", where=where, expected="the configuration of a Llama")
    kind = config.get("model_type", "llama")
    if kind not in MODEL_TYPES:
        raise BadInput(f"model_type = {kind!r}", where=where, expected=" | ".join(MODEL_TYPES))
    sizes = {ours: config[theirs] for ours, theirs in _FIELDS.items()}
    more = {ours: config[name] for ours, name in _OPTIONAL.items() if config.get(name) is not None}
    for name, size in (sizes | more).items():
        if type(size) is not int or not 1 <= size < 1 << 31:
            field = {**_FIELDS, **_OPTIONAL}[name]
            raise BadInput(f"{field} = {size!r}", where=where, expected="a whole number from 1")
    tied = config.get("tie_word_embeddings", False)
    if type(tied) is not bool:
        raise BadInput("tie_word_embeddings is no truth value", where=where, expected="true or false")
    _check_details(config, kind, where)
    if kind == "mistral" and isinstance(window := config.get("sliding_window"), int):
        sizes["context"] = min(sizes["context"], window)  # within it every token is seen
    try:
        shape = Shape(
            **sizes,
            tied=tied,
            epsilon=_positive(config, "rms_norm_eps", 1e-6, where),
            biases=kind == "qwen2",
            head_norms=kind == "qwen3",
            **_rope(config, where),
            **more,
        )
    except BadInput as error:
        raise BadInput(error.message, where=error.where or where) from None
    return replace(
        shape,
        kv_heads=None if shape.groups == shape.heads else shape.groups,
        head_size=None if shape.query_width == shape.width else shape.head_width,
    )


def _check_details(config: Mapping[str, Any], kind: str, where: Path) -> None:
    """What would make another model of it, and is told nowhere else."""
    expected: dict[str, tuple[Any, ...]] = {"hidden_act": ("silu",), "mlp_bias": (False, None)}
    expected |= {"attention_bias": (False, None)}  # its output matrix would have one too
    if kind == "qwen2":
        expected["use_sliding_window"] = (False, None)
    for name, values in expected.items():
        if name in config and config[name] not in values:
            raise BadInput(f"{name} = {config[name]!r}", where=where, expected=repr(values[0]))


def _rope(config: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """Base and scaling of the rotary frequencies, as older and newer versions of transformers write them."""
    told = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(told, dict):
        raise BadInput(f"rope_scaling = {told!r}", where=where, expected="a mapping")
    base = _positive({**config, **told}, "rope_theta", ROPE_BASE, where)
    kind = told.get("rope_type", told.get("type", "default"))
    if kind == "default":
        return {"rope_base": base}
    if kind != "llama3":
        raise BadInput(f"rope_type = {kind!r}", where=where, expected="default | llama3")
    return {"rope_base": base, "rope_scaling": tuple(_positive(told, name, None, where) for name in _SCALING)}


def _positive(config: Mapping[str, Any], name: str, default: float | None, where: Path) -> float:
    value = config.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise BadInput(f"{name} = {value!r}", where=where, expected="a number above 0")
    return float(value)


_FIELDS = {
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "feed_forward": "intermediate_size",
    "vocab": "vocab_size",
    "context": "max_position_embeddings",
}
"""Ours to transformers' name."""
_OPTIONAL = {"kv_heads": "num_key_value_heads", "head_size": "head_dim"}
"""The same where a configuration may leave them out."""
_SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
"""Fields of Llama 3.1's scaling."""


def _load_all(directory: Path) -> dict[str, Tensor]:
    """The tensors of a model, whether they lie in one file or in those that an index names."""
    index = directory / f"{WEIGHTS}.index.json"
    if not index.is_file():
        return _load(directory / WEIGHTS)
    told = read_json(index)
    names = told.get("weight_map") if isinstance(told, dict) else None
    if not isinstance(names, dict) or any(Path(str(name)).name != name for name in names.values()):
        raise BadInput("names no files beside it", where=index, expected="weight_map: tensors to files")
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(names.values())):
        tensors |= _load(directory / name)
    return tensors


def _load(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, compared with the digest that it holds (those of others hold none)."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            told = (file.metadata() or {}).get(DIGEST)
    except FileNotFoundError:
        raise BadInput("no such file", where=path) from None
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise Corrupt(f"{path}: not readable as safetensors: {_first_line(error)}") from None
    if told is not None and told != digest(tensors):
        raise Corrupt(f"{path}: weights changed since they were written (digest differs)")
    if any(tensor.ndim not in (1, 2) for tensor in tensors.values()):
        raise Corrupt(f"{path}: holds a tensor that is neither vector nor matrix")
    return tensors


def told_digest(path: Path) -> str | None:
    """The digest of its tensors that a file of ours holds; None in one of somebody else's, or one that is damaged."""
    return _metadata(path).get(DIGEST)


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError):
        return {}


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def digest(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """SHA-256 of tensors and of ``text``."""
    hashed = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        hashed.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def save_state(path: Path, stack: Stack, made_from: Mapping[str, Any], progress: Mapping[str, Any]) -> None:
    """Everything that a stack needs to go on after ``progress``, in one file that is there whole or not at all.

    Args:
        made_from: JSON value that must be equal when the state is loaded.
        progress: JSON value that is handed back.
    """
    tensors = {"master": stack.master_KP.cpu(), "first": stack.first_KP.cpu(), "second": stack.second_KP.cpu()}
    precision = str(stack.dtype).removeprefix("torch.")
    description = {"made_from": made_from, "progress": progress, "shape": asdict(stack.shape)} | {
        "precision": precision,
        "updates": stack.updates,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, {name: tensor.detach() for name, tensor in tensors.items()}, {"state": json.dumps(description)})


def load_state(path: Path, stack: Stack, made_from: Mapping[str, Any]) -> dict[str, Any] | None:
    """Put a saved state into ``stack``; its progress, or None when there is no state or it was made by another plan.

    Raises:
        BadInput: it was saved by the same plan in another precision.
        Corrupt: it cannot be read, or its weights changed since it was written.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            description = json.loads(metadata["state"])
            if description["made_from"] != json.loads(json.dumps(made_from)):
                return None
            if description["shape"] != asdict(stack.shape) or DIGEST not in metadata:
                return None
            _check_precision(path, description.get("precision"), stack)
            tensors = {name: file.get_tensor(name) for name in ("master", "first", "second")}
            updates = int(description["updates"])
        if metadata[DIGEST] != digest(tensors, metadata["state"]):
            raise ValueError("changed since it was written (digest differs)")
        if any(tensor.shape != stack.master_KP.shape for tensor in tensors.values()):
            raise ValueError("holds the state of another stack")
        stack.load(**{f"{name}_KP": tensor.to(stack.device) for name, tensor in tensors.items()}, updates=updates)
        return dict(description["progress"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError, RecursionError) as error:
        raise Corrupt(f"{path}: {_first_line(error)}; delete it to start the runs anew") from None


def _check_precision(path: Path, saved: object, stack: Stack) -> None:
    mine = str(stack.dtype).removeprefix("torch.")
    if saved != mine:
        raise BadInput(
            f"was saved by a run in {saved or 'an unknown precision'}, this one is in {mine}",
            where=path,
            expected=f"proxy.precision: {saved or 'as it was'} to go on, or the file deleted to start anew",
        )


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a file of tensors on the CPU with their digest; it is there whole or not at all.

    Raises:
        GlotmixError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        save_file(tensors, part, metadata | {DIGEST: digest(tensors, metadata.get("state", ""))})
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise GlotmixError(f"{path}: cannot be written: {error}") from error
