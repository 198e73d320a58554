"""Open a token store of any kind, and compare it with what was written."""

from __future__ import annotations

from pathlib import Path

from glotmix.artifact import MANIFEST, open_artifact, read_json
from glotmix.errors import BadInput, Corrupt
from glotmix.tokens.store import CLONES, KIND, SUMMARY, TokenStore

VERIFY_UP_TO = 1 << 28
"""Bytes of a store whose checksums are compared whenever it is opened: about a second."""


def open_store(directory: Path, *, verify: bool = False) -> TokenStore:
    """The token store in ``directory``; every file is compared with what was written.

    Args:
        directory: of the store.
        verify: compare checksums of a store over ``VERIFY_UP_TO`` too; of such a one only the sizes are compared
            otherwise, as every worker opens it.

    Raises:
        BadInput: there is none.
        Corrupt: a file is missing, truncated or changed, or describes what no store is; the message names it.
    """
    clones = _kind(directory) == CLONES
    artifact = open_artifact(directory, CLONES if clones else KIND)
    if artifact is None:
        raise BadInput("no token store in it", where=directory, expected=f"a directory with {SUMMARY}")
    small = sum(recorded["bytes"] for recorded in artifact.files.values()) <= VERIFY_UP_TO
    try:
        artifact.verify(content=verify or small)
    except Corrupt as error:
        raise Corrupt(f"{error}; delete {directory} to make it again") from None
    if clones:
        from glotmix.tokens.clone import ClonedStore

        return ClonedStore(artifact)
    store = TokenStore(artifact)
    if verify or small:
        store.check_ids()
    return store


def _kind(directory: Path) -> str | None:
    """Kind of the artifact in ``directory``; None where there is none that can be read."""
    manifest = directory / MANIFEST
    try:
        return str(read_json(manifest)["kind"]) if manifest.is_file() else None
    except (BadInput, KeyError, TypeError):
        return None  # open_artifact tells what is wrong with it
