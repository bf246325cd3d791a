"""A headless Chromium that tells what it asked for and what it complained of."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Browser:
    """One page at a time, at a width, light or dark."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, width=1400, dark=False):
        """Load a file; forget what earlier pages asked for."""
        self.driver.get_log("performance"), self.driver.get_log("browser")
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        scheme = "dark" if dark else "light"
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        address = Path(path).as_uri()
        self.driver.get(address)
        # On a busy machine that returns while the page before is still shown, or half of this one.
        loaded = "return document.readyState === 'complete' && location.href === arguments[0]"
        ended = time.monotonic() + 60
        while not self.driver.execute_script(loaded, address):
            assert time.monotonic() < ended, address
            time.sleep(0.02)

    def requests(self):
        """Return the addresses that the page asked for."""
        messages = (
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        )
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self):
        """Return the errors on the console."""
        return [entry for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def run(self, script, *arguments):
        """Return what a script returns."""
        return self.driver.execute_script(script, *arguments)

    def overflows(self):
        """Return how many pixels the page is wider than the window."""
        return self.run("return document.documentElement.scrollWidth - window.innerWidth")


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    chromium = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip(
            "needs Chromium and its driver (Debian: apt-get install chromium chromium-driver)"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield Browser(running)
    running.quit()


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    pytest.importorskip("sphinx", reason="needs the extra 'docs'")
    pytest.importorskip("myst_nb", reason="needs the extra 'docs'")
    pytest.importorskip("latex2mathml", reason="needs the extra 'docs'")
    folder = tmp_path_factory.mktemp("site")
    source = folder / "docs"
    made = ("_build", "generated", "gallery_pictures", "notebooks", "paper_figures")
    shutil.copytree(ROOT / "docs", source, ignore=shutil.ignore_patterns(*made))
    for name in ("CHANGELOG.md", "maml_ode", "notebooks", "paper_figures"):
        (folder / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-q",
            "-W",
            "--keep-going",
            "-n",
            str(source),
            str(folder / "html"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), done.stderr
    return folder / "html"
