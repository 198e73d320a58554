"""The inside of every room, a line per file, from the files' own first sentences, as docs/architecture.md shows it.

python scripts/rooms.py            # prints
python scripts/rooms.py --write    # puts it into docs/architecture.md
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE, PAGE = ROOT / "src" / "glotmix", ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms -->\n", "<!-- end of rooms -->\n"


def first_sentence(path: Path) -> str:
    """What a file says of itself."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")


def rooms() -> str:
    """One heading per room, one line per file."""
    parts = []
    for room in sorted(path.parent for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE):
        files = sorted(path for path in room.glob("*.py") if path.name != "__init__.py")
        if not files:
            continue
        name = room.relative_to(SOURCE).as_posix()
        width = max(len(path.stem) for path in files)
        lines = [f"{path.stem:{width}}  {first_sentence(path)}" for path in files]
        about = first_sentence(room / "__init__.py")
        parts.append("\n".join([f"### `{name}/`", "", *([f"{about}.", ""] if about else []), "```", *lines, "```", ""]))
    return "\n".join(parts)


def main() -> None:
    """Print, or write into the page."""
    if "--write" not in sys.argv:
        print(rooms())
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{rooms()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
