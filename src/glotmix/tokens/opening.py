"""Open a token store of any kind, and compare it with what was written."""

from __future__ import annotations

from pathlib import Path

from glotmix.artifact import MANIFEST, read_json
from glotmix.errors import BadInput
from glotmix.tokens.clone import open_clones
from glotmix.tokens.store import CLONES, TokenStore, open_plain


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
    if _kind(directory) == CLONES:
        return open_clones(directory, verify=verify)
    return open_plain(directory, verify=verify)


def _kind(directory: Path) -> str | None:
    """Kind of the artifact in ``directory``; None where there is none that can be read."""
    manifest = directory / MANIFEST
    try:
        return str(read_json(manifest)["kind"]) if manifest.is_file() else None
    except (BadInput, KeyError, TypeError):
        return None  # open_artifact tells what is wrong with it
