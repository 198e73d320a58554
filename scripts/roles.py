"""MkDocs hook: cross-references of docstrings (":func:`~glotmix.fit.fit.fit`") become links in the reference."""

import re
from typing import Any

ROLE = re.compile(r":(?:py:)?(?:func|class|meth|mod|data|attr|exc|obj):<code>(~?)([\w.]+)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """Whole names become links where their page is part of the site; others stay names."""
    return ROLE.sub(_linked, html)


def _linked(match: re.Match[str]) -> str:
    name = match[2]
    shown = f"<code>{name.rpartition('.')[2] if match[1] else name}</code>"
    return f'<autoref identifier="{name}" optional>{shown}</autoref>' if name.startswith("glotmix.") else shown
