"""Tasks of the post-training grid. One per file; ``tests/posttraining/test_tasks.py`` holds all of them to the same."""

from __future__ import annotations

from glotmix.errors import BadInput
from glotmix.posttraining.tasks.instructions import Instructions
from glotmix.posttraining.tasks.mathematics import Mathematics
from glotmix.posttraining.tasks.summarisation import Summarisation
from glotmix.posttraining.tasks.task import Task as Task

_TASKS: dict[str, Task] = {task.name: task for task in (Mathematics(), Instructions(), Summarisation())}


def all_tasks() -> tuple[str, ...]:
    """Names of the tasks."""
    return tuple(_TASKS)


def find_task(name: str) -> Task:
    """The task of that name.

    Raises:
        BadInput: there is none.
    """
    if name not in _TASKS:
        raise BadInput(f"no task {name!r}", expected=" | ".join(_TASKS))
    return _TASKS[name]
