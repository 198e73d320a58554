"""The contestants of benchmarks/engine.py: each trains the same models on the same batches and tells its losses."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable

import numpy as np

SHAPES = {
    "0.14M": {"width": 64, "layers": 3, "heads": 4, "feed_forward": 176},
    "1M": {"width": 128, "layers": 5, "heads": 4, "feed_forward": 352},
    "5M": {"width": 256, "layers": 6, "heads": 4, "feed_forward": 704},
}
STEPS = {"0.14M": 60, "1M": 20, "5M": 8}
VOCAB, CONTEXT, BATCH = 2048, 128, 16
RATE, DECAY, WARMUP = 4e-3, 0.1, 0.1


def corpus(seed: int, length: int = 400_000) -> np.ndarray:
    """Text with something to learn: each token follows from the one before, three times in four."""
    generator = np.random.default_rng(seed)
    follower = np.random.default_rng(0).permutation(VOCAB)
    fresh = generator.zipf(1.2, length) % VOCAB
    tokens = fresh.copy()
    for i in np.flatnonzero(generator.random(length) < 0.75):
        tokens[i] = follower[tokens[i - 1]]
    return tokens.astype(np.int64)


def batches(proxy: int, steps: int) -> np.ndarray:
    """[steps, B, T + 1] of one proxy."""
    tokens = corpus(1)
    starts = np.random.default_rng([proxy, 7]).integers(0, len(tokens) - CONTEXT - 1, (steps, BATCH))
    return tokens[starts[..., None] + np.arange(CONTEXT + 1)]


def shape_of(name: str):
    from glotmix.proxy.model import Shape

    return Shape(**SHAPES[name], vocab=VOCAB, context=CONTEXT)


def rate_at(step: int, steps: int) -> float:
    """Every contestant's schedule: linear warm-up, cosine to zero."""
    warmup = math.ceil(WARMUP * steps)
    if step < warmup:
        return RATE * (step + 1) / warmup
    return RATE * 0.5 * (1 + math.cos(math.pi * (step - warmup + 1) / (steps - warmup)))


def held_out_nats(parameters, shape) -> list[float]:
    import torch

    from glotmix.proxy import model

    rows = torch.from_numpy(corpus(2, 40 * (CONTEXT + 1)).reshape(40, CONTEXT + 1))
    K = parameters["embedding"].shape[0]
    with torch.no_grad():
        return model.token_losses(parameters, rows.expand(K, -1, -1), shape).mean((1, 2)).tolist()


class Clock:
    """Wall and processor seconds of the parts of a program that are measured."""

    def __init__(self):
        self.seconds = self.processor = 0.0

    def __enter__(self):
        self._began = time.perf_counter(), time.process_time()

    def __exit__(self, *_):
        self.seconds += time.perf_counter() - self._began[0]
        self.processor += time.process_time() - self._began[1]


Run = Callable[[], tuple[Clock, list[float]]]
"""Trains all models of a process once: what it took, and their losses on the held-out tokens."""


def train_glotmix(shape, proxies: list[int], steps: int, stack: int, precision: str) -> Run:
    import torch

    from glotmix.proxy.precision import dtype
    from glotmix.proxy.stack import Stack

    torch.set_num_threads(1)
    kind = dtype(precision)
    data = {proxy: batches(proxy, steps) for proxy in proxies}
    Stack(shape, [0], dtype=kind).backward(
        torch.from_numpy(data[proxies[0]][:1])
    )  # compiles and warms up, as the others may

    def run() -> tuple[Clock, list[float]]:
        losses, clock = [], Clock()
        for start in range(0, len(proxies), stack):
            members = proxies[start : start + stack]
            with clock:
                program = Stack(shape, members, dtype=kind)
                for step in range(steps):
                    program.backward(torch.from_numpy(np.stack([data[proxy][step] for proxy in members])))
                    program.step(step + 1, rate_at(step, steps), DECAY, 1.0)
            losses += held_out_nats(program.master, shape)
        return clock, losses

    return run


def autocast(precision: str):
    """As nanoGPT's ``ctx``: matrix products in bf16, or nothing."""
    import torch

    return torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()


