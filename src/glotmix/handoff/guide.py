"""README.md of a handoff: what to run, where results go, in which form, and what has come back."""

from __future__ import annotations

from collections.abc import Sequence

from glotmix.exporters import EXPORTERS
from glotmix.exporters.flags import loads
from glotmix.handoff.asked import About
from glotmix.handoff.check import Collection
from glotmix.wording import counted

MOST_LISTED = 40


def guide(collection: Collection, waiting: Sequence[str], command: str | None) -> str:
    """The page.

    Args:
        collection: what was asked and what has come back.
        waiting: full names of the runs that are needed now and have not come back.
        command: how a run is started, if the study tells.
    """
    about = collection.about
    ended = {one: [] for one in ("complete", "diverged", "failed")}  # type: dict[str, list[str]]
    for run in collection.runs.values():
        ended[run.status].append(run.asked.run)
    state = ", ".join(f"{len(runs)} {status}" for status, runs in ended.items() if runs) or "nothing has come back yet"
    example = next(iter(waiting), next(iter(collection.asked), "RUN.CHECKSUM"))
    first = about.targets[0]
    parts = [
        "# Runs for your trainer\n",
        f"{counted(len(waiting), 'run')} of {len(collection.asked)} {'waits' if len(waiting) == 1 else 'wait'}; "
        f"{state}. This page is written anew at every `glotmix run`.\n",
        "## What to run\n",
        f"`runs/RUN/` holds the files of {about.trainer} for one run, `realised.json` with the shares that it will "
        "really give, and `asked.json` with seed, steps, sizes and flags. `runs.csv` lists all of them, `waiting.txt` "
        "those that are needed now, the most useful first.\n",
    ]
    if command is None:
        parts.append(
            "Set `sweep.command` in the study (`bash train.sh {run_dir} {arguments}`), and scripts that start the runs "
            "are written here.\n"
        )
    else:
        parts.append(
            f"```sh\nbash loop.sh                     # one after the other, here\nsbatch slurm.sh    "
            f"              # or a SLURM array, from this folder\nbash commands/{example}.sh\n```\n"
        )
    if about.base is not None:
        parts += _start(about)
    remarks = list(dict.fromkeys(text for name in waiting for text in collection.asked[name].remarks))
    if remarks:
        parts.append("The trainer's own rule, in words:\n")
        parts.append("".join(f"- {text}\n" for text in remarks[:MOST_LISTED]))
    parts += [
        "## What to measure\n",
        f"The loss at the end of each run on the text of {counted(len(about.targets), 'target')}, in "
        "`held_out/<target>.jsonl` (`~` for a slash in its name), which must not be trained on: whole documents, every "
        "token predicted, the end of "
        "each document too. A loss per token is converted by the bytes per token of this study's tokenizer, so it must "
        "be your trainer's.\n",
        "| target | bytes per token |\n|---|---|\n"
        + "".join(f"| {target} | {about.bytes_per_token[target]:.4f} |\n" for target in about.targets),
        *_scores(about),
        "## Where results go\n",
        "Into `results/`, in any of these forms; a run is known by its full name, with its checksum, never by its "
        "place:\n",
        "```python\nfrom glotmix.live import report      # appends a line to results/RUN.jsonl\n"
        f'report("{example}", step=…, losses={{"{first}": …, …}})   # nats per token; unit="bits_per_byte"\n```\n',
        f'- `results/*.jsonl`: `{{"run": "{example}", "D": …, "bits_per_byte": {{"{first}": …}}}}` a line\n'
        f"- `results/*.csv`: columns `run, D, bits_per_byte/{first}, …` (or `nats_per_token/…`), in any order; a run "
        "that will not come back has `status` diverged or failed, and a `reason`\n"
        f"- `results/{example}/…`: your trainer's own files in a folder of the run's full name\n",
        "Then call `glotmix run` again.\n",
    ]
    if collection.refused:
        parts.append(f"## Refused\n\n{''.join(f'- {one}' + chr(10) for one in collection.refused[:MOST_LISTED])}")
    if waiting:
        shown = "".join(f"- {name}\n" for name in waiting[:MOST_LISTED])
        rest = len(waiting) - MOST_LISTED
        parts.append(f"## Waiting\n\n{shown}{f'- and {rest} more' + chr(10) if rest > 0 else ''}")
    return "\n".join(parts)


def _scores(about: About) -> list[str]:
    """Scores that are wanted beside the losses."""
    if not about.scores:
        return []
    rows = "".join(
        f"| {name} | {one.metric or 'acc, or another'} | {one.task or name} |\n" for name, one in about.scores.items()
    )
    return [
        "And these scores, from 0 to 1 or in percent, as results of lm-evaluation-harness or beside the losses "
        '(a column `acc/<target>`, or `"acc": {"<target>": …}`):\n',
        f"| target | score | task of the harness |\n|---|---|---|\n{rows}",
    ]


def _start(about: About) -> list[str]:
    """What all runs go on from, and what is to be measured before they do."""
    known = loads(EXPORTERS.find(about.trainer).flags)
    how = (
        "the flags of every run say so"
        if known
        else f"the flag by which {about.trainer} loads a model is not known here, so load it by your own"
    )
    return [
        "## What to start from\n",
        f"All runs go on from one model, `{about.base}`, with new optimiser states and a new learning-rate schedule: "
        f"{how}. Report its losses before the first step of at least one run as well (`step=0`): they tell what "
        "is gained and forgotten.\n",
    ]
