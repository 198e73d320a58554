"""Sound inputs made hostile: bytes cut and pasted, words and lines exchanged, values of JSON replaced by any others."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

Tree = tuple[Any, Callable[[Any], bytes]]
"""A JSON value that an input holds, and what the input is with another one in its place."""

VALUES = (
    None, True, False, 0, 1, -1, 2, 300, 1 << 31, 1 << 63, 1 << 200, 0.5, -0.0, 1e308, 1e-320, float("inf"), float("nan"), "",
    " ", "x" * 300, "../../x", "/etc/passwd", "=1+1", "\0", "\ud800", "no", "null", "1", "es", "spa_Latn", "<u2", "|O", [], {}, [[]],
    {"": None}, [None], "a\nb", "s3://x/y", "~", "$HOME", "{x}", "%s",
)  # fmt: skip
"""What belongs nowhere, or somewhere else."""
NUMBERS = (b"0", b"-1", b"nan", b"inf", b"1e999", b"9" * 400, b"0x1F", b"-0", b"1e-320", b".5", b"1_000", b"")
_WORD = re.compile(rb"[^\s,:{}\[\]\"']+")


def mutant(
    seeds: tuple[bytes, ...], words: tuple[bytes, ...], rng: random.Random, tree: Callable[[bytes], Tree | None]
) -> bytes:
    """One of the sound inputs, changed one to three times."""
    data = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        found = tree(data) if rng.random() < 0.5 else None
        data = replaced(*found, rng) if found else rng.choice((cut, exchanged, moved))(data, words, rng)
    return data


def cut(data: bytes, words: tuple[bytes, ...], rng: random.Random) -> bytes:
    """Up to nine bytes give way to syntax, noise or a bit that flips."""
    at = rng.randrange(len(data) + 1)
    if data[at:] and rng.random() < 0.3:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    piece = rng.choice(words) if words and rng.random() < 0.6 else rng.randbytes(rng.randrange(6))
    return data[:at] + piece + data[at + rng.randrange(10) :]


def exchanged(data: bytes, words: tuple[bytes, ...], rng: random.Random) -> bytes:
    """A word gives way to another one, to a number or to syntax."""
    found = list(_WORD.finditer(data))
    if not found:
        return cut(data, words, rng)
    at = rng.choice(found)
    piece = rng.choice((rng.choice(found)[0], rng.choice(NUMBERS), rng.choice(words or NUMBERS)))
    return data[: at.start()] + piece + data[at.end() :]


def moved(data: bytes, words: tuple[bytes, ...], rng: random.Random) -> bytes:
    """A line is lost, copied elsewhere, repeated, indented or cut short."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        case 2:
            lines[at:at] = [lines[at]] * rng.choice((2, 40))
        case 3:
            lines[at] = b" " * rng.randrange(1, 9) + lines[at]
        case _:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
    return b"\n".join(lines)


def replaced(value: Any, put: Callable[[Any], bytes], rng: random.Random) -> bytes:
    """One value somewhere in a tree is lost, replaced, wrapped, or kept under another name."""
    places = list(_places(value))
    if not places:
        return put(rng.choice(VALUES))
    holder, key = rng.choice(places)
    match rng.randrange(6):
        case 0:
            del holder[key]
        case 1:
            other, name = rng.choice(places)
            holder[key] = json.loads(json.dumps(other[name]))
        case 2 if isinstance(holder, dict):
            names = [name for one, name in places if isinstance(one, dict)]
            holder[rng.choice((*names, "", "x", "../x", "\0"))] = holder.pop(key)
        case 3:
            holder[key] = rng.choice(([holder[key]], {"x": holder[key]}, [holder[key]] * 3))
        case _:
            holder[key] = rng.choice(VALUES)
    return put(value)


def _places(value: Any) -> Any:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])
