"""The precision of a study's proxies: decided once, by the driver, and kept in the study's directory.

Every order, run and state repeats it. A study that is called again, on whatever machine, goes on in the precision that
it began in, so its runs stay comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glotmix.artifact import read_json, write_json
from glotmix.errors import BadInput, Corrupt

if TYPE_CHECKING:
    from glotmix.proxy.model import Shape
    from glotmix.proxy.precision import Decision

RECORD = "precision.json"
"""Where it is kept, in the study's directory."""


def settled(
    directory: Path, wanted: str, steps: Sequence[tuple[Shape, int]], device: str, say: Callable[[str], None] = print
) -> Decision:
    """The precision that the study in ``directory`` has; decided and written down where it has none yet.

    Args:
        directory: of the study.
        wanted: ``proxy.precision``.
        steps: shape, and sequences of a step, of all its proxies.
        device: kind of device that they train on.
        say: told the decision, and where this machine would have taken another.

    Raises:
        BadInput: the study was begun in another precision than is asked for.
    """
    from glotmix.proxy.precision import Decision, decide

    mine, kept = decide(wanted, steps, device), recorded(directory)
    if kept is None:
        write_json(directory / RECORD, {"precision": mine.precision, "reason": mine.reason})
        say(f"Matrix products in {mine.precision}: {mine.reason}")
        return mine
    name, reason = kept
    if wanted not in ("auto", name):
        raise BadInput(
            f"its runs are in {name} ({reason}), proxy.precision asks for {wanted}",
            where=directory / RECORD,
            expected=f"proxy.precision: {name} or auto, or another --out directory",
        )
    if mine.precision != name:
        say(f"Matrix products in {name}, in which this study began; {mine.precision} here ({mine.reason})")
    return Decision(name, reason)


def recorded(directory: Path) -> tuple[Literal["float32", "bfloat16"], str] | None:
    """The precision that a study's directory holds, and the reason; None where nothing was trained yet.

    Raises:
        Corrupt: the record is none.
    """
    path = directory / RECORD
    if not path.is_file():
        return None
    found = read_json(path)
    name = found.get("precision") if isinstance(found, dict) else None
    if name not in ("float32", "bfloat16"):
        raise Corrupt(f"{path}: precision = {name!r}, expected float32 or bfloat16")
    return name, str(found.get("reason", ""))


def described(directory: Path) -> str:
    """The same for a reader: "float32 (why)"; "not recorded" where nothing was."""
    found = recorded(directory)
    return "not recorded" if found is None else f"{found[0]} ({found[1]})"
