"""Pseudo-random orders that are computed, not stored: a keyed bijection on [0, n) and the hash beneath it.

Everything is 64-bit integer arithmetic defined here, so an order does not change with NumPy's version, the machine, or
how the indices are cut into calls.
"""

from __future__ import annotations

import hashlib

import numpy as np

ROUNDS = 6
"""Feistel rounds, each half three times; tests compare positions and neighbours with uniform permutations."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


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
    """A whole pseudo-random permutation of ``range(size)``, by sorting hashes (which never tie)."""
    return np.argsort(hashed(key, np.arange(size)))


def permuted(position: np.ndarray, size: int, key: np.ndarray) -> np.ndarray:
    """Where a pseudo-random permutation of ``[0, size)`` sends each position.

    An alternating Feistel network on the next power of two, walked along its cycle until the value is below ``size``
    (Black & Rogaway 2002), after a keyed rotation that makes every image equally likely also where the network is tiny.

    Args:
        position: integers in [0, size), any shape.
        size: size of the domain, at least 1.
        key: 64-bit keys that broadcast against ``position``; each key is a permutation of its own.
    """
    bits = max(size - 1, 0).bit_length()
    low_bits, high_bits = np.uint64((bits + 1) // 2), np.uint64(bits // 2)
    key = np.broadcast_to(key, position.shape)
    rotation = (mix(key) >> _32) % np.uint64(size)
    value = (position.astype(np.uint64) + rotation) % np.uint64(size)
    pending = np.arange(value.size)
    flat, keys = value.reshape(-1), key.reshape(-1)
    while pending.size:
        walked = _feistel(flat[pending], keys[pending], low_bits, high_bits)
        flat[pending] = walked
        pending = pending[walked >= np.uint64(size)]
    return flat.reshape(position.shape).astype(np.int64)


def _feistel(value: np.ndarray, key: np.ndarray, low_bits: np.uint64, high_bits: np.uint64) -> np.ndarray:
    one = np.uint64(1)
    low_mask, high_mask = (one << low_bits) - one, (one << high_bits) - one
    low, high = value & low_mask, value >> low_bits
    for turn in range(ROUNDS):
        round_key = key + np.uint64((turn + 1) * int(_GOLDEN) % 2**64)
        if turn % 2:
            low = low ^ (mix(round_key ^ high) & low_mask)
        else:
            high = high ^ (mix(round_key ^ low) & high_mask)
    return (high << low_bits) | low
