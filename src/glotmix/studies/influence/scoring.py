"""How a study's runs are scored: exactly where the test gradients fit into memory together, else with an index.

Exact products of test samples that do not fit take the training gradients once more for every part of them; projected
ones are computed once per checkpoint, and their error is measured and told (:mod:`glotmix.attribution.index`). What was
decided for a task is kept beside its runs, so that a study that goes on, with other memory free, scores as it began.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glotmix.artifact import MANIFEST, read_json, write_json
from glotmix.errors import BadInput
from glotmix.studies.influence.config import ScoresConfig

if TYPE_CHECKING:
    from glotmix.attribution.finished import FinishedRun
    from glotmix.attribution.index import ProjectionError
    from glotmix.attribution.samples import Samples
    from glotmix.attribution.tracin import GradientProducts

FILE = "scoring.json"


def query_bytes(how: ScoresConfig) -> int | None:
    """Memory for test gradients, where it is given."""
    return None if how.query_gb is None else int(how.query_gb * 1e9)


def is_projected(directory: Path, task: str, how: ScoresConfig, model: Any, tests: int) -> bool:
    """Whether a task's runs are scored with an index: as the study says, else as was decided when it began.

    Args:
        directory: of the study.
        task: name of the task.
        how: as the study says.
        model: one of the tuned ones, where it is scored.
        tests: test samples.
    """
    from glotmix.attribution.tracin import queries_at_once

    if how.method != "auto":
        return how.method == "projected"
    at_once = queries_at_once(model, how.parameters, tests, query_bytes(how), how.processes)
    if how.query_gb is not None:
        return at_once < tests
    path = directory / FILE
    decided: dict[str, str] = read_json(path) if path.is_file() else {}
    if task not in decided:
        decided[task] = "exact" if at_once >= tests else "projected"
        write_json(path, decided)
    return decided[task] == "projected"


def products_of(
    finished: FinishedRun,
    test: Samples,
    train: Samples,
    how: ScoresConfig,
    index: Path | None,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[GradientProducts, ProjectionError | None]:
    """Products of all test and training gradients of a run; if they are projected, with their error.

    Args:
        finished: the run, its model where it is scored.
        test: test samples.
        train: training samples.
        how: parameters, batch, processes, memory, dimensions.
        index: directory of the index to make or to ask; None for exact products.
        seed: of the projection.
        on_progress: called with (training samples done, in all).

    Raises:
        BadInput: an index of other samples or checkpoints, or samples that do not fit the model.
    """
    from glotmix.attribution.index import build_index, open_index
    from glotmix.attribution.influence import Described
    from glotmix.attribution.tracin import gradient_products

    run = (finished.model, finished.loss, finished.checkpoints)
    parameters, batch, processes = how.parameters, how.batch, how.processes
    if index is None:
        exact = gradient_products(
            *run,
            test,
            train,
            parameters=parameters,
            batch=batch,
            processes=processes,
            query_bytes=query_bytes(how),
            on_progress=on_progress,
        )
        return exact, None
    if not (index / MANIFEST).is_file():
        build_index(
            index,
            *run,
            train,
            parameters=parameters,
            batch=batch,
            processes=processes,
            dimensions=how.dimensions,
            seed=seed,
            on_progress=on_progress,
        )
    made = open_index(index)
    if made.train != Described.of(train):
        raise BadInput("made of other training samples", where=index, expected="the same, or another index")
    return made.products(*run, test, batch=batch), made.error


def error_of(error: ProjectionError) -> str:
    """A projection's error in words."""
    return (
        f"projected cosines are off by {error.rms:.3f} (root mean square; exact ones are "
        f"{error.scale:.3f}), rank correlation {error.correlation:.2f}, {error.overlap:.0%} of the exact top "
        f"{error.top} found ({error.chance:.0%} at random)"
    )
