"""Reports on disk and a real browser (Debian's Chromium) that may not reach the network."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def small():
    from sample import sample

    return sample()


@pytest.fixture(scope="session")
def pages(tmp_path_factory, small):
    """Name to written report: small, hostile, and a hostile study compared with another one."""
    from sample import HOSTILE, hostile, sample

    from glotmix.report import write_comparison, write_report

    folder = tmp_path_factory.mktemp("reports")
    return {
        "small": write_report(small, folder / "small.html"),
        "hostile": write_report(hostile(), folder / "hostile.html"),
        "compared": write_comparison(sample(4, 1, seed=1), hostile(), folder / "compared.html", ("first", HOSTILE)),
    }


@pytest.fixture(scope="session")
def _chromium(tmp_path_factory):
    pytest.importorskip("selenium")
    from browser import CHROMIUM, DRIVER, start

    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromium-driver")
    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def browser(_chromium):
    """A browser at a desk's size and in light colours, whatever the last test did."""
    _chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    _chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    return _chromium
