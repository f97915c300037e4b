"""Start a headless Chromium for tests of pages, and log its network requests."""

import base64
import json
from pathlib import Path

from selenium import webdriver

CHROMIUM, CHROMEDRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"

ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def start_chromium(profile: Path, width: int, height: int, phone: bool = False) -> webdriver.Chrome:
    """Start Chromium with an empty profile; end it with `quit()`.

    Args:
        profile: Folder that does not exist yet. Downloads are saved to `profile/downloads`.
        width, height: Size of the window in pixels.
        phone: Emulate a phone, with touch and a pixel ratio of 2.
    """
    downloads = profile / "downloads"
    downloads.mkdir(parents=True)
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(CHROMEDRIVER))
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1 + phone, "mobile": phone}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    return browser


def requested_urls(browser: webdriver.Chrome) -> set[str]:
    """List the URLs requested since the last call, without Chromium's own."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    }
    return {url for url in urls if not url.startswith(("chrome://", "chrome-untrusted://"))}


def save_page(browser: webdriver.Chrome, path: Path) -> None:
    """Save a screenshot of the whole page, beyond the window, as PNG."""
    width, height = browser.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path.write_bytes(base64.b64decode(picture["data"]))
