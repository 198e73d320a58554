"""Settings for all tests: one thread (two test processes share two cores), hypothesis without a stopwatch."""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

import pytest  # noqa: E402 - threads are set before anything loads a BLAS
from hypothesis import HealthCheck, settings  # noqa: E402

# How long an example or its making takes says nothing on a machine that does other work as well.
unchecked = [HealthCheck.too_slow, HealthCheck.filter_too_much]
settings.register_profile("untimed", deadline=None, suppress_health_check=unchecked)
# The same examples everywhere, so that a change that breaks a test is the change that is looked at; nightly seeks others.
settings.register_profile("fast", settings.get_profile("untimed"), max_examples=25, derandomize=True)
settings.register_profile("nightly", settings.get_profile("untimed"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(params=["float32", "bfloat16"])
def precision(request):
    """Of the matrix products: every test of training runs in both on every machine (torch emulates bf16 where the
    hardware does not multiply it), so that none hides what another shows."""
    return request.param


@pytest.fixture
def both_precisions(request, precision, monkeypatch):
    """The module's ``TRAINING`` in each precision."""
    training = request.module.TRAINING.model_copy(update={"precision": precision})
    monkeypatch.setattr(request.module, "TRAINING", training)


@pytest.fixture(scope="session")
def warm():
    """See :mod:`tests.warm_jobs`."""
    from glotmix.sweep.executors import local
    from tests.warm_jobs import WarmJobs

    jobs = WarmJobs(local._start)
    yield jobs
    jobs.close()


@pytest.fixture(scope="module", autouse=True)
def warm_jobs(request, warm):
    """Studies that a test runs in its own process start their jobs from one that has opened the libraries."""
    if "sweep" in request.path.parts:  # there it is tested how they start
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glotmix.sweep.executors.local._start", warm.start)
        yield


LONGEST = {"test_tutorials.py", "test_wheel.py", "test_sharded.py", "test_influence_experiment.py", "test_whole.py"}
"""Files with tests of half a minute and more."""


def pytest_collection_modifyitems(items):
    """The longest first, so that at the end no process waits for another's last test."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
