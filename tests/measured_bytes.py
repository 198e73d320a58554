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
        self._sizes = {}

    def see(self, *tensors):
        """Count tensors that are there already."""
        for tensor in tensors:
            tensor = getattr(tensor, "_local_tensor", tensor)  # a part of a sharded one; the whole is nowhere
            if tensor.is_meta:
                continue
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._sizes:
                self._sizes[key] = 0
                weakref.finalize(storage, self._freed, key)
            self.has(key, storage.nbytes())
        self.most = max(self.most, self.now)

    def has(self, key, size):
        """A storage that is counted has this many bytes now."""
        if key in self._sizes:
            self.now += size - self._sizes[key]
            self._sizes[key] = size

    def _freed(self, key):
        self.now -= self._sizes.pop(key)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.see(*(one for one in tree_leaves(out) if isinstance(one, torch.Tensor)))
        return out


@contextmanager
def peak(*there):
    """Gives an object whose ``most`` is the largest number of bytes alive at once, those of tensors ``there`` included;
    storages may shrink and grow while they are alive, as those of weights in parts do."""
    mode = _Peak()
    mode.see(*there)
    real = torch.UntypedStorage.resize_

    def resized(storage, size):
        real(storage, size)
        mode.has(storage._cdata, storage.nbytes())

    torch.UntypedStorage.resize_ = resized  # which no dispatch tells of
    try:
        with mode:
            yield mode
    finally:
        torch.UntypedStorage.resize_ = real
