"""Sound inputs made hostile: bytes cut and pasted, words and lines exchanged, values of JSON replaced by any others."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from glotmix.errors import GlotmixError

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


class Hostile:
    """A reader under test. ``of(data)`` puts the bytes where they are looked for and reads them."""

    seeds: tuple[bytes, ...]
    """Sound inputs that mutations start from."""
    words: tuple[bytes, ...] = ()
    """Pieces of the format's syntax."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.seeds = tuple(self.make())

    def make(self) -> list[bytes]:
        raise NotImplementedError

    def read(self, data: bytes) -> object:
        raise NotImplementedError

    def __call__(self, data: bytes) -> bool:
        """Whether the input was accepted; a rejection must be an error of ours that names the place and the reason."""
        try:
            self.read(data)
        except GlotmixError as error:
            text = str(error)
            assert str(self.folder) in text, f"no place: {text!r}"
            assert len(text.replace(str(self.folder), "")) > 12, f"no reason: {text!r}"
            return False
        return True

    def tree(self, data: bytes) -> Tree | None:
        """The JSON value in an input and how to put another in its place; None where there is none."""
        return parsed(data, lambda value: json.dumps(value).encode())

    def mutant(self, rng: random.Random) -> bytes:
        """A sound input with a few changes."""
        return mutant(self.seeds, self.words, rng, self.tree)

    def strategy(self) -> st.SearchStrategy[bytes]:
        """Arbitrary bytes, sound inputs cut up and put together with syntax and rubbish, and mutants."""
        rubbish = st.one_of(st.binary(max_size=20), st.sampled_from([*self.words, b"\0", b"\xff\xfe", b"-1", b"1e999"]))
        return st.one_of(
            st.binary(max_size=200),
            st.builds(
                spliced,
                st.sampled_from(self.seeds),
                st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), rubbish), max_size=4),
            ),
            st.builds(lambda seed: self.mutant(random.Random(seed)), st.integers(0, 1 << 64)),
        )


def parsed(data: bytes, put: Callable[[object], bytes]) -> Tree | None:
    try:
        return json.loads(data), put
    except (ValueError, RecursionError):
        return None


def spliced(data: bytes, cuts: list[tuple[float, int, bytes]]) -> bytes:
    for where, length, piece in cuts:
        at = int(where * len(data))
        data = data[:at] + piece + data[at + length :]
    return data
