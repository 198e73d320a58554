"""Pseudo-random orders that are computed, not stored: a keyed bijection on [0, n) and the hash beneath it.

Everything is 64-bit integer arithmetic defined here, so an order does not change with NumPy's version, the machine, or
how the indices are cut into calls.
"""

from __future__ import annotations

import hashlib

import numpy as np

ROUNDS = 6
"""Feistel rounds, each half three times; tests compare images and neighbours with uniform permutations."""
SORTED = 1024
"""Largest domain whose permutations are drawn as a whole."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)
_ONE, _HALF = np.uint64(1), np.uint64(32)


def key_of(*parts: object) -> np.ndarray:
    """A 64-bit key (an array of one, whose arithmetic wraps) from a seed and names; the same on every machine."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return np.array([int.from_bytes(digest, "little")], dtype=np.uint64)


def mix(value: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014): a bijection of 64-bit integers that looks random."""
    value = (value ^ (value >> _30)) * _MIX1
    value = (value ^ (value >> _27)) * _MIX2
    return value ^ (value >> _31)


def hashed(key: np.ndarray, counter: np.ndarray) -> np.ndarray:
    """64 pseudo-random bits for each counter; different counters under one key give different values."""
    return mix(key + (counter.astype(np.uint64) + np.uint64(1)) * _GOLDEN)


def shuffled(key: np.ndarray, size: int) -> np.ndarray:
    """Whole pseudo-random permutations of ``range(size)``, one row per key, by sorting hashes (which never tie)."""
    return np.argsort(hashed(key[..., None], np.arange(size)), axis=-1)


def permuted(position: np.ndarray, size: int, key: np.ndarray) -> np.ndarray:
    """Where a pseudo-random permutation of ``[0, size)`` sends each position.

    Up to ``SORTED`` the permutation is drawn uniformly, as a whole. Above it is an alternating Feistel network on the
    next power of two, walked along its cycle until the value is below ``size`` (Black & Rogaway 2002): the same cost at
    any position of any size, but on few bits not uniform enough.

    Args:
        position: integers in [0, size), shape [N].
        size: size of the domain, from 1 to 2^62.
        key: 64-bit keys, shape [N] or [1]; each key is a permutation of its own.
    """
    if size <= SORTED:
        keys, row = (key, 0) if key.size == 1 else np.unique(key, return_inverse=True)
        return shuffled(keys, size)[row, position]
    bits = (size - 1).bit_length()
    value = _feistel(position.astype(np.uint64), key, bits)
    while (outside := np.flatnonzero(value >= np.uint64(size))).size:
        value[outside] = _feistel(value[outside], key if key.size == 1 else key[outside], bits)
    return value.astype(np.int64)


def _feistel(value: np.ndarray, key: np.ndarray, bits: int) -> np.ndarray:
    """A keyed bijection of integers with ``bits`` bits, in two halves of which one may have a bit more."""
    low_bits, high_bits = np.uint64((bits + 1) // 2), np.uint64(bits // 2)
    low, high = value & ((_ONE << low_bits) - _ONE), value >> low_bits
    for turn in range(ROUNDS):
        round_key = key + np.uint64((turn + 1) * int(_GOLDEN) % 2**64)
        if turn % 2:
            low = low ^ _round(high, round_key, low_bits)
        else:
            high = high ^ _round(low, round_key, high_bits)
    return (high << low_bits) | low


def _round(half: np.ndarray, key: np.ndarray, bits: np.uint64) -> np.ndarray:
    """Pseudo-random ``bits`` bits from one half: the top of a keyed multiply, fold, multiply."""
    value = (half ^ key) * _MIX1
    value ^= value >> _HALF
    value *= _MIX2
    return value >> (np.uint64(64) - bits)
