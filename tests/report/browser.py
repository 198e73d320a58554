"""Chromium without a screen: opens a page and says what went wrong in it."""

import json
import shutil

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--window-size=1200,900",
)


def start(profile):
    """A fresh browser whose log and requests can be read."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


def open_page(browser, path):
    """Load a page afresh and forget what the log held."""
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.as_uri())


def complaints(browser):
    """Everything the page's console says."""
    return [entry["message"] for entry in browser.get_log("browser")]


def requests(browser):
    """Addresses that the page asked for, itself and data inside it left out."""
    asked = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if not url.startswith(("file:", "data:", "blob:")):
                asked.append(url)
    return asked


def frame(browser):
    """Wait until nothing is being solved and what was asked for is drawn."""
    browser.set_script_timeout(120)
    browser.execute_async_script(
        """const done = arguments[0], explorer = document.querySelector('.explorer');
        const look = () => explorer && explorer.getAttribute('aria-busy') === 'true'
          ? setTimeout(look, 20) : requestAnimationFrame(() => requestAnimationFrame(() => done()));
        look();"""
    )
