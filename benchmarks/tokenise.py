"""Tokenise a gigabyte of text beside Hugging Face ``datasets.map``: the same tokenizer, text, cores. Rates and memory.

    make corpora                                                               # Debian's man pages
    python benchmarks/tokenise.py --megabytes 1000 glotmix map-fast            # memory at a gigabyte
    python benchmarks/tokenise.py --megabytes 100 --repeats 3 glotmix map map-fast
    python benchmarks/tokenise.py show

The gigabyte is the man pages again and again, each copy with its paragraphs in another order and one word in thirty
with two letters swapped, so that no text occurs twice. ``map`` is what most people write (``AutoTokenizer`` in a
batched map); ``map-fast`` calls the Rust library in the map, without offsets and masks, as glotmix does.

Every contestant goes from the files to token ids on the disk, in processes of its own with one thread each, and they
take turns. What counts is processor time, as the cores may be shared. Memory is the largest sum over the processes of
what is theirs alone plus their part of what they share (PSS), twice a second; of it ``own`` is not backed by files,
whose pages the kernel may take back. Results: benchmarks/results/tokenise.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.tokens.config import TokensConfig

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/tokenise.json"
LANGUAGES = {"es": "spa_Latn", "fr": "fra_Latn", "pl": "pol_Latn", "ru": "rus_Cyrl", "it": "ita_Latn", "tr": "tur_Latn"}
FILE_MB = 10
VOCABULARY = 32_000


def make_corpus(folder: Path, megabytes: int) -> None:
    """JSON Lines files of ``FILE_MB`` megabytes of text, languages in turn."""
    done = folder / f"{megabytes}.done"
    if done.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    config = CorpusConfig(reader="manpages", path=str(ROOT / ".cache/manpages"), drop_untranslated=False)
    pages = {
        tag: [document.text for document in open_reader(config, [tag], ROOT).documents(tag)]
        for tag in LANGUAGES.values()
    }
    rng = random.Random(0)
    for number in range(megabytes // FILE_MB):
        short, tag = list(LANGUAGES.items())[number % len(LANGUAGES)]
        path = folder / "corpus" / short / f"{number:03d}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with open(path, "w", encoding="utf-8") as file:
            while size < FILE_MB * 10**6:
                text = perturbed(rng.choice(pages[tag]), rng)
                size += len(text.encode())
                file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    done.touch()


def perturbed(text: str, rng: random.Random) -> str:
    """The same paragraphs in another order, one word in thirty misspelt."""
    paragraphs = text.split("\n")
    rng.shuffle(paragraphs)
    words = " \n ".join(paragraphs).split(" ")
    for at in rng.sample(range(len(words)), len(words) // 30):
        word = words[at]
        if len(word) > 2:
            k = rng.randrange(len(word) - 1)
            words[at] = word[:k] + word[k + 1] + word[k] + word[k + 2 :]
    return " ".join(words).replace(" \n ", "\n")


def tags_in(folder: Path) -> list[str]:
    """Languages of a corpus."""
    return [tag for short, tag in LANGUAGES.items() if (folder / "corpus" / short).is_dir()]


def make_tokenizer(folder: Path) -> Path:
    """Byte-level BPE, trained on two megabytes of each language."""
    path = folder / "tokenizer.json"
    if not path.exists():
        from glotmix.tokens.tokenizer import train_tokenizer

        config = CorpusConfig(reader="jsonl", path="corpus")
        tags = tags_in(folder)
        texts = {tag: (d.text for d in open_reader(config, [tag], folder).documents(tag)) for tag in tags}
        train_tokenizer(texts, VOCABULARY, 2_000_000).save(folder)
    return path


def glotmix(folder: Path, processes: int) -> dict:
    """A token store, made as a study makes it: over local processes, or in this one where there is one."""
    from glotmix.sweep.executors.local import LocalExecutor
    from glotmix.sweep.tokenising import ExecutorTokenizer
    from glotmix.tokens.build import build_store

    out = folder / "glotmix"
    shutil.rmtree(out, ignore_errors=True)
    tags = tags_in(folder)
    reader = open_reader(CorpusConfig(reader="jsonl", path="corpus"), tags, folder)
    config = TokensConfig(tokenizer="tokenizer.json", held_out_tokens=50_000)
    scatter = ExecutorTokenizer(lambda: LocalExecutor(processes), out / "jobs") if processes > 1 else None
    store = build_store(out / "tokens", reader, tags, config, 0.01, base=folder, scatter=scatter)
    tokens = sum(store.unique_tokens(tag) for tag in tags)
    documents = sum(store.totals(tag, "train")["documents"] for tag in tags)
    shutil.rmtree(out)
    return {"tokens": tokens, "documents": documents}


def mapped(folder: Path, processes: int, *, fast: bool) -> dict:
    """``datasets.map`` over the same files."""
    import datasets
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    datasets.disable_progress_bars()
    path = str(folder / "tokenizer.json")
    if fast:
        backend = Tokenizer.from_file(path)

        def encode(batch: dict) -> dict:
            found = backend.encode_batch_fast(batch["text"], add_special_tokens=False)
            return {"input_ids": [one.ids for one in found]}
    else:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=path)

        def encode(batch: dict) -> dict:
            return tokenizer(batch["text"], add_special_tokens=False)

    cache = folder / "map"
    shutil.rmtree(cache, ignore_errors=True)
    files = sorted(str(path) for path in (folder / "corpus").rglob("*.jsonl"))
    began = time.monotonic()
    data = datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(cache))
    loaded = time.monotonic() - began
    done = data.map(encode, batched=True, remove_columns=["text"], num_proc=processes if processes > 1 else None)
    lengths = done.with_format("arrow")["input_ids"]
    tokens = sum(len(chunk.flatten()) for chunk in getattr(lengths, "chunks", [lengths[:]]))
    shutil.rmtree(cache)
    return {"tokens": tokens, "loading": loaded}


CONTESTANTS = {
    "glotmix": glotmix,
    "map": lambda folder, processes: mapped(folder, processes, fast=False),
    "map-fast": lambda folder, processes: mapped(folder, processes, fast=True),
}


def memory(pid: int) -> tuple[int, int]:
    """PSS of a process and all its children, and what of it no file backs, bytes."""
    import psutil

    total = own = 0
    try:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            try:
                told = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            except OSError:  # it ended meanwhile
                continue
            for line in told:
                total += 1024 * int(line.split()[1]) if line.startswith("Pss:") else 0
                own += 1024 * int(line.split()[1]) if line.startswith("Pss_Anon:") else 0
    except psutil.Error:
        pass
    return total, own


def measured(name: str, folder: Path, processes: int) -> dict:
    """One contestant in a process of its own: wall-clock and CPU seconds, largest memory."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = os.environ | {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--folder", str(folder), "--processes", str(processes), "--one", name]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, env=environment)
        peak, stop = {"memory_bytes": 0, "own_memory_bytes": 0}, threading.Event()

        def watch() -> None:
            while not stop.wait(0.5):
                peak.update(zip(peak, map(max, peak.values(), memory(process.pid)), strict=True))

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        stop.set()
        watcher.join()
        if code:
            sys.exit(f"{name} failed")
        output.seek(0)
        found = json.loads(output.read().splitlines()[-1])
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return found | {"seconds": wall, "cpu_seconds": cpu, **peak}


