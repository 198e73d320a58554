"""Grain's own mixture of endless records, as MaxText's ``get_datasets`` builds it from the mixture file."""

import json

import grain.python as grain
from given import FACTS, LANGUAGES, OUT, answer, documents
from marked import FIRST_ID

sizes = {name: found for name, _, found, _ in documents()}
number = {name: i for name, i, _, _ in documents()}
steps = []
for stage, (_, length) in enumerate(FACTS["phases"]):
    mixture = json.loads((OUT / f"mixture-{stage}.json").read_text())
    total = sum(row["weight"] for row in mixture.values())
    parts = {}
    for name in mixture:
        rows = grain.MapDataset.source([(name, size) for size in sizes[name]])
        parts[name] = rows.shuffle(seed=0).repeat(1000).to_iter_dataset()
    mixed = grain.IterDataset.mix(parts, {name: row["weight"] / total for name, row in mixture.items()})
    found, wanted = [0] * (FIRST_ID + len(LANGUAGES)), length * FACTS["batch"] * FACTS["length"]
    for name, size in mixed:
        found[FIRST_ID + number[name]] += size - 1
        if sum(found) >= wanted:
            break
    steps.append({"stage": stage, "counts": found})
answer(steps)
