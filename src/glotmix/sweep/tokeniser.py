"""The program that an executor starts for a piece of a corpus. ``python -m glotmix.sweep.tokeniser ORDER.json``."""

from __future__ import annotations

import sys
from pathlib import Path

from glotmix.artifact import read_json
from glotmix.errors import GlotmixError
from glotmix.orphan import die_with_driver
from glotmix.sweep.lock import alone
from glotmix.tokens.pieces import follow


def main(order: Path) -> int:
    """Make one piece; exit code 0, or that of the error whose message goes to the log."""
    die_with_driver()
    with alone(order):
        try:
            follow(read_json(order))
        except GlotmixError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        except OSError as error:
            print(f"{error.filename or order}: {error.strerror or error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
