import os
import subprocess
import sys

import psutil
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from glotmix.fit.parallel import each
from tests.effort import PATIENCE, eventually


@pytest.mark.parametrize("workers", [1, 2])
def test_results_keep_their_order_and_a_listener_hears_of_each(workers):
    heard = []
    squares = each(pow, [(n, 2) for n in range(5)], workers, what="Squaring", tell=lambda *told: heard.append(told))
    assert squares == [0, 1, 4, 9, 16]
    assert heard == [("Squaring", done, 5) for done in range(6)]


def threads(loaded: list[dict[str, object]]) -> set[object]:
    """Threads of every library of linear algebra that is loaded."""
    return {one["num_threads"] for one in loaded if one["user_api"] == "blas"}


@pytest.mark.parametrize("workers", [1, 2])
def test_linear_algebra_has_one_thread_whatever_the_environment_says(workers):
    with threadpool_limits(2, user_api="blas"):
        assert threads(threadpool_info()) == {2}
        for loaded in each(threadpool_info, [(), ()], workers):
            assert threads(loaded) == {1}
        assert threads(threadpool_info()) == {2}


def test_the_command_line_has_one_thread_of_linear_algebra_from_its_start():
    code = (
        "import sys; sys.argv = ['glotmix', 'laws']\n"
        "from glotmix.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    import numpy\n    from threadpoolctl import threadpool_info\n"
        "    print('threads', *(one['num_threads'] for one in threadpool_info() if one['user_api'] == 'blas'))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert set(ran.stdout.rpartition("threads ")[2].split()) == {"1"}


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
