#!/usr/bin/env bash
# Debian packages that the tests use beside Python's: a browser for the report, a SLURM for the sweep; and axe-core.
# Does nothing where they are there.
set -euo pipefail
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
# axe-core, which looks for barriers in the pages; only its script is taken from the package.
axe=.cache/axe
if [ ! -f $axe/axe.min.js ]; then
  mkdir -p $axe
  "${PYTHON:-.venv/bin/python}" -m pip download -q --no-deps -d $axe axe-playwright-python==0.1.8
  "${PYTHON:-.venv/bin/python}" -c "
import glob, zipfile
wheel = zipfile.ZipFile(glob.glob('$axe/*.whl')[0])
open('$axe/axe.min.js', 'wb').write(wheel.read(next(n for n in wheel.namelist() if n.endswith('axe.min.js'))))"
fi
missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
command -v slurmctld >/dev/null || missing+=(slurmctld slurmd slurm-client munge)
if [ ${#missing[@]} -gt 0 ]; then
  echo "Installing ${missing[*]} with apt-get ..."
  as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq "${missing[@]}" >/dev/null
fi
