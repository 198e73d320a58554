"""The proxy engine beside what people train small models with today: tokens per second of a sweep, and its losses.

    python benchmarks/engine.py                                  # 0.14M, 5 repetitions, a few minutes
    python benchmarks/engine.py --shapes 0.14M 1M 5M --repetitions 5
    python benchmarks/engine.py --litgpt /path/to/venv/bin/python --contestants glotmix litgpt

Every contestant trains the same ``--proxies`` models (same initial weights, same batches, same schedule) on all cores
of this machine, each in the way it is meant to be used: glotmix in single-threaded processes side by side, the others
one model after another with torch's default threads (``--threads`` for another number). Repetitions alternate between
contestants. The clock runs over training alone; ``setup`` is what comes before it in every process (imports,
compilation), told separately. A contestant's losses on the same held-out tokens must agree with the others', or its
speed is worth nothing. Tokens per core-second count the processor's seconds instead of the clock's: on a machine that
others use as well, the wall clock says little.
Raw results: benchmarks/results/engine.json, by shape; shapes that are not measured again stay in it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SHAPES = {
    "0.14M": {"width": 64, "layers": 3, "heads": 4, "feed_forward": 176},
    "1M": {"width": 128, "layers": 5, "heads": 4, "feed_forward": 352},
    "5M": {"width": 256, "layers": 6, "heads": 4, "feed_forward": 704},
}
STEPS = {"0.14M": 60, "1M": 20, "5M": 8}
VOCAB, CONTEXT, BATCH = 2048, 128, 16
RATE, DECAY, WARMUP = 4e-3, 0.1, 0.1
CONTESTANTS = ("glotmix", "glotmix_one", "plain", "nanogpt", "trainer", "litgpt")
MEANING = {
    "glotmix": "glotmix: processes × stack as it chooses",
    "glotmix_one": "glotmix's kernels, K = 1, one process",
    "plain": "the same model in plain torch, K = 1, torch.optim.AdamW",
    "nanogpt": "nanoGPT-style loop with torch.compile",
    "trainer": "transformers Trainer + LlamaForCausalLM",
    "litgpt": "litgpt GPT + Fabric, its pretrain step",
}


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


def train_glotmix(shape, proxies: list[int], steps: int, stack: int) -> tuple[Clock, list[float]]:
    import torch

    from glotmix.proxy.stack import Stack

    torch.set_num_threads(1)
    data = {proxy: batches(proxy, steps) for proxy in proxies}
    Stack(shape, [0]).backward(torch.from_numpy(data[proxies[0]][:1]))  # compiles and warms up, as the others may
    losses, clock = [], Clock()
    for start in range(0, len(proxies), stack):
        members = proxies[start : start + stack]
        with clock:
            program = Stack(shape, members)
            for step in range(steps):
                program.backward(torch.from_numpy(np.stack([data[proxy][step] for proxy in members])))
                program.step(step + 1, rate_at(step, steps), DECAY, 1.0)
        losses += held_out_nats(program.parameters, shape)
    return clock, losses


def train_modules(shape, proxies: list[int], steps: int, build, compiled: bool) -> tuple[Clock, list[float]]:
    """A loop as nanoGPT's: a module, fused AdamW, gradient clipping; one model after another."""
    import torch

    from glotmix.proxy.model import init_parameters

    module = build(shape)
    step_of = torch.compile(module) if compiled else module
    data = {proxy: batches(proxy, steps) for proxy in proxies}
    step_of(torch.from_numpy(data[proxies[0]][0])).backward()  # compiles and warms up
    module.zero_grad()
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
                loss = step_of(torch.from_numpy(data[proxy][step]))
                loss.backward()
                torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        losses += held_out_nats(module.get(), shape)
    return clock, losses


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


def train_trainer(shape, proxies: list[int], steps: int) -> tuple[Clock, list[float]]:
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


def train_litgpt(shape, proxies: list[int], steps: int) -> tuple[Clock, list[float]]:
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
    fabric = lightning.Fabric(devices=1, accelerator="cpu", precision="32-true")
    fabric.launch()
    losses, clock = [], Clock()
    held_out = torch.from_numpy(corpus(2, 40 * (CONTEXT + 1)).reshape(40, CONTEXT + 1))
    bare = GPT(config)
    bare.lm_head.weight = bare.transformer.wte.weight
    model = fabric.setup(torch.compile(bare))
    first = torch.from_numpy(batches(proxies[0], 1))[0]
    logits = model(first[:, :-1].contiguous())  # compiles and warms up
    fabric.backward(chunked_cross_entropy(logits, first[:, 1:].contiguous()))
    model.zero_grad()
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


def work(contestant: str, name: str, proxies: list[int], steps: int, stack: int) -> dict:
    """One process's part of one measurement."""
    began = time.perf_counter()
    import torch

    shape = shape_of(name)
    if contestant in ("glotmix", "glotmix_one"):
        clock, losses = train_glotmix(shape, proxies, steps, stack)
    elif contestant in ("plain", "nanogpt"):
        clock, losses = train_modules(shape, proxies, steps, plain_module, contestant == "nanogpt")
    elif contestant == "trainer":
        clock, losses = train_trainer(shape, proxies, steps)
    else:
        clock, losses = train_litgpt(shape, proxies, steps)
    return {
        "seconds": clock.seconds,
        "losses": losses,
        "setup": time.perf_counter() - began - clock.seconds,
        "processor_seconds": clock.processor,
        "threads": torch.get_num_threads(),
    }


