"""Data in which a token tells its language: documents of language i hold the id i + 3 alone."""

import json
from pathlib import Path
from statistics import NormalDist

import numpy as np

FIRST_ID = 3
"""Ids below are for padding, end of text and unknown words."""


def tokenizer(folder, count, **config):
    """A tokenizer of words ``w0``, ``w1``, ... in transformers' format; ``config`` adds to its settings."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {"[PAD]": 0, "[EOS]": 1, "[UNK]": 2, **{f"w{i}": i + FIRST_ID for i in range(count)}}
    special = [
        {"id": i, "content": word, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True}
        for word, i in list(vocabulary.items())[:3]
    ]  # fmt: skip
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    document = {"version": "1.0", "added_tokens": special, "pre_tokenizer": {"type": "Whitespace"}, "model": model}
    document |= {"normalizer": None, "post_processor": None, "decoder": None, "truncation": None, "padding": None}
    document["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "eos_token": "[EOS]",
              "unk_token": "[UNK]", "model_max_length": 1_000_000}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def lengths(count, seed):
    """Tokens of the documents of a language, without the end-of-text token: lognormal, some far beyond a sequence.

    In an order in which every part of them has nearly the mean of all (van der Corput's), so that a trainer that reads
    the first rows is not off by the chance of their lengths.
    """
    places = [int(f"{k + 1:024b}"[::-1], 2) / 2**24 for k in range(count)]
    mean = np.log(40 + 25 * (seed % 5))
    sizes = [np.exp(mean + 0.5 * NormalDist().inv_cdf(min(max(place, 1e-4), 1 - 1e-4))) for place in places]
    return np.maximum(2, np.array(sizes)).astype(int)


def write_jsonl(path, index, sizes):
    """One language as JSON Lines of text."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": " ".join([f"w{index}"] * int(size))}) + "\n" for size in sizes))


def model(folder, vocabulary):
    """A Llama of next to no parameters, for the trainers that start from one on disk."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=vocabulary, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                         num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=4096,
                         bos_token_id=1, eos_token_id=1, pad_token_id=0)  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
