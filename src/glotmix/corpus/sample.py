"""A fair sample of a stream of documents, in bounded memory."""

from __future__ import annotations

import heapq
from itertools import count

from glotmix.corpus.document import Document
from glotmix.corpus.split import hash64


class LowestHashes:
    """The documents with the lowest hashes of their ids that together reach a size: a fair sample of a stream.

    Parallel documents have equal ids, so samples of several languages hold the same documents as far as they can.
    """

    def __init__(self, size: int):
        self._size, self._total = size, 0
        self._arrivals = count()
        self._heap: list[tuple[int, int, int, Document]] = []  # (-hash, -arrival, size, document)

    def add(self, document: Document, size: int) -> None:
        """Offer a document; it, or one with a higher hash that is not needed any more, is forgotten."""
        heapq.heappush(self._heap, (-hash64(document.id), -next(self._arrivals), size, document))
        self._total += size
        while self._total - self._heap[0][2] >= self._size:
            self._total -= heapq.heappop(self._heap)[2]

    def in_order(self) -> list[Document]:
        """The documents kept, by hash."""
        return [document for *_, document in sorted(self._heap, key=lambda item: (-item[0], -item[1]))]
