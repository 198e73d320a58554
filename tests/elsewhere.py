"""A device that is none: tensors on it compute as on a CPU and refuse to meet tensors that lie elsewhere.

Inside :func:`elsewhere` the device ``DEVICE`` ("meta" by name, so that no code takes it for a CPU) holds tensors with
values. An operation on tensors of both kinds is an error, as on a GPU, unless one of them is a single number. So code
for a GPU runs whole, values and all, on a machine without one, and a tensor made on the wrong device shows.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

DEVICE = torch.device("meta")


class Mixed(RuntimeError):
    """Tensors of two devices met."""


class Elsewhere(torch.Tensor):
    """A tensor that says it is on ``DEVICE``."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner):
        options: dict[str, Any] = {"dtype": inner.dtype, "device": DEVICE, "requires_grad": False}
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), **options
        )
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __getitem__(self, place):
        return super().__getitem__(torch.tensor(place) if isinstance(place, list) else place)

    def tolist(self):
        """Numbers, as of any device."""
        return self.inner.tolist()

    def numpy(self, *, force=False):
        """Not without ``cpu()``, as of a GPU."""
        raise TypeError("a tensor on another device has no numpy array; cpu() first")

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return computed(function, args, kwargs or {})


MAY_READ_BOTH = ("copy_", "_to_copy", "_copy_from")
"""Operations whose purpose is to bring numbers from one device to another."""


def mapped(change, tree):
    """What operations take and give, with every leaf changed. As torch's ``tree_map``, which takes ten times as long for
    what are a few tensors in a list."""
    if type(tree) in (list, tuple):
        return type(tree)([mapped(change, one) for one in tree])
    return {name: mapped(change, one) for name, one in tree.items()} if type(tree) is dict else change(tree)


def leaves(tree):
    found = []
    mapped(found.append, tree)
    return found


def computed(function, args, kwargs):
    """An operation, on the CPU, for tensors of one device."""
    tensors = [one for one in leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    here = [one for one in tensors if not isinstance(one, Elsewhere) and one.ndim]
    assert not any(one.device == DEVICE for one in here), "made in a way that the stand-in does not see"
    there = any(isinstance(one, Elsewhere) for one in tensors)
    name = function.overloadpacket.__name__
    if name.startswith("index_put") or name == "index":  # places in a tensor on a device may be told from the CPU
        indices = {id(one) for one in args[1] if one is not None and isinstance(args[0], Elsewhere)}
        here = [one for one in here if id(one) not in indices]
    if here and there and name not in MAY_READ_BOTH:
        sizes = ", ".join(
            f"{tuple(t.shape)} on {'the device' if isinstance(t, Elsewhere) else 'the CPU'}" for t in tensors
        )
        raise Mixed(f"{name} of {sizes}")
    wanted = kwargs.get("device")
    lands_there = there if wanted is None else torch.device(wanted) == DEVICE
    plain_args, plain = mapped(lambda x: x.inner if isinstance(x, Elsewhere) else x, (args, kwargs))
    if wanted is not None:
        plain = plain | {"device": torch.device("cpu")}
    if name == "copy_" and isinstance(args[0], torch.Tensor):
        lands_there = isinstance(args[0], Elsewhere)
    out = function(*plain_args, **plain)
    if name == "_to_copy" and wanted is not None:
        moved = out.clone() if any(out is x for x in plain_args) else out
        return Elsewhere(moved) if lands_there else moved
    if not lands_there:
        return out
    wrapped = mapped(lambda x: Elsewhere(x) if isinstance(x, torch.Tensor) else x, out)
    return return_and_correct_aliasing(function, args, kwargs, wrapped)


class _Literals(TorchFunctionMode):
    """Tensors of Python's numbers, which torch makes on a device without telling a dispatch mode."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if function in (torch.tensor, torch.as_tensor) and device is not None and torch.device(device) == DEVICE:
            del kwargs["device"]
            return function(*args, **kwargs).to(DEVICE)
        return function(*args, **kwargs)


class _Factories(TorchDispatchMode):
    """What makes a tensor from nothing, or from one of the CPU's."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return computed(function, args, kwargs or {})


@contextmanager
def elsewhere():
    """The device exists inside."""
    with _Factories(), _Literals():
        yield str(DEVICE)
