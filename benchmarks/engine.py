"""The proxy engine beside what people train small models with today: tokens per second of a sweep, and its losses.

    python benchmarks/engine.py                                  # 0.14M, 5 repetitions, a few minutes
    python benchmarks/engine.py --shapes 0.14M 1M 5M --repetitions 5
    python benchmarks/engine.py --litgpt /path/to/venv/bin/python --contestants glotmix litgpt

Every contestant trains the same ``--proxies`` models (same initial weights, same batches, same schedule) on all cores
of this machine, each in the way it is meant to be used: glotmix in single-threaded processes side by side and in the
precision that a sweep would take here, the others one model after another with torch's default threads (``--threads``
for another number), in fp32 or under bf16 autocast (their documented switches), whichever took the processor less in
the first repetition. All are made ready first, then asked in turn, repetition by repetition. The clock runs over
training alone; ``setup`` is what comes before it in every process (imports, compilation), told separately. A
contestant's losses on the same held-out tokens must agree with the others', or its speed is worth nothing. Tokens per
core-second count the processor's seconds instead of the clock's: on a machine that others use as well the wall clock
says little, and threads that wait for each other (``--threads 1`` has none) burn the processor's time; the share of the
peak is of one core's.
Raw results by shape: benchmarks/results/engine.json of a machine without bf16 products, engine_bf16.json (``--out``) of
one with them; shapes that are not measured again stay in the file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from engine_contestants import BATCH, CONTEXT, SHAPES, STEPS, shape_of, work

CONTESTANTS = ("glotmix", "glotmix_fp32", "glotmix_one", "plain", "nanogpt", "trainer", "litgpt")
PEERS = ("plain", "nanogpt", "trainer", "litgpt")
"""Measured in both precisions; a row's ``precision`` tells which."""
MEANING = {
    "glotmix": "glotmix as a sweep runs it: processes, stack and precision as it chooses",
    "glotmix_fp32": "the same held to fp32",
    "glotmix_one": "glotmix's kernels, K = 1, one process",
    "plain": "the same model in plain torch, K = 1, torch.optim.AdamW",
    "nanogpt": "nanoGPT-style loop with torch.compile",
    "trainer": "transformers Trainer + LlamaForCausalLM",
    "litgpt": "litgpt GPT + Fabric, its pretrain step",
}


def chosen(name: str, proxies: int) -> tuple[int, str]:
    """K and precision as a sweep would choose them on this machine."""
    from glotmix.proxy.config import ProxyConfig
    from glotmix.proxy.pack import choose
    from glotmix.proxy.precision import decided

    proxy = decided(ProxyConfig(**SHAPES[name], context=CONTEXT, batch=BATCH), shape_of(name))
    return choose(shape_of(name), proxy, proxies, seconds=8.0).stack, proxy.precision


class Contestant:
    """The processes of a contestant in one precision: made ready once, then asked in turn with the others."""

    def __init__(self, name: str, shape: str, proxies: int, steps: int, stack: int, precision: str, options):
        processes = os.cpu_count() if name in ("glotmix", "glotmix_fp32") else 1
        self.about = {
            "contestant": name,
            "shape": shape,
            "precision": precision,
            "stack": stack if processes > 1 else 1,
        }
        self.tokens = proxies * steps * BATCH * CONTEXT
        environment = dict(os.environ)
        threads = 1 if name.startswith("glotmix") else options.threads
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        self.processes = []
        for part in [list(range(proxies))[i::processes] for i in range(processes)]:
            order = json.dumps([name, shape, part, steps, self.about["stack"], precision])
            command = [options.litgpt if name == "litgpt" else sys.executable, __file__, "--work", order]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self.processes.append(subprocess.Popen(command, env=environment, **pipes))
        self.setup = 0.0

    def ready(self) -> None:
        """Wait for imports and compilation."""
        self.setup = max(result["setup"] for result in self._told())

    def measure(self) -> dict:
        """All its models trained once; the slowest process counts."""
        load = os.getloadavg()[0]
        for process in self.processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        results = self._told()
        return self.about | {
            "tokens": self.tokens,
            "seconds": max(result["seconds"] for result in results),
            "setup": self.setup,
            "processor_seconds": sum(result["processor_seconds"] for result in results),
            "losses": [loss for result in results for loss in result["losses"]],
            "load_before": load,
        }

    def _told(self) -> list[dict]:
        """The next result of every process; other lines are a library's talk."""
        found = []
        for process in self.processes:
            while not (line := process.stdout.readline()).startswith('{"'):
                if not line:
                    raise SystemExit(f"{self.about} failed")
            found.append(json.loads(line))
        return found

    def close(self) -> None:
        """End its processes."""
        for process in self.processes:
            process.stdin.close()
            process.wait()


