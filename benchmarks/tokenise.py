"""Tokenise a gigabyte of text beside Hugging Face ``datasets.map``: the same tokenizer, text, cores. Rates and memory.

    make corpora                                              # Debian's man pages
    python benchmarks/tokenise.py --megabytes 1000 glotmix map map-fast
    python benchmarks/tokenise.py show

The gigabyte is the man pages again and again, each copy with its paragraphs in another order and one word in thirty
with two letters swapped, so that no text occurs twice. ``map`` is what most people write (``AutoTokenizer`` in a
batched map); ``map-fast`` calls the Rust library in the map, without offsets and masks, as glotmix does.

Every contestant runs in processes of its own with one thread each. Memory is the largest sum over them of what is
theirs alone plus their part of what they share (PSS), twice a second. Results: benchmarks/results/tokenise.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from glotmix.config import CorpusConfig, TokensConfig
from glotmix.corpus.readers import open_reader

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
    """A token store, made over local processes."""
    from glotmix.sweep.executors.local import LocalExecutor
    from glotmix.sweep.scatter import Scattered
    from glotmix.tokens.shards import build_store

    out = folder / "glotmix"
    shutil.rmtree(out, ignore_errors=True)
    tags = tags_in(folder)
    reader = open_reader(CorpusConfig(reader="jsonl", path="corpus"), tags, folder)
    config = TokensConfig(tokenizer="tokenizer.json", held_out_tokens=50_000)
    scatter = Scattered(lambda: LocalExecutor(processes), out / "jobs")
    store = build_store(out / "tokens", reader, tags, config, 0.001, base=folder, scatter=scatter)
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


def memory(pid: int) -> int:
    """PSS of a process and all its children, bytes."""
    import psutil

    total = 0
    try:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            try:
                for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += 1024 * int(line.split()[1])
            except OSError:  # it ended meanwhile
                continue
    except psutil.Error:
        pass
    return total


def measured(name: str, folder: Path, processes: int) -> dict:
    """One contestant in a process of its own: wall-clock and CPU seconds, largest memory."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = os.environ | {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--folder", str(folder), "--processes", str(processes), "--one", name]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, env=environment)
        peak, stop = [0], threading.Event()

        def watch() -> None:
            while not stop.wait(0.5):
                peak[0] = max(peak[0], memory(process.pid))

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
    return found | {"seconds": wall, "cpu_seconds": cpu, "memory_bytes": peak[0]}


def show() -> None:
    """The table of what was measured."""
    for row in json.loads(RESULT.read_text()) if RESULT.exists() else []:
        rate = row["megabytes"] / row["cpu_seconds"]
        print(
            f"{row['contestant']:<10} {row['megabytes']:>5} MB, {row['processes']} processes: {rate:5.2f} MB per CPU "
            f"second, {row['megabytes'] / row['seconds']:5.2f} MB/s, {row['memory_bytes'] / 1e6:6.0f} MB of memory, "
            f"{row['tokens'] / 1e6:.1f} M tokens"
        )


def plan(gigabytes: int = 100, cores: int = 64) -> None:
    """What so much text would take, from the largest measurement of glotmix: a plan on paper."""
    found = json.loads(RESULT.read_text()) if RESULT.exists() else []
    rows = [row for row in found if row["contestant"] == "glotmix"]
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
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
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
    for name in arguments.what:
        row = {"contestant": name, "megabytes": arguments.megabytes, "processes": arguments.processes}
        row |= measured(name, folder, arguments.processes)
        rows = json.loads(RESULT.read_text()) if RESULT.exists() else []
        same = ("contestant", "megabytes", "processes")
        rows = [one for one in rows if any(one[key] != row[key] for key in same)] + [row]
        RESULT.write_text(json.dumps(rows, indent=1) + "\n")
    show()


if __name__ == "__main__":
    main()
