import subprocess
import sys

import psutil
import pytest

from glotmix.fit.parallel import each
from tests.effort import PATIENCE, eventually


@pytest.mark.parametrize("workers", [1, 2])
def test_results_keep_their_order_and_a_listener_hears_of_each(workers):
    heard = []
    squares = each(pow, [(n, 2) for n in range(5)], workers, what="Squaring", tell=lambda *told: heard.append(told))
    assert squares == [0, 1, 4, 9, 16]
    assert heard == [("Squaring", done, 5) for done in range(6)]


def test_an_error_in_a_task_is_the_callers_error():
    with pytest.raises(ZeroDivisionError):
        each(divmod, [(1, 1), (1, 0)], 2)


FITS = """
import sys, time
from pathlib import Path
from glotmix.fit.parallel import each

def stay(begun):
    Path(begun).touch()
    time.sleep(3600)

if __name__ == "__main__":
    each(stay, [(name,) for name in sys.argv[1:]], workers=2)
"""


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path):
    (tmp_path / "fits.py").write_text(FITS)
    begun = [tmp_path / "first", tmp_path / "second"]
    driver = subprocess.Popen([sys.executable, str(tmp_path / "fits.py"), *map(str, begun)])
    eventually(lambda: all(path.exists() for path in begun) or driver.poll() is not None)
    fitting = [p for p in psutil.Process(driver.pid).children() if "spawn_main" in str(p.cmdline())]
    driver.kill()
    driver.wait()
    gone, alive = psutil.wait_procs(fitting, timeout=PATIENCE)
    for process in alive:
        process.kill()
    assert (len(gone), alive) == (2, [])
