"""What torch really allocates while something runs: every storage from when it is made to when it is freed."""

import weakref
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Peak(TorchDispatchMode):
    def __init__(self, resized):
        super().__init__()
        self.now = self.most = 0
        self._alive = {}
        self._storages = {} if resized else None

    def see(self, *tensors):
        """Count tensors that are there already."""
        for tensor in tensors:
            tensor = getattr(tensor, "_local_tensor", tensor)  # a part of a sharded one; the whole is nowhere
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key in self._alive or tensor.is_meta:
                continue
            size = storage.nbytes()
            self._alive[key] = weakref.finalize(storage, self._freed, key, size)
            self.now += size
            if self._storages is not None:
                self._storages[key] = weakref.ref(storage)
        if self._storages is not None:
            self.now = sum(storage.nbytes() for one in self._storages.values() if (storage := one()) is not None)
        self.most = max(self.most, self.now)

    def _freed(self, key, size):
        self._alive.pop(key, None)
        if self._storages is None:
            self.now -= size
        else:
            self._storages.pop(key, None)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.see(*(one for one in tree_leaves(out) if isinstance(one, torch.Tensor)))
        return out


@contextmanager
def peak(*there, resized=False):
    """Gives an object whose ``most`` is the largest number of bytes alive at once, those of tensors ``there`` included;
    ``resized``: also where storages shrink and grow while they are alive, as those of weights in parts do."""
    mode = _Peak(resized)
    mode.see(*there)
    with mode:
        yield mode