def rows_kept() -> list[dict]:
    """What was measured."""
    return json.loads(RESULT.read_text()) if RESULT.exists() else []


def show() -> None:
    """The table of what was measured: medians and, in brackets, the range of the repetitions."""
    groups: dict[tuple[int, int, str], list[dict]] = {}
    for row in rows_kept():
        groups.setdefault((row["megabytes"], row["processes"], row["contestant"]), []).append(row)
    print("| contestant | MB | repetitions | MB per CPU second | glotmix is so many times as fast | memory, MB | own |")
    print("|---|---|---|---|---|---|---|")
    for (megabytes, processes, name), rows in sorted(groups.items()):
        ours = {row["repeat"]: row["cpu_seconds"] for row in groups.get((megabytes, processes, "glotmix"), [])}
        rates = [megabytes / row["cpu_seconds"] for row in rows]
        ratios = [row["cpu_seconds"] / ours[row["repeat"]] for row in rows if row["repeat"] in ours]
        most, own = (max(row[key] for row in rows) / 1e6 for key in ("memory_bytes", "own_memory_bytes"))
        times = ranged(ratios) if name != "glotmix" else ""
        print(f"| {name} | {megabytes} | {len(rows)} | {ranged(rates)} | {times} | {most:.0f} | {own:.0f} |")


def ranged(values: list[float]) -> str:
    """Median and range."""
    if not values:
        return ""
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def plan(gigabytes: int = 100, cores: int = 64) -> None:
    """What so much text would take, from the largest measurement of glotmix: a plan on paper."""
    rows = [row for row in rows_kept() if row["contestant"] == "glotmix"]
    if not rows:
        print("nothing measured yet")
        return
    row = max(rows, key=lambda one: one["megabytes"])
    scale = 1000 * gigabytes / row["megabytes"]
    hours, tokens, documents = row["cpu_seconds"] * scale / 3600, row["tokens"] * scale, row["documents"] * scale
    print(f"{gigabytes} GB, at the rate of {row['megabytes']} MB:")
    minutes, pieces = 60 * hours / cores, gigabytes * 1000 // 64
    print(f"  {hours:.0f} core hours, {minutes:.0f} minutes on {cores} cores, in {pieces} pieces")
    print(f"  {tokens / 1e9:.0f} G tokens, {2 * tokens / 1e9:.0f} GB of ids on disk, twice that while they are joined")
    print(f"  {documents / 1e6:.0f} M documents, {32 * documents / 1e9:.1f} GB of memory to join them as one language")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["show"], help=" | ".join(["show", *CONTESTANTS]))
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_intermixed_args()
    if arguments.one:
        print(json.dumps(CONTESTANTS[arguments.one](arguments.folder, arguments.processes)))
        return
    if arguments.what == ["show"]:
        show()
        plan()
        return
    folder = arguments.folder or ROOT / ".cache/tokenise"
    make_corpus(folder, arguments.megabytes)
    make_tokenizer(folder)
    for repeat, name in itertools.product(range(arguments.repeats), arguments.what):
        row = {"contestant": name, "megabytes": arguments.megabytes, "processes": arguments.processes, "repeat": repeat}
        kept = [one for one in rows_kept() if any(one[key] != row[key] for key in row)]
        row |= measured(name, folder, arguments.processes)
        RESULT.write_text(json.dumps([*kept, row], indent=1) + "\n")
    show()


if __name__ == "__main__":
    main()