def train_modules(shape, proxies, steps, build, compiled: bool, precision: str) -> Run:
    """A loop as nanoGPT's: a module, fused AdamW, gradient clipping, autocast; one model after another."""
    import torch

    from glotmix.proxy.model import init_parameters

    module = build(shape)
    step_of = torch.compile(module) if compiled else module
    data = {proxy: batches(proxy, steps) for proxy in proxies}
    with autocast(precision):
        first = step_of(torch.from_numpy(data[proxies[0]][0]))
    first.backward()  # compiled and warm
    module.zero_grad()

    def run() -> tuple[Clock, list[float]]:
        losses, clock = [], Clock()
        for proxy in proxies:
            with clock:
                module.set(init_parameters(shape, [proxy]))
                groups = [
                    {"params": [p for p in module.parameters() if p.ndim > 1], "weight_decay": DECAY},
                    {"params": [p for p in module.parameters() if p.ndim == 1], "weight_decay": 0.0},
                ]
                optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), fused=True)
                for step in range(steps):
                    for group in optimizer.param_groups:
                        group["lr"] = rate_at(step, steps)
                    with autocast(precision):
                        loss = step_of(torch.from_numpy(data[proxy][step]))
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
            losses += held_out_nats(module.get(), shape)
        return clock, losses

    return run


def plain_module(shape):
    """The decoder as a module of Linear layers with torch's own operations, as a plain loop has it."""
    import torch
    from torch import nn
    from torch.nn import functional

    from glotmix.proxy.checkpoint import from_llama_state_dict, to_llama_state_dict
    from glotmix.proxy.kernels import rotate
    from glotmix.proxy.model import rotary

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            d, f = shape.width, shape.feed_forward
            self.input_layernorm, self.post_attention_layernorm = nn.RMSNorm(d, 1e-5), nn.RMSNorm(d, 1e-5)
            self.self_attn = nn.ModuleDict({f"{n}_proj": nn.Linear(d, d, bias=False) for n in "qkvo"})
            self.mlp = nn.ModuleDict(
                {
                    "gate_proj": nn.Linear(d, f, bias=False),
                    "up_proj": nn.Linear(d, f, bias=False),
                    "down_proj": nn.Linear(f, d, bias=False),
                }
            )

        def forward(self, x, cos, sin):
            B, T, d = x.shape
            h = self.input_layernorm(x)
            q, k, v = (self.self_attn[f"{n}_proj"](h).view(B, T, shape.heads, -1) for n in "qkv")
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            a = functional.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), is_causal=True)
            x = x + self.self_attn["o_proj"](a.transpose(1, 2).reshape(B, T, d))
            h = self.post_attention_layernorm(x)
            return x + self.mlp["down_proj"](functional.silu(self.mlp["gate_proj"](h)) * self.mlp["up_proj"](h))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed_tokens = nn.Embedding(VOCAB, shape.width)
            self.layers = nn.ModuleList(Block() for _ in range(shape.layers))
            self.norm = nn.RMSNorm(shape.width, 1e-5)
            cos, sin = rotary(CONTEXT, shape.head_width)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)

        def forward(self, tokens):
            x = self.embed_tokens(tokens[:, :-1])
            for block in self.layers:
                x = block(x, self.cos, self.sin)
            logits = functional.linear(self.norm(x), self.embed_tokens.weight)
            return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

        def set(self, parameters):
            state = to_llama_state_dict(parameters, shape)
            self.load_state_dict({name.removeprefix("model."): tensor for name, tensor in state.items()})

        @torch.no_grad()
        def get(self):
            return from_llama_state_dict({f"model.{name}": t for name, t in self.state_dict().items()}, shape)

    return Model()


def train_trainer(shape, proxies: list[int], steps: int, precision: str) -> Run:
    """As the documentation has it: a data set of input_ids and labels, TrainingArguments, Trainer.train()."""
    import tempfile

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
    from transformers.utils import logging

    from glotmix.proxy.checkpoint import from_llama_state_dict, to_llama_config, to_llama_state_dict
    from glotmix.proxy.model import init_parameters

    logging.set_verbosity_error()
    data = {proxy: batches(proxy, steps).reshape(-1, CONTEXT + 1)[:, :] for proxy in proxies}

    class InOrder(Trainer):
        def _get_train_sampler(self, *args, **kwargs):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    def run() -> tuple[Clock, list[float]]:
        losses, clock = [], Clock()
        with tempfile.TemporaryDirectory() as directory:
            arguments = TrainingArguments(
                directory,
                per_device_train_batch_size=BATCH,
                max_steps=steps,
                learning_rate=RATE,
                lr_scheduler_type="cosine",
                warmup_steps=math.ceil(WARMUP * steps),
                weight_decay=DECAY,
                adam_beta2=0.95,
                max_grad_norm=1.0,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                use_cpu=True,
                bf16=precision == "bfloat16",
            )
            for proxy in proxies:
                with clock:
                    model = LlamaForCausalLM(LlamaConfig(**to_llama_config(shape)))
                    model.load_state_dict(to_llama_state_dict(init_parameters(shape, [proxy]), shape), strict=False)
                    # The model shifts labels itself: T + 1 inputs give T losses, as everywhere here.
                    rows = [{"input_ids": row, "labels": row} for row in torch.from_numpy(data[proxy])]
                    InOrder(model=model, args=arguments, train_dataset=rows).train()
                losses += held_out_nats(from_llama_state_dict(model.state_dict(), shape), shape)
        return clock, losses

    return run


