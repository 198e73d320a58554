"""Tokenising over an executor: every piece of a corpus is a job, retried and resumed as a proxy's is.

Also the program that makes one piece: ``python -m glotmix.sweep.tokenising ORDER.json``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from glotmix.artifact import write_json
from glotmix.errors import BadInput, GlotmixError
from glotmix.progress import Advance
from glotmix.sweep.executors.executor import Executor, Job
from glotmix.sweep.order import follow
from glotmix.tokens import pieces
from glotmix.tokens.pieces import Piece, TokenizeSpec


class ExecutorTokenizer:
    """What :func:`glotmix.tokens.build.build_store` makes pieces with, where there are many."""

    def __init__(self, executor: Callable[[], Executor], jobs: Path, retries: int = 1):
        """
        Args:
            executor: opens what they are made by; not asked for where nothing is to be made.
            jobs: directory of orders and logs.
            retries: how many times a piece whose process died is tried again.
        """
        self._executor, self._jobs, self._retries = executor, jobs, retries

    def __call__(self, workshop: TokenizeSpec, pieces: Sequence[Piece], progress: Advance | None) -> None:
        """Make all pieces.

        Raises:
            BadInput: the corpus is at fault; the worker's message.
            GlotmixError: a piece could not be made on any try.
        """
        total = sum(piece.part.bytes for piece in pieces if piece.part)
        done: set[str] = set()

        def tick() -> None:
            if progress is not None:
                behind = sum(p.part.bytes for p in pieces if p.part and p.directory.name in done)
                progress("tokenising", behind, total)

        executor = self._executor()
        left, reason = {self._job(workshop, piece).name: piece for piece in pieces}, ""
        for _ in range(self._retries + 1):
            for end in executor.run([self._job(workshop, piece) for piece in left.values()], tick):
                if end.returncode == BadInput.exit_code:
                    raise BadInput(end.reason)
                piece = left[end.job.name]
                if piece.is_complete():
                    done.add(piece.directory.name)
                    del left[end.job.name]
                else:
                    reason = end.reason or f"exit code {end.returncode}"
            tick()
            if not left:
                return
        raise GlotmixError(f"{len(left)} pieces of the corpus could not be tokenised, the last because: {reason}")

    def _job(self, workshop: TokenizeSpec, piece: Piece) -> Job:
        name = f"tokens-{piece.directory.name}"
        order = self._jobs / f"{name}.json"
        write_json(order, workshop.order(piece))
        command = (sys.executable, "-m", "glotmix.sweep.tokenising", str(order.resolve()))
        return Job(name, command, self._jobs / f"{name}.log")


def main(path: Path) -> int:
    """Make the piece that an order asks for; exit code 0, or that of the error whose message goes to the log."""
    return follow(path, pieces.follow)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
