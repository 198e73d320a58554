"""Pseudo-random orders that are computed, not stored: a keyed bijection on [0, n) and the hash beneath it.

Everything is 64-bit integer arithmetic defined here, so an order does not change with NumPy's version, the machine, or
how the indices are cut into calls.
"""

from __future__ import annotations

import hashlib

import numpy as np

ROUNDS = 6
"""Rounds of the large permutation; from four on, tests cannot tell images and neighbours from uniform ones."""
SORTED = 1024
"""Largest domain whose permutations are drawn as a whole."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)
_ONE, _HALF = np.uint64(1), np.uint64(32)
_ROUND_KEYS = np.arange(1, ROUNDS + 1, dtype=np.uint64) * _GOLDEN


def key_of(*parts: object) -> np.ndarray:
    """A 64-bit key (an array of one, whose arithmetic wraps) from a seed and names; the same on every machine."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return np.array([int.from_bytes(digest, "little")], dtype=np.uint64)


def mix(value: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014): a bijection of 64-bit integers that looks random."""
    value = (value ^ (value >> _30)) * _MIX1
    value = (value ^ (value >> _27)) * _MIX2
    return np.asarray(value ^ (value >> _31))


def hashed(key: np.ndarray, counter: np.ndarray) -> np.ndarray:
    """64 pseudo-random bits for each counter; different counters under one key give different values."""
    return mix(key + (counter.astype(np.uint64) + np.uint64(1)) * _GOLDEN)


def shuffled(key: np.ndarray, size: int) -> np.ndarray:
    """Whole pseudo-random permutations of ``range(size)``, one row per key, by sorting hashes (which never tie)."""
    return hashed(key[..., None], np.arange(size)).argsort(axis=-1)


def permuted(position: np.ndarray, size: int, keys: np.ndarray, which: np.ndarray | None = None) -> np.ndarray:
    """Where pseudo-random permutations of ``[0, size)`` send each position.

    Up to ``SORTED`` a permutation is drawn uniformly, as a whole. Above, a bijection of the next power of two is walked
    along its cycle until the value is below ``size`` (Black & Rogaway 2002): the same cost at any position of any size,
    but on few bits not uniform enough.

    Args:
        position: integers in [0, size), shape [N].
        size: size of the domain, from 1 to 2^62.
        keys: 64-bit keys, shape [M]; each is a permutation of its own.
        which: index of the key for each position, shape [N]; the first for all when not given.
    """
    if size <= SORTED:
        return np.asarray(shuffled(keys, size)[0 if which is None else which, position])
    bits = (size - 1).bit_length()
    round_keys_RN = mix(keys + _ROUND_KEYS[:, None])[:, [0] if which is None else which]
    value = _scrambled(position.astype(np.uint64), round_keys_RN, bits)
    while (outside := (value >= np.uint64(size)).nonzero()[0]).size:
        keys_RN = round_keys_RN if which is None else round_keys_RN[:, outside]
        value[outside] = _scrambled(value[outside], keys_RN, bits)
    return value.astype(np.int64)


def _scrambled(value: np.ndarray, round_keys_RN: np.ndarray, bits: int) -> np.ndarray:
    """A keyed bijection of integers with ``bits`` bits: rounds of add, multiply by an odd number, fold."""
    mask, fold = np.uint64(2**bits - 1), np.uint64((bits + 1) // 2)
    for added_N, odd_N in zip(round_keys_RN, (round_keys_RN >> _HALF) | _ONE, strict=True):
        value = (value + added_N) * odd_N & mask
        value ^= value >> fold
    return value
