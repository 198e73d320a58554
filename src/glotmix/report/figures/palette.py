"""The transfer matrix's colours: blue helps, orange hurts, told apart by every common form of colour blindness."""

from __future__ import annotations

import numpy as np

LIGHT = ("#a84300", "#f2efe9", "#0a4f9e")
"""Most harmful, zero, most helpful on a light page; dark ends, light middle."""
DARK = ("#ff9d5c", "#262b35", "#74b8ff")
"""The same on a dark page; light ends, dark middle."""


def ramp(ends: tuple[str, str, str], steps: int) -> dict[str, str]:
    """CSS variable to colour: ``hn9 … h0 … hp9``, evenly spaced in Oklab (B. Ottosson, 2020)."""
    harm, zero, help_ = (_to_oklab(_rgb(colour)) for colour in ends)
    colours = {"h0": _hex(_from_oklab(zero))}
    for k in range(1, steps + 1):
        part = 0.12 + 0.88 * k / steps
        colours[f"hn{k}"] = _hex(_from_oklab(zero + part * (harm - zero)))
        colours[f"hp{k}"] = _hex(_from_oklab(zero + part * (help_ - zero)))
    return colours


def variables(steps: int) -> str:
    """CSS declarations ``--hp1: light-dark(…, …)`` and so on."""
    light, dark = ramp(LIGHT, steps), ramp(DARK, steps)
    return ";".join(f"--{name}:light-dark({light[name]},{dark[name]})" for name in light)


def classes(steps: int) -> str:
    """CSS classes that fill with the variables."""
    return "".join(f".{name}{{fill:var(--{name})}}" for name in ramp(LIGHT, steps))


_M1 = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_M2 = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def _hex(rgb: np.ndarray) -> str:
    return "#" + "".join(f"{round(255 * float(np.clip(c, 0, 1))):02x}" for c in rgb)


def _to_oklab(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(_M2 @ np.cbrt(_M1 @ linear))


def _from_oklab(lab: np.ndarray) -> np.ndarray:
    linear = np.linalg.solve(_M1, np.linalg.solve(_M2, lab) ** 3)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)
