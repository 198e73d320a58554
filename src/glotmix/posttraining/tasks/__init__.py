"""Tasks of the post-training grid. One per file; ``tests/posttraining/test_tasks.py`` holds all of them to the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glotmix.registry import Registry

if TYPE_CHECKING:
    from glotmix.posttraining.tasks.task import Task

TASKS = Registry(
    "task",
    {
        "mathematics": "glotmix.posttraining.tasks.mathematics:Mathematics",
        "instructions": "glotmix.posttraining.tasks.instructions:Instructions",
        "summarisation": "glotmix.posttraining.tasks.summarisation:Summarisation",
        "chat": "glotmix.posttraining.tasks.chat:Chat",
    },
)
"""Name in the configuration to the class."""


def find_task(name: str) -> Task:
    """The task of that name.

    Raises:
        BadInput: there is none.
    """
    task: Task = TASKS.find(name)()
    return task
