"""Axolotl: it cannot weight data sets, so the mixture is written out as one data set in training order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from glotmix.artifact import read_json
from glotmix.exporters.exporter import Exporter, ExportRequest, Record, Simulation, by_language, schedule_of
from glotmix.exporters.quoting import yaml_text
from glotmix.exporters.rules import GREEDY_REPLAY
from glotmix.mixture.schedule import Schedule

PREMIX = '''\
"""Writes premixed.jsonl: the documents of all languages in the order in which they are to be trained on.

    python premix.py [OUTPUT.jsonl]

Reads plan.json beside this file. Each document goes to the language that is furthest behind its share of the tokens so
far. A row's length is that of its input_ids where it has them, else the language's measured mean. A language that is
exhausted starts over. Needs nothing but Python.
"""

import glob
import gzip
import json
import pathlib
import sys


def rows(pattern):
    """The rows of a language, again and again."""
    files = sorted(glob.glob(pattern)) or [pattern]
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


def deal(plan):
    """Language and row, in training order."""
    streams = {name: rows(path) for name, path in plan["sources"].items()}
    for stage in plan["stages"]:
        shares = {name: share for name, share in stage["token_shares"].items() if share > 0}
        given = dict.fromkeys(shares, 0.0)
        total = 0.0
        while total < stage["tokens"]:
            name = max(shares, key=lambda one: shares[one] * max(total, 1.0) - given[one])
            row = next(streams[name])
            length = len(row["input_ids"]) if "input_ids" in row else plan["tokens_per_document"][name]
            given[name] += length
            total += length
            yield name, row


def main():
    here = pathlib.Path(__file__).resolve().parent
    plan = json.loads((here / "plan.json").read_text(encoding="utf-8"))
    output = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "premixed.jsonl"
    with open(output, "w", encoding="utf-8") as file:
        for name, row in deal(plan):
            file.write(json.dumps({**row, "language": name}, ensure_ascii=False) + "\\n")


if __name__ == "__main__":
    main()
'''


class Axolotl(Exporter):
    """A plan, a script that carries it out, and a configuration that keeps the order."""

    name = "axolotl"
    title = "Axolotl"
    target_version = "axolotl 0.18 to 0.19"
    unit = "documents"
    schedule_support = "materialised"
    path_template = "data/{language}/*.jsonl"
    notes = (
        "Axolotl concatenates and shuffles its data sets and knows no weights; of a list of pretraining data sets "
        "it uses the first. So plan.json says which tokens of which language come in which stage, premix.py "
        "writes the documents in that order to premixed.jsonl (Python alone, any schedule, languages start over "
        "when exhausted), and mixture.yaml reads them without shuffling. The file is as large as the run. It "
        "serves every trainer that reads JSON Lines in order."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        plan = {
            "seed": request.seed,
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
            "sequence_len": request.sequence_length,
            "max_steps": request.steps,
            "num_epochs": 1,
            "seed": request.seed,
        }
        comment = (
            "Merge into the training configuration after running premix.py.\n"
            f"Batches of {request.batch} sequences over all devices."
        )
        return {
            "plan.json": json.dumps(plan, indent=1, ensure_ascii=False) + "\n",
            "premix.py": PREMIX,
            "mixture.yaml": yaml_text(overlay, comment),
        }

    def simulate(self, request: ExportRequest) -> Simulation:
        tokens = []
        for phase in request.phases:
            wanted = phase.steps * request.batch * request.sequence_length
            tokens.append(by_language(request, dealt_tokens(request.vector(phase), request.lengths(), wanted)))
        size = 4 * request.sequences * request.sequence_length / 1e9
        return Simulation(tuple(tokens), (f"premixed.jsonl holds the whole run, about {size:.2g} GB of text",))

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        stages = read_json(directory / "plan.json")["stages"]
        starts = [sum(stage["tokens"] for stage in stages[:i]) for i in range(len(stages))]
        mixtures = [record.mixture(stage["token_shares"]) for stage in stages]
        return schedule_of(zip(starts, mixtures, strict=True), sum(stage["tokens"] for stage in stages))


def dealt_tokens(p_L: np.ndarray, length_L: np.ndarray, wanted: float) -> np.ndarray:
    """Tokens per language after premix.py's rule, replayed; for a long run the planned ones in whole documents.

    (Each language is within about one of its documents of its share.)
    """
    documents = wanted * float((p_L / length_L).sum())
    if documents > GREEDY_REPLAY:
        return np.round(p_L * wanted / length_L) * length_L
    share_L = np.where(p_L > 0, p_L, -np.inf)
    given_L = np.zeros(len(p_L))
    total = 0.0
    while total < wanted:
        i = int(np.argmax(share_L * max(total, 1.0) - given_L))
        given_L[i] += length_L[i]
        total += length_L[i]
    return given_L
