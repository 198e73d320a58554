"""Axolotl: it cannot weight data sets, so the mixture is written out as one data set in training order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from glotmix.artifact import read_json
from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, by_language, schedule_of
from glotmix.exporters.phases import launch_merged
from glotmix.exporters.quoting import yaml_text
from glotmix.exporters.rules import GREEDY_REPLAY
from glotmix.mixture.schedule import Schedule

PREMIX = '''\
"""Writes premixed.jsonl: the documents of all languages in the order in which they are to be trained on.

    python premix.py [OUTPUT.jsonl] [--tokenizer NAME]

Reads plan.json beside this file. Each piece goes to the language that is furthest behind its share of the tokens so
far; a language that is exhausted starts over.

With a tokenizer (of transformers), or where the rows have input_ids, pieces are full sequences: the documents of a
language are joined, each closed by the end-of-text token, and cut at the sequence length, so that every step of the
trainer reads what the plan says. Without one, pieces are documents, whose lengths are the languages' measured means;
that needs nothing but Python.

Axolotl keeps what it has prepared under the name of its file alone, so what it prepared of an older premixed.jsonl
(prepared/, beside this file) is taken away.
"""

import argparse
import glob
import gzip
import json
import pathlib
import shutil
import sys


def rows(pattern):
    """The rows of a language, again and again."""
    files = sorted(name for name in glob.glob(pattern) or [pattern] if pathlib.Path(name).is_file())
    while True:
        found = False
        for name in files:
            opener = gzip.open if name.endswith(".gz") else open
            with opener(name, "rt", encoding="utf-8") as lines:
                for line in lines:
                    if line.strip():
                        found = True
                        yield json.loads(line)
        if not found:
            sys.exit(f"{pattern}: no rows")


def sequences(pattern, tokenize, length):
    """The sequences of a language, again and again, each with its number of tokens."""
    left = []
    for row in rows(pattern):
        left += row["input_ids"] if "input_ids" in row else tokenize(row["text"])
        while len(left) >= length:
            ids, left = left[:length], left[length:]
            yield {"input_ids": ids, "attention_mask": [1] * length, "labels": ids}, length


def documents(pattern, mean):
    """The documents of a language, again and again, each with the mean number of tokens."""
    for row in rows(pattern):
        yield row, mean


def deal(plan, streams):
    """Language and piece, in training order."""
    for stage in plan["stages"]:
        shares = {name: share for name, share in stage["token_shares"].items() if share > 0}
        given = dict.fromkeys(shares, 0.0)
        total = 0.0
        while total < stage["tokens"]:
            name = max(shares, key=lambda one: shares[one] * max(total, 1.0) - given[one])
            piece, length = next(streams[name])
            given[name] += length
            total += length
            yield name, piece


def empty(folder):
    """What Axolotl prepared of another order is taken away; a link to a larger disk stays one."""
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def tokenizer_of(name):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name)
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return lambda text: tokenizer(text, add_special_tokens=False)["input_ids"] + end


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?", default=here / "premixed.jsonl")
    parser.add_argument("--tokenizer")
    arguments = parser.parse_args()
    plan = json.loads((here / "plan.json").read_text(encoding="utf-8"))
    streams = {}
    for name, pattern in plan["sources"].items():
        if arguments.tokenizer or "input_ids" in next(rows(pattern)):
            tokenize = tokenizer_of(arguments.tokenizer) if arguments.tokenizer else None
            streams[name] = sequences(pattern, tokenize, plan["sequence_length"])
        else:
            streams[name] = documents(pattern, plan["tokens_per_document"][name])
    empty(here / "prepared")
    with open(arguments.output, "w", encoding="utf-8") as file:
        for name, piece in deal(plan, streams):
            file.write(json.dumps({**piece, "language": name}, ensure_ascii=False) + "\\n")


if __name__ == "__main__":
    main()
'''


HERE = {"datasets.0.path": "$HERE/premixed.jsonl", "dataset_prepared_path": "$HERE/prepared"}


class Axolotl(Exporter):
    """A plan, a script that carries it out, and a configuration that keeps the order."""

    name = "axolotl"
    title = "Axolotl"
    target_version = "axolotl 0.18 to 0.19"
    unit = "documents"
    schedule_support = "materialised"
    path_template = "data/{language}/*.jsonl"
    notes = (
        "Axolotl concatenates and shuffles its data sets and knows no weights; of a list of pretraining data sets it "
        "uses the first. So plan.json says which tokens of which language come in which stage, premix.py writes that "
        "order to premixed.jsonl (any schedule; languages start over when exhausted), and mixture.yaml reads it "
        "without shuffling. With --tokenizer the file holds full sequences, so that each step reads what the plan "
        "says; without, it holds documents, which do not fill the rows, and the run takes as many "
        "more steps: max_steps is not written, because it would leave the end of the file, or of a Cooldown, unread. "
        "Neither is anything held out (val_set_size takes the end of the file; a configuration with eval_steps needs "
        "test_datasets, or Axolotl refuses it), nor are repeated rows left out. A configuration's own max_steps, "
        "pretraining_dataset and streaming are taken out, and its dataset_prepared_path is prepared here, which "
        "premix.py empties: what Axolotl prepared of another order would be trained on. "
        "The file is as large as the run. It serves every trainer that reads JSON Lines in order."
    )
    packing = "cut"
    from_document_lengths = "the order of documents that are mixed without a tokenizer"

    def files(self, request: ExportRequest) -> dict[str, str]:
        plan = {
            "seed": request.seed,
            "steps": request.steps,
            "sequence_length": request.sequence_length,
            "sources": self.paths(request),
            "tokens_per_document": by_language(request, request.lengths()),
            "stages": [
                {
                    "first_step": phase.first_step,
                    "tokens": phase.steps * request.batch * request.sequence_length,
                    "token_shares": by_language(request, request.vector(phase)),
                }
                for phase in request.phases
            ],
        }
        overlay = {
            "datasets": [{"path": "premixed.jsonl", "ds_type": "json", "type": "completion", "field": "text"}],
            "shuffle_merged_datasets": False,
            "curriculum_sampling": True,
            "sample_packing": True,
            "sample_packing_sequentially": True,
            "sample_packing_eff_est": None,
            "sequence_len": request.sequence_length,
            "num_epochs": 1,
            "val_set_size": 0,
            "pretraining_dataset": None,
            "streaming": None,
            "max_steps": None,
            "dataset_exact_deduplication": False,
            "dataset_prepared_path": "prepared",
            "seed": request.seed,
        }
        comment = (
            "Run premix.py first; launch.sh merges this into your configuration, with the path of premixed.jsonl.\n"
            f"Batches of {request.batch} sequences over all devices. The whole file is read once: no max_steps."
        )
        return {
            "plan.json": json.dumps(plan, indent=1, ensure_ascii=False) + "\n",
            "premix.py": PREMIX,
            "mixture.yaml": yaml_text(overlay, comment),
            **launch_merged(["mixture.yaml"], "axolotl train {}", settings=HERE),
        }

    def simulate(self, request: ExportRequest) -> Simulation:
        tokens = []
        for phase in request.phases:
            wanted = phase.steps * request.batch * request.sequence_length
            tokens.append(by_language(request, dealt_tokens(request.vector(phase), request.lengths(), wanted)))
        size = 4.0 * request.sequences * request.sequence_length
        return Simulation(tuple(tokens), (f"premixed.jsonl holds the whole run, about {size_text(size)} of text",))

    def launches(self, directory: Path) -> list[Launch]:
        steps = int(read_json(directory / "plan.json")["steps"])
        return [Launch(steps, steps)]

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        stages = read_json(directory / "plan.json")["stages"]
        starts = [sum(stage["tokens"] for stage in stages[:i]) for i in range(len(stages))]
        mixtures = [record.mixture(stage["token_shares"]) for stage in stages]
        return schedule_of(zip(starts, mixtures, strict=True), sum(stage["tokens"] for stage in stages))


def size_text(size: float) -> str:
    """A number of bytes with two digits: ``33 kB``, ``8.2 TB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    return f"{size:.1f} {unit}" if size < 9.95 else f"{size:,.0f} {unit}"


def dealt_tokens(p_L: np.ndarray, length_L: np.ndarray, wanted: float) -> np.ndarray:
    """Tokens per language after premix.py's rule, replayed; for a long run the planned ones in whole documents.

    (Each language is within about one of its documents of its share.)
    """
    documents = wanted * float((p_L / length_L).sum())
    if documents > GREEDY_REPLAY:
        return np.asarray(np.round(p_L * wanted / length_L) * length_L)
    share_L = np.where(p_L > 0, p_L, -np.inf)
    given_L = np.zeros(len(p_L))
    total = 0.0
    while total < wanted:
        i = int(np.argmax(share_L * max(total, 1.0) - given_L))
        given_L[i] += length_L[i]
        total += length_L[i]
    return given_L