def train_litgpt(shape, proxies: list[int], steps: int, precision: str) -> Run:
    """litgpt's model and the step of its pretrain loop (Fabric, fused AdamW, chunked loss); its own initial weights."""
    import lightning
    import torch
    from litgpt.config import Config
    from litgpt.model import GPT
    from litgpt.utils import chunked_cross_entropy

    config = Config(
        block_size=CONTEXT,
        n_layer=shape.layers,
        n_head=shape.heads,
        n_embd=shape.width,
        padded_vocab_size=VOCAB,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        norm_eps=1e-5,
        mlp_class_name="LLaMAMLP",
        intermediate_size=shape.feed_forward,
    )
    fabric = lightning.Fabric(
        devices=1, accelerator="cpu", precision="bf16-mixed" if precision == "bfloat16" else "32-true"
    )
    fabric.launch()
    held_out = torch.from_numpy(corpus(2, 40 * (CONTEXT + 1)).reshape(40, CONTEXT + 1))
    bare = GPT(config)
    bare.lm_head.weight = bare.transformer.wte.weight
    model = fabric.setup(torch.compile(bare))
    first = torch.from_numpy(batches(proxies[0], 1))[0]
    logits = model(first[:, :-1].contiguous())  # compiles and warms up
    fabric.backward(chunked_cross_entropy(logits, first[:, 1:].contiguous()))
    model.zero_grad()

    def run() -> tuple[Clock, list[float]]:
        losses, clock = [], Clock()
        for proxy in proxies:
            data = torch.from_numpy(batches(proxy, steps))
            with clock:
                torch.manual_seed(proxy)
                bare.apply(lambda module: module.reset_parameters() if hasattr(module, "reset_parameters") else None)
                torch.nn.init.normal_(bare.lm_head.weight, 0, 0.02)
                optimizer = torch.optim.AdamW(
                    model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=DECAY, fused=True
                )
                optimizer = fabric.setup_optimizers(optimizer)
                for step in range(steps):
                    for group in optimizer.param_groups:
                        group["lr"] = rate_at(step, steps)
                    logits = model(data[step][:, :-1].contiguous())
                    fabric.backward(chunked_cross_entropy(logits, data[step][:, 1:].contiguous()))
                    fabric.clip_gradients(model, optimizer, max_norm=1.0)
                    optimizer.step()
                    optimizer.zero_grad()
            with torch.no_grad():
                losses.append(float(chunked_cross_entropy(model(held_out[:, :-1]), held_out[:, 1:], chunk_size=0)))
        return clock, losses

    return run


def work(contestant: str, name: str, proxies: list[int], steps: int, stack: int, precision: str) -> None:
    """One process: makes ready, then trains all its models at every line that it is sent, and tells what it took."""
    began = time.perf_counter()
    shape = shape_of(name)
    if contestant.startswith("glotmix"):
        run = train_glotmix(shape, proxies, steps, stack, precision)
    elif contestant in ("plain", "nanogpt"):
        run = train_modules(shape, proxies, steps, plain_module, contestant == "nanogpt", precision)
    elif contestant == "trainer":
        run = train_trainer(shape, proxies, steps, precision)
    else:
        run = train_litgpt(shape, proxies, steps, precision)
    print(json.dumps({"setup": time.perf_counter() - began}), flush=True)
    for _ in sys.stdin:
        clock, losses = run()
        told = {"seconds": clock.seconds, "processor_seconds": clock.processor, "losses": losses}
        print(json.dumps(told), flush=True)
