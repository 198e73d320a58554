"""Weights on disk: a directory that transformers opens as a Llama, and the state of a stack in mid-run.

Everything is safetensors and JSON; nothing on disk can run code. A file's metadata holds a digest of its tensors, which
is compared when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from glotmix.artifact import read_json, write_json
from glotmix.errors import BadInput, Corrupt, GlotmixError
from glotmix.proxy.model import NORM_EPSILON, ROPE_BASE, Parameters, Shape
from glotmix.proxy.stack import Stack

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
DIGEST = "sha256"
"""Field of a file's metadata."""


def to_llama_config(shape: Shape, *, end_of_document: int | None = None) -> dict[str, Any]:
    """The ``config.json`` of a transformers ``LlamaForCausalLM`` of this shape."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab,
        "hidden_size": shape.width,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head_width,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": ROPE_BASE,
        "tie_word_embeddings": shape.tied,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": end_of_document,
        "eos_token_id": end_of_document,
        "torch_dtype": "float32",
    }


def to_llama_state_dict(parameters: Parameters, shape: Shape, k: int = 0) -> dict[str, Tensor]:
    """Model k of a stack under transformers' names, every matrix ``[out, in]``, fp32 on the CPU."""
    model_k = {name: tensor[k].detach().float().cpu() for name, tensor in parameters.items()}
    state = {"model.embed_tokens.weight": model_k["embedding"], "model.norm.weight": model_k["norm"]}
    if not shape.tied:
        state["lm_head.weight"] = model_k["head"]
    for i in range(shape.layers):
        ours, theirs = f"layers.{i}.", f"model.layers.{i}."
        state[theirs + "input_layernorm.weight"] = model_k[ours + "attention_norm"]
        state[theirs + "post_attention_layernorm.weight"] = model_k[ours + "feed_forward_norm"]
        for name, matrix in zip("qkv", model_k[ours + "qkv"].chunk(3, -1), strict=True):
            state[f"{theirs}self_attn.{name}_proj.weight"] = matrix.T
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
        parameters[ours + "attention_norm"] = state[theirs + "input_layernorm.weight"]
        parameters[ours + "feed_forward_norm"] = state[theirs + "post_attention_layernorm.weight"]
        parameters[ours + "qkv"] = torch.cat([state[f"{theirs}self_attn.{name}_proj.weight"].T for name in "qkv"], -1)
        parameters[ours + "out"] = state[theirs + "self_attn.o_proj.weight"].T
        parameters[ours + "gate_up"] = torch.cat([state[f"{theirs}mlp.{n}_proj.weight"].T for n in ("gate", "up")], -1)
        parameters[ours + "down"] = state[theirs + "mlp.down_proj.weight"].T
    return {name: parameters[name].float().contiguous().unsqueeze(0) for name in shape.tensors()}


def save_checkpoint(
    directory: Path, parameters: Parameters, shape: Shape, *, k: int = 0, end_of_document: int | None = None
) -> None:
    """Write model k as ``config.json`` and ``model.safetensors``, which ``LlamaForCausalLM.from_pretrained`` opens."""
    directory.mkdir(parents=True, exist_ok=True)
    _save(directory / WEIGHTS, to_llama_state_dict(parameters, shape, k), {"format": "pt"})
    write_json(directory / CONFIG, to_llama_config(shape, end_of_document=end_of_document))


def load_checkpoint(directory: Path) -> tuple[Shape, dict[str, Tensor]]:
    """Shape and parameters (K = 1) of what :func:`save_checkpoint` wrote.

    Raises:
        BadInput: no checkpoint there, or a Llama that differs from a proxy in kind (grouped queries, biases, ...).
        Corrupt: the weights are truncated or do not fit the configuration.
    """
    config = read_json(directory / CONFIG)
    shape = _shape(config, directory / CONFIG)
    for name, expected in to_llama_config(shape).items():
        if name in ("bos_token_id", "eos_token_id", "torch_dtype"):
            continue
        if config.get(name, expected) != expected:
            raise BadInput(f"{name} = {config[name]!r}", where=directory / CONFIG, expected=repr(expected))
    state = _load(directory / WEIGHTS)
    try:
        parameters = from_llama_state_dict(state, shape)
    except (KeyError, RuntimeError, IndexError) as error:
        raise Corrupt(f"{directory / WEIGHTS}: does not fit {CONFIG}: {_first_line(error)}") from None
    for name, size in shape.tensors().items():
        if tuple(parameters[name].shape[1:]) != size:
            raise Corrupt(f"{directory / WEIGHTS}: {name} is {tuple(parameters[name].shape[1:])}, {size} by {CONFIG}")
    return shape, parameters


_FIELDS = {
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "feed_forward": "intermediate_size",
    "vocab": "vocab_size",
    "context": "max_position_embeddings",
}
"""Ours to transformers' name."""


def _shape(config: object, where: Path) -> Shape:
    """The shape that a Llama's configuration describes."""
    if not isinstance(config, dict):
        raise BadInput(f"holds a {type(config).__name__}", where=where, expected="the configuration of a Llama")
    for name in (*_FIELDS.values(), "tie_word_embeddings"):
        if name not in config:
            raise BadInput(f"no field {name!r}", where=where, expected="the configuration of a Llama")
    sizes = {ours: config[theirs] for ours, theirs in _FIELDS.items()}
    for name, size in sizes.items():
        if type(size) is not int or not 1 <= size < 1 << 31:
            raise BadInput(f"{_FIELDS[name]} = {size!r}", where=where, expected="a whole number from 1")
    if type(config["tie_word_embeddings"]) is not bool:
        raise BadInput("tie_word_embeddings is no truth value", where=where, expected="true or false")
    try:
        return Shape(**sizes, tied=config["tie_word_embeddings"])
    except BadInput as error:
        raise BadInput(error.message, where=where) from None


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
    if told is not None and told != _digest(tensors):
        raise Corrupt(f"{path}: weights changed since they were written (digest differs)")
    if any(tensor.ndim not in (1, 2) for tensor in tensors.values()):
        raise Corrupt(f"{path}: holds a tensor that is neither vector nor matrix")
    return tensors


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _digest(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """SHA-256 of tensors and of ``text``."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


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
    _save(path, {name: tensor.detach() for name, tensor in tensors.items()}, {"state": json.dumps(description)})


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
        if metadata[DIGEST] != _digest(tensors, metadata["state"]):
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


def _save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        save_file(tensors, part, metadata | {DIGEST: _digest(tensors, metadata.get("state", ""))})
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise GlotmixError(f"{path}: cannot be written: {error}") from error
