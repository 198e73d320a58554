"""One driver per study; the lock of a dead one is no obstacle."""

import os
import subprocess
import sys

import pytest

from glotmix.errors import BadInput
from glotmix.sweep.lock import held

HOLD = "import sys; from pathlib import Path; from glotmix.sweep.lock import held\nwith held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


def test_the_second_driver_is_told_who_holds_the_study(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BadInput, match=f"process {holder.pid} on"), held(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    with held(tmp_path):  # the kernel released it
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()
