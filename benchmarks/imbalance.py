"""What predictions rest on where one language has less or more data than the others: the recipe's answer, as a table.

glotmix run recipes/tracin.yaml --scale imbalance --out out/imbalance
python benchmarks/imbalance.py out/imbalance     # keeps what the study found in benchmarks/results/imbalance.json
python benchmarks/imbalance.py --show            # the table of docs/methods/influence.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tables import head, line, spread

from glotmix.artifact import read_json, write_json

RESULTS = Path(__file__).parent / "results" / "imbalance.json"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("study", nargs="?", type=Path)
    arguments.add_argument("--show", action="store_true")
    asked = arguments.parse_args()
    if asked.study:
        write_json(RESULTS, read_json(asked.study / "findings.json"))
    if not asked.show:
        return
    names = ("part of the training samples", "of the top 40: its own tests", "the others' tests")
    head("language, of its samples", *names)
    for task in read_json(RESULTS):
        for row in task["imbalance"]:
            which = f"{row['language']} × {row['factor']:g}"
            line(which, f"{row['part']:.3f}", spread(row["own"]), spread(row["others"]))


if __name__ == "__main__":
    main()
