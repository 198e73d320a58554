"""Sampler against datasets.interleave_datasets and MosaicML Streaming: sequences per second on the same tokens.

    python benchmarks/sampler.py                       # writes benchmarks/results/sampler.json
    python benchmarks/sampler.py --resume              # measures resuming alone again

Every candidate reads the same tokenised sequences of four languages, mixed by the same shares, in one process, and
hands out one row of tokens per sequence. What is compared is time of the processor, since other work may share the
machine; wall time stands beside it. interleave_datasets runs in three forms and the fastest counts: rows as they are,
rows as NumPy arrays, and with the shuffle buffer that it needs to not read each language in the order of its file.
MosaicML Streaming is measured where it is installed (``pip install mosaicml-streaming``). Its image data sets, which
come with it, want a torchvision that fits torch; where there is none, an empty module stands in.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from glotmix.mixture.mixture import Mixture
from glotmix.mixture.samplers.scheduled import Sampler
from glotmix.mixture.schedule import Schedule

SHARES = Mixture({"eng_Latn": 0.6, "spa_Latn": 0.25, "swh_Latn": 0.1, "yor_Latn": 0.05})
SEQUENCES = {"eng_Latn": 20_000, "spa_Latn": 8_000, "swh_Latn": 2_000, "yor_Latn": 500}
"""So few that all candidates repeat the small languages, as a real run does."""
CONTEXT = 128
"""Tokens per sequence."""
INTERLEAVED = ("plain", "numpy", "shuffled")
"""Forms of interleave_datasets."""
STREAMED = 20_000
"""Sequences read through MosaicML Streaming: one epoch, so that its threads are done when the time is taken."""
VISION = ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional")
"""Modules of torchvision that MosaicML Streaming imports."""
BATCH = 256
"""Sequences that glotmix hands out per call."""
DRAWS = 10_000_000
"""Length of the run whose shares are checked."""


def write_corpus(folder: Path) -> dict[str, np.ndarray]:
    """Random tokens as one memory-mapped array per language, [sequences, CONTEXT]."""
    rng = np.random.default_rng(0)
    shards = {}
    for language, count in SEQUENCES.items():
        path = folder / f"{language}.npy"
        np.save(path, rng.integers(0, 2048, size=(count, CONTEXT), dtype=np.uint16))
        shards[language] = np.load(path, mmap_mode="r")
    return shards


def glotmix_rows(shards: dict[str, np.ndarray]) -> Generator[np.ndarray]:
    """Rows in the order of a glotmix sampler, gathered batch by batch."""
    sampler = Sampler(Schedule.constant(SHARES), DRAWS, SEQUENCES, 0)
    names = sampler.languages
    for start in range(0, DRAWS, BATCH):
        language, sequence = sampler.draw(start, BATCH)
        rows = np.empty((BATCH, CONTEXT), dtype=np.uint16)
        for index, name in enumerate(names):
            chosen = language == index
            rows[chosen] = shards[name][sequence[chosen]]
        yield from rows


def interleaved_rows(shards: dict[str, np.ndarray], form: str) -> Generator[object]:
    """Rows of datasets.interleave_datasets over streaming data sets that repeat without end."""
    from datasets import Dataset, interleave_datasets

    parts = []
    for array in shards.values():
        part = Dataset.from_dict({"tokens": array.tolist()}).to_iterable_dataset()
        part = part.shuffle(seed=0, buffer_size=1000) if form == "shuffled" else part
        part = part.repeat(None)
        parts.append(part.with_format("numpy") if form == "numpy" else part)
    mixed = interleave_datasets(parts, probabilities=list(SHARES.values()), seed=0, stopping_strategy="all_exhausted")
    return (row["tokens"] for row in mixed)


class NoVision(types.ModuleType):
    """A module in which everything is an empty class."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def streaming_rows(folder: Path, shards: dict[str, np.ndarray]) -> Generator[object]:
    """Rows of a MosaicML StreamingDataset over one stream per language, uncompressed and local."""
    if importlib.util.find_spec("torchvision") is None:
        sys.modules.update({name: NoVision(name) for name in VISION})
    from streaming import MDSWriter, Stream, StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    streams = []
    for language, array in shards.items():
        place = folder / f"mds-{language}"
        if not place.exists():
            with MDSWriter(out=str(place), columns={"tokens": f"ndarray:uint16:{CONTEXT}"}) as writer:
                for row in array:
                    writer.write({"tokens": np.ascontiguousarray(row)})
        streams.append(Stream(local=str(place), proportion=SHARES[language]))
    data = StreamingDataset(streams=streams, epoch_size=STREAMED + 1, shuffle=True, shuffle_seed=0, batch_size=BATCH)
    yield from (row["tokens"] for row in data)


def rate(make: Callable[[], Generator[object]], count: int, repeats: int) -> dict[str, float]:
    """Sequences per second after the first, median over repeats, and the seconds until the first."""
    processor, wall, first = [], [], []
    for _ in range(repeats):
        began = time.perf_counter()
        rows = make()
        next(rows)
        first.append(time.perf_counter() - began)
        cpu, clock = time.process_time(), time.perf_counter()
        for _ in range(count):
            next(rows)
        processor.append(count / (time.process_time() - cpu))
        wall.append(count / (time.perf_counter() - clock))
        rows.close()
    return {
        "sequences_per_processor_second": statistics.median(processor),
        "sequences_per_wall_second": statistics.median(wall),
        "seconds_to_first": statistics.median(first),
        "sequences": count,
    }


def order_alone(repeats: int) -> float:
    """Sequences per second of the order without reading any token, calls of 4,096."""
    rates = []
    for _ in range(repeats):
        sampler = Sampler(Schedule.constant(SHARES), DRAWS, SEQUENCES, 0)
        began = time.process_time()
        for start in range(0, 1_000_000 - 4096, 4096):
            sampler.draw(start, 4096)
        rates.append(1_000_000 / (time.process_time() - began))
    return statistics.median(rates)


