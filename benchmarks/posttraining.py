"""The recipe of post-training at its smallest scale, from nothing to its page: what it finds, and how long it takes.

    python benchmarks/posttraining.py [--directory DIR]    run what is missing, keep the result
    python benchmarks/posttraining.py --table              print the kept result as docs/methods/post-training.md has it

Interrupted and called again, it goes on; the time of every sitting is kept, wall clock and processors (all processes).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rounding import rounded

from glotmix.artifact import read_json, write_json

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "post-training.yaml"
RESULT = Path(__file__).parent / "results" / "posttraining.json"
LEFT_OUT = ("config", "fingerprint", "names", "failed", "dropped", "title", "question")


def sitting(directory: Path, changes: list[str]) -> dict[str, float]:
    """Run the recipe; what it took."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    sets = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "glotmix", "run", str(RECIPE), "--out", str(directory), *sets]
    code = subprocess.run(command, check=False).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.monotonic() - began, "processor_seconds": used, "exit_code": code}


def told(estimate: dict[str, Any], digits: int = 2) -> str:
    """A value and its interval."""
    if estimate["low"] is None:
        return f"{estimate['value']:.{digits}f}"
    return f"{estimate['value']:.{digits}f} ({estimate['low']:.{digits}f} to {estimate['high']:.{digits}f})"


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def half(fit: dict[str, Any]) -> str:
    """A saturation point; only the end that there is where the data leave the other open."""
    if fit["n50"] is None:
        return "no gain shown"
    if fit["high"] is None:
        return f"more than {fit['low']:.0f}" if fit["low"] else "not bounded"
    return f"{fit['n50']:.0f} ({fit['low']:.0f} to {fit['high']:.0f})" if fit["low"] else f"less than {fit['high']:.0f}"


def markdown(result: dict[str, Any]) -> Iterator[str]:
    """The tables of docs/methods/post-training.md."""
    found = result["findings"]
    yield row("task", "blind answers", "untrained", "largest cell", "gain on the same questions")
    yield "|---|---|---|---|---|"
    for task in found["tasks"]:
        estimates = [told(task[name]) for name in ("untrained", "best", "gain")]
        yield row(task["task"], f"{task['chance']:.2f}", *estimates)
    yield ""
    sizes = found["curves"][0]["sizes"]
    yield row("task", "languages", *sizes)
    yield "|---|---|" + "---|" * len(sizes)
    for curve in found["curves"]:
        groups = {name: curve["groups"][name] for name in ("pivot", "seen", "unseen")}
        groups |= {"seen − unseen": curve["gap"]} if curve["gap"] else {}
        for name, estimates in groups.items():
            yield row(curve["task"], name, *map(told, estimates))
    yield ""
    yield row("task", "languages", "n50", "no gain left from", "95 % of the best at", "surely at")
    yield "|---|---|---|---|---|---|"
    plans = {plan["task"]: plan for plan in found["plans"]}
    for curve in found["curves"]:
        plan = plans.get(curve["task"], {"size": "–", "sure_size": None})
        flat = "not shown" if curve["plateau"] is None else curve["plateau"]
        sure = "not shown" if plan["sure_size"] is None else plan["sure_size"]
        for fit in curve["saturation"]:
            yield row(curve["task"], fit["languages"], half(fit), flat, plan["size"], sure)
    yield ""
    for task in found["influence"]:
        yield row(f"{task['task']}: answers in", *task["languages"])
        yield "|---|" + "---|" * len(task["languages"])
        for name, shares in task["shares"].items():
            yield row(name, *map(told, shares))
        yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="print the kept result as Markdown and stop")
    parser.add_argument("--directory", type=Path, default=ROOT / "out" / "post-training")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=value", help="change a field of the recipe")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    if arguments.table:
        print("\n".join(markdown(json.loads(arguments.out.read_text(encoding="utf-8")))))
        return
    log = arguments.directory / "sittings.json"
    before = read_json(log) if log.is_file() else []
    sittings = [*before, sitting(arguments.directory, arguments.set)]
    write_json(log, sittings)
    if sittings[-1]["exit_code"]:
        sys.exit(f"the recipe failed; call again to go on in {arguments.directory}")
    findings = read_json(arguments.directory / "findings.json")
    result = {
        "changes": arguments.set,
        "findings": {key: value for key, value in findings.items() if key not in LEFT_OUT},
        "sittings": sittings,
        "machine": {"processor": platform.machine(), "cores": len(os.sched_getaffinity(0))},
    }
    arguments.out.write_text(json.dumps(rounded(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\n".join(markdown(result)))


if __name__ == "__main__":
    main()