def chosen_stack(name: str, proxies: int) -> int:
    """K as a sweep would choose it on this machine."""
    from glotmix.proxy.config import ProxyConfig
    from glotmix.proxy.pack import choose

    proxy = ProxyConfig(**SHAPES[name], context=CONTEXT, batch=BATCH)
    return choose(shape_of(name), proxy, proxies, seconds=8.0).stack


def measure(contestant: str, name: str, proxies: int, steps: int, stack: int, options) -> dict:
    """One sweep by one contestant: its processes side by side, the slowest counts."""
    processes = os.cpu_count() if contestant == "glotmix" else 1
    parts = [list(range(proxies))[i::processes] for i in range(processes)]
    python = options.litgpt if contestant == "litgpt" else sys.executable
    environment = dict(os.environ)
    threads = 1 if contestant.startswith("glotmix") else options.threads
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    running = []
    for part in parts:
        order = json.dumps([contestant, name, part, steps, stack if contestant == "glotmix" else 1])
        command = [python, __file__, "--work", order]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True))
    outputs = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit(f"{contestant} at {name} failed")
    results = [json.loads(output.splitlines()[-1]) for output in outputs]
    tokens = proxies * steps * BATCH * CONTEXT
    return {
        "contestant": contestant,
        "shape": name,
        "stack": stack if contestant == "glotmix" else 1,
        "tokens": tokens,
        "seconds": max(result["seconds"] for result in results),
        "setup": max(result["setup"] for result in results),
        "processor_seconds": sum(result["processor_seconds"] for result in results),
        "losses": [loss for result in results for loss in result["losses"]],
        "load_before": os.getloadavg()[0],
    }


def peak() -> float:
    """FLOP/s of one thread."""
    import torch

    from glotmix.proxy.flops import peak as measured

    torch.set_num_threads(1)
    return measured()


def summary(rows: list[dict], peak_flops: float) -> str:
    from glotmix.proxy.flops import per_token

    lines = [
        "| non-embedding parameters | contestant | tokens/s (median) | spread | glotmix is faster by (spread) "
        "| tokens per core-second | of the peak | held-out nats |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(row["shape"] for row in rows):
        speeds = {}
        for contestant in dict.fromkeys(row["contestant"] for row in rows):
            mine = [row for row in rows if row["shape"] == name and row["contestant"] == contestant]
            if mine:
                speeds[contestant] = (
                    [row["tokens"] / row["seconds"] for row in mine],
                    statistics.median(row["tokens"] / row["processor_seconds"] for row in mine),
                    mine[0]["losses"],
                )
        ours = speeds["glotmix"][0] if "glotmix" in speeds else []
        for contestant, (values, per_core, losses) in speeds.items():
            speed = statistics.median(values)
            share = speed * per_token(shape_of(name), CONTEXT) / (peak_flops * os.cpu_count())
            # Repetitions alternate, so those of one number ran side by side in time.
            ratios = [one / other for one, other in zip(ours, values, strict=False)]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else "–"
            lines.append(
                f"| {name} | {MEANING[contestant]} | {speed:,.0f} | {min(values):,.0f}–{max(values):,.0f} "
                f"| {ratio} | {per_core:,.0f} | {share:.0%} | {statistics.mean(losses):.4f} |"
            )
    return "\n".join(lines)


def processor_name() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["0.14M"], choices=SHAPES)
    parser.add_argument(
        "--contestants", nargs="+", default=[c for c in CONTESTANTS if c != "litgpt"], choices=CONTESTANTS
    )
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--proxies", type=int, default=8)
    parser.add_argument("--steps", type=int, help="steps of each proxy; default by shape")
    parser.add_argument("--stack", type=int, help="K of glotmix; default what its packer measures to be best")
    parser.add_argument("--threads", type=int, help="threads of the others; default torch's own choice")
    parser.add_argument("--litgpt", default=sys.executable, help="python of an environment with litgpt")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "engine.json")
    parser.add_argument("--show", action="store_true", help="measure nothing; the tables of the results kept")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.show:
        show(json.loads(options.out.read_text()))
        return
    if options.work:
        print(json.dumps(work(*json.loads(options.work))))
        return
    peak_flops, rows = peak(), []
    for name in options.shapes:
        stack = options.stack or chosen_stack(name, options.proxies)
        for repetition in range(options.repetitions):
            for contestant in options.contestants:
                steps = options.steps or STEPS[name]
                rows.append(
                    {"repetition": repetition} | measure(contestant, name, options.proxies, steps, stack, options)
                )
                print(json.dumps({key: value for key, value in rows[-1].items() if key != "losses"}), file=sys.stderr)
    import torch

    options.out.parent.mkdir(parents=True, exist_ok=True)
    machine = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "peak_flops_per_thread": peak_flops,
    }
    record = json.loads(options.out.read_text()) if options.out.is_file() else {}
    record |= {name: {"machine": machine, "rows": [r for r in rows if r["shape"] == name]} for name in options.shapes}
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    show(record)


def show(record: dict) -> None:
    for measured in record.values():
        print(summary(measured["rows"], measured["machine"]["peak_flops_per_thread"]))


if __name__ == "__main__":
    main()