def best(contestants: list[Contestant], rows: list[dict]) -> list[Contestant]:
    """Every contestant in the precision that took it fewer seconds of the processor; the others are closed."""
    took = {(row["contestant"], row["precision"]): row["processor_seconds"] for row in rows}
    kept = []
    for one in contestants:
        name, precision = one.about["contestant"], one.about["precision"]
        if took[name, precision] == min(seconds for other, seconds in took.items() if other[0] == name):
            kept.append(one)
        else:
            one.close()
    return kept


def peaks(size: int = 1024, products: int = 15) -> dict[str, float]:
    """FLOP/s of one thread by precision: the fastest square product, by the processor's seconds."""
    import torch

    from glotmix.proxy.precision import dtype

    torch.set_num_threads(1)
    found = {}
    for name in ("float32", "bfloat16"):
        a, b = (torch.randn(size, size).to(dtype(name)) for _ in range(2))
        times = []
        for _ in range(products):
            began = time.thread_time()
            a @ b
            times.append(time.thread_time() - began)
        found[name] = 2 * size**3 / min(times)
    return found


def summary(rows: list[dict], peak_flops: dict[str, float]) -> str:
    from glotmix.proxy.flops import per_token

    lines = [
        "| non-embedding parameters | contestant | precision | tokens/s (median) | spread "
        "| glotmix is faster by (spread) | tokens per core-second | by core-seconds (spread) "
        "| of the peak | held-out nats |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(row["shape"] for row in rows):
        of = {}
        for row in rows:
            if row["shape"] == name:
                of.setdefault((row["contestant"], row.get("precision", "float32")), []).append(row)
        ours = next((mine for (contestant, _), mine in of.items() if contestant == "glotmix"), [])
        for (contestant, precision), mine in of.items():
            columns = []
            for clock in ("seconds", "processor_seconds"):
                values = [row["tokens"] / row[clock] for row in mine]
                # Repetitions alternate, so those of one number ran side by side in time.
                ratios = [row["tokens"] / row[clock] / value for row, value in zip(ours, values, strict=False)]
                ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else "–"
                columns.append((statistics.median(values), f"{min(values):,.0f}–{max(values):,.0f}", ratio))
            (speed, spread, ratio), (per_core, _, by_core) = columns
            share = per_core * per_token(shape_of(name), CONTEXT) / peak_flops[precision]
            nats = statistics.mean(mine[0]["losses"])
            lines.append(
                f"| {name} | {MEANING[contestant]} | {precision} | {speed:,.0f} | {spread} | {ratio} "
                f"| {per_core:,.0f} | {by_core} | {share:.0%} | {nats:.4f} |"
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
    parser.add_argument("--peak", action="store_true", help="measure the peak of the results kept again, nothing else")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.show:
        show(json.loads(options.out.read_text()))
        return
    if options.peak:
        record = json.loads(options.out.read_text())
        for measured in record.values():
            measured["machine"]["peak_flops_per_thread"] = peaks()
        options.out.write_text(json.dumps(record, indent=1) + "\n")
        return
    if options.work:
        work(*json.loads(options.work))
        return
    peak_flops, rows = peaks(), []
    for name in options.shapes:
        stack, precision = chosen(name, options.proxies)
        stack, steps = options.stack or stack, options.steps or STEPS[name]
        in_turn = [
            (contestant, one)
            for contestant in options.contestants
            for one in (("float32", "bfloat16") if contestant in PEERS else (precision,))
        ]
        in_turn = [(name_of, "float32" if name_of == "glotmix_fp32" else one) for name_of, one in in_turn]
        contestants = [
            Contestant(contestant, name, options.proxies, steps, stack, one, options) for contestant, one in in_turn
        ]
        for contestant in contestants:
            contestant.ready()
        for repetition in range(options.repetitions):
            for contestant in contestants:
                rows.append({"repetition": repetition} | contestant.measure())
                print(json.dumps({key: value for key, value in rows[-1].items() if key != "losses"}), file=sys.stderr)
            if repetition == 0:
                contestants = best(contestants, [row for row in rows if row["shape"] == name])
        for contestant in contestants:
            contestant.close()
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
        peak = measured["machine"]["peak_flops_per_thread"]
        print(summary(measured["rows"], peak if isinstance(peak, dict) else {"float32": peak}))


if __name__ == "__main__":
    main()
