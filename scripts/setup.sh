#!/usr/bin/env bash
# Makes .venv with glotmix, its extras and the development tools, pinned by constraints.txt.
# On a bare Debian or Ubuntu machine it first installs Python's venv module (as root or through sudo).
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if ! command -v "$PYTHON" >/dev/null || ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "Installing Python's venv module with apt-get ..."
  as_root apt-get update -qq
  as_root apt-get install -y -qq python3 python3-venv
fi
"$PYTHON" - <<'PY' || exit 2
import sys
if sys.version_info < (3, 11):
    sys.exit(f"glotmix needs Python 3.11 or newer, found {sys.version.split()[0]}: make PYTHON=/path/to/python3.11 ...")
PY
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
# pip says what is an error only: of warnings it has many that whoever wants a demo can do nothing about.
.venv/bin/python -m pip install -qq --upgrade 'pip>=25.1'
.venv/bin/python -m pip install -qq -c constraints.txt torch
.venv/bin/python -m pip install -qq -c constraints.txt -e '.[train]' --group dev
# Reference implementations of influence scores, for the tests; without dependencies (see pyproject.toml).
.venv/bin/python -m pip install -qq -c constraints.txt --no-deps captum dattri kronfluence
