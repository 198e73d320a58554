"""Pictures of pages for the documentation, by a Chromium without a screen.

python scripts/pictures.py out/quickstart/report.html docs/gallery/mixture.png [HEIGHT]
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WIDTH, HEIGHT = 1200, 1500
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")


def main(page: str, picture: str, height: int = HEIGHT) -> None:
    """Write the top of a page as a PNG."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("there is no chromium here")
    target = Path(picture).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium, *FLAGS, f"--user-data-dir={profile}", f"--window-size={WIDTH},{height}"]
        subprocess.run([*command, f"--screenshot={target}", Path(page).resolve().as_uri()], check=True, timeout=120)  # noqa: S603


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:4]))
