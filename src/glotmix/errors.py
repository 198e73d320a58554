"""The two ways in which glotmix says no.

Every error names the place (file, line, field), the value found and what was expected, so that the command line can
print it without a traceback. Exit codes: 1 the work failed, 2 the input was bad.
"""

from __future__ import annotations

from collections.abc import Sequence


class GlotmixError(Exception):
    """The work could not be done although the input was sound (a diverged fit, a dead worker, a full disk)."""

    exit_code = 1


class BadInput(GlotmixError):
    """Something the user gave is wrong. Nothing was lost and nothing was half done."""

    exit_code = 2

    def __init__(self, message: str, *, where: object = None, expected: str | None = None):
        """
        Args:
            message: what is wrong, with the offending field and value.
            where: file, ``file:line`` or field in which it was found.
            expected: what would have been right.
        """
        self.message, self.where, self.expected = message, where, expected
        text = f"{where}: {message}" if where is not None else message
        super().__init__(f"{text} (expected {expected})" if expected else text)


class Problems(BadInput):
    """Several things that are wrong, all of them told at once."""

    def __init__(self, problems: Sequence[BadInput]):
        """
        Args:
            problems: at least one.
        """
        self.problems = tuple(one for given in problems for one in getattr(given, "problems", (given,)))
        listed = "".join(f"\n{number}. {one}" for number, one in enumerate(self.problems, 1))
        super().__init__(f"{len(self.problems)} problems:{listed}")


class Infeasible(BadInput):
    """Limits on a mixture that no mixture can meet; the message names the limits in conflict."""


class Corrupt(GlotmixError):
    """A file that glotmix wrote is not as it was written (truncated, changed, half copied)."""


class Stopped(GlotmixError):
    """A signal asked the work to end; what was done is kept, and the same command goes on from it."""

    exit_code = 130


class Waiting(GlotmixError):
    """Everything that can be done here is done; runs that are trained elsewhere have not come back yet."""

    exit_code = 3

    def __init__(self, runs: Sequence[str], guide: object):
        """
        Args:
            runs: names of the runs that are waited for.
            guide: file that tells what to run, and where results go.
        """
        self.runs, self.guide = tuple(runs), guide
        super().__init__(f"{len(runs)} run{'s wait' if len(runs) != 1 else ' waits'} for your trainer: {guide}")


class MissingExtra(GlotmixError):
    """An optional dependency is not installed; the message says which extra brings it."""

    exit_code = 2

    def __init__(self, package: str, extra: str):
        super().__init__(f"{package} is not installed: pip install 'glotmix[{extra}]'")


def refuse(problems: Sequence[BadInput]) -> None:
    """
    Raises:
        BadInput: there are problems; all of them.
    """
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
