"""What torch really allocates while something runs: every storage from when it is made to when it is freed."""

import weakref
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Peak(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self._alive = {}

    def see(self, *tensors):
        """Count tensors that are there already."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key in self._alive:
                continue
            size = storage.nbytes()
            self._alive[key] = weakref.finalize(storage, self._freed, key, size)
            self.now += size
            self.most = max(self.most, self.now)

    def _freed(self, key, size):
        self._alive.pop(key, None)
        self.now -= size

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.see(*(one for one in tree_leaves(out) if isinstance(one, torch.Tensor)))
        return out


@contextmanager
def peak(*there):
    """Gives an object whose ``most`` is the largest number of bytes alive at once, those of tensors ``there`` included."""
    mode = _Peak()
    mode.see(*there)
    with mode:
        yield mode