def resume() -> dict[str, float]:
    """Processor milliseconds to build a sampler and draw anywhere in the run, and to go on in small batches."""
    rng, times = np.random.default_rng(0), []
    for index in rng.integers(0, DRAWS - 16, size=500).tolist():
        began = time.process_time()
        Sampler(Schedule.constant(SHARES), DRAWS, SEQUENCES, 0).draw(index, 16)
        times.append(1000 * (time.process_time() - began))
    sampler = Sampler(Schedule.constant(SHARES), DRAWS, SEQUENCES, 0)
    began = time.process_time()
    for start in range(0, 64_000, 16):
        sampler.draw(start, 16)
    steps = 1000 * (time.process_time() - began) / 4000
    low, median, high = np.percentile(times, [5, 50, 95])
    load = round(os.getloadavg()[0], 1)  # beside other work the cache is cold at every turn
    return {"low_5": low, "median": median, "high_95": high, "per_step_of_16": steps, "load_average": load}


def share_of_a_step(steps: int = 512) -> dict[str, float]:
    """Processor microseconds of the order and of the whole update, per step of the quickstart's proxy on one thread."""
    import torch

    from glotmix.proxy.loader import STEPS_AT_ONCE
    from glotmix.proxy.model import Shape
    from glotmix.proxy.stack import Stack
    from glotmix.studies.mixture.config import load_study

    torch.set_num_threads(1)
    study = load_study(Path(__file__).parents[1] / "recipes" / "quickstart.yaml")
    proxy = study.proxy
    stack = Stack(Shape.of(proxy, study.tokens.vocab_size), [0])
    tokens = torch.randint(0, study.tokens.vocab_size, (1, proxy.batch, proxy.context + 1))
    began = 0.0
    for step in range(-16, steps):
        if step == 0:
            began = time.process_time()
        stack.backward(tokens)
        stack.step(step + 17, 1e-3, 0.1, 1.0)
    update = (time.process_time() - began) / steps
    sampler = Sampler(Schedule.constant(SHARES), DRAWS, SEQUENCES, 0)
    at_once = STEPS_AT_ONCE * proxy.batch  # as the proxies' loader draws
    began = time.process_time()
    for part in range(400):
        sampler.draw(part * at_once, at_once)
    order = (time.process_time() - began) / (400 * STEPS_AT_ONCE)
    return {"order_microseconds": 1e6 * order, "update_microseconds": 1e6 * update, "share": order / update}


def exactness() -> dict[str, float]:
    """Largest distance of any language's count from its share at any block's end over DRAWS draws, in sequences."""
    sampler = Sampler(Schedule.constant(SHARES), DRAWS, SEQUENCES, 0)
    counted, worst = np.zeros(len(SHARES), dtype=np.int64), 0.0
    shares = SHARES.vector(sampler.languages)
    last_boundary = DRAWS // sampler.block * sampler.block - sampler.block  # the last block takes the remainder
    for start in range(0, DRAWS, sampler.block):
        language, _ = sampler.draw(start, min(sampler.block, DRAWS - start))
        counted += np.bincount(language, minlength=len(SHARES))
        stop = start + len(language)
        if stop <= last_boundary or stop == DRAWS:
            worst = max(worst, float(np.abs(counted - shares * stop).max()))
    independent = np.sqrt(DRAWS * shares * (1 - shares)).max()
    return {"draws": DRAWS, "largest_error": worst, "standard_deviation_of_independent_draws": float(independent)}


def measure(repeats: int) -> dict[str, Any]:
    """Everything, candidates in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = write_corpus(folder)
        result: dict[str, Any] = {
            "glotmix": rate(lambda: glotmix_rows(shards), 400_000, repeats),
        }
        for form in INTERLEAVED:
            result[f"interleave_datasets_{form}"] = rate(partial(interleaved_rows, shards, form), 10_000, repeats)
        try:
            result["mosaicml_streaming"] = rate(lambda: streaming_rows(folder, shards), STREAMED, repeats)
        except ImportError as error:
            result["mosaicml_streaming"] = f"not measured: {error}"
    result["glotmix_order_alone_per_processor_second"] = order_alone(repeats)
    result["resume_processor_milliseconds"] = resume()
    result["step_of_the_smallest_proxy"] = share_of_a_step()
    result["exactness"] = exactness()
    return result


def is_rate(found: object) -> bool:
    """Whether a part of the result is a measured rate."""
    return isinstance(found, dict) and "sequences_per_processor_second" in found


def versions() -> dict[str, str]:
    """What was measured on what."""
    found = {"python": platform.python_version(), "processor": platform.processor() or platform.machine()}
    for package in ("numpy", "datasets", "mosaicml-streaming"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found | {"cores": str(os.cpu_count()), "load_average": f"{os.getloadavg()[0]:.1f}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sampler.json")
    parser.add_argument(
        "--resume", action="store_true", help="measure resuming alone again, in the result that is kept"
    )
    arguments = parser.parse_args()
    if arguments.resume:
        kept = json.loads(arguments.out.read_text(encoding="utf-8"))
        kept["resume_processor_milliseconds"] = resume()
        arguments.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        print(kept["resume_processor_milliseconds"])
        return
    result = {"versions": versions(), **measure(arguments.repeats)}
    rates = {name: found["sequences_per_processor_second"] for name, found in result.items() if is_rate(found)}
    for peer in ("interleave_datasets", "mosaicml_streaming"):
        if theirs := [value for name, value in rates.items() if name.startswith(peer)]:
            result[f"times_{peer}"] = rates["glotmix"] / max(theirs)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
