"""The command line: one sub-command per stage. Commands import their stages when they are called."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from glotmix.commands import (
    compare,
    export,
    fields,
    fit,
    handoff,
    influence,
    init,
    listings,
    optimize,
    predict,
    report,
    scale,
    shapley,
    study,
)
from glotmix.commands.output import abandon_output, fail, prepare_console
from glotmix.errors import GlotmixError, Waiting

app = typer.Typer(
    name="glotmix",
    help="Choose the language mixture of a multilingual language model from evidence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
COMMANDS = (
    init.init,
    study.run,
    compare.compare,
    compare.methods,
    study.census,
    handoff.design,
    handoff.collect,
    fit.fit,
    predict.predict,
    shapley.shapley,
    optimize.optimize,
    scale.scale,
    optimize.reuse,
    export.export,
    influence.influence,
    report.report,
    study.status,
    study.sky,
    listings.laws,
    listings.exporters,
    listings.recipes,
    fields.fields,
)
"""Every command, in the order in which `glotmix --help` lists them."""
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Entry point: errors become one line and an exit code (1 failed, 2 bad input, 3 waiting for another's trainer)."""
    # Before torch is loaded. By default threads that wait for each other spin, also for one whose core another
    # process has (a sweep's worker, a browser): a pass then takes many times as long (benchmarks/threads.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Before numpy is loaded. Fits and optima are made of small matrices: beside other work threads of linear algebra
    # wait for one another, and with them sums come in another order, so with other last digits.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    prepare_console()
    try:
        app()
    except Waiting as waiting:
        print(waiting, file=sys.stderr)
        sys.exit(waiting.exit_code)
    except GlotmixError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted; what was trained is kept, and the same command resumes where it stopped", 130)
    except OSError as error:
        abandon_output()
        fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 1)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from glotmix.version import __version__

        print(f"glotmix {__version__}")
        raise typer.Exit
