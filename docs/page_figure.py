"""Draw the figure of the page that `auvmae demo` serves.

It shows the page itself, with an animated portrait of its examples: no real person.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.chromium import save_page, start_chromium

SECONDS = 120


def save_page_figure(path: Path) -> None:
    """Start the page, analyse an example, and save a screenshot of its middle."""
    command = [sys.executable, "-m", "auvmae.cli.main", "demo"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        address = next(line for line in process.stdout if line.startswith("the page is at ")).split()[4]
        browser = start_chromium(Path(folder, "profile"), 1280, 820)
        try:
            browser.get(address)
            wait = WebDriverWait(browser, SECONDS)
            wait.until(lambda _: browser.find_elements(By.XPATH, "//button[contains(., 'smile')]"))[0].click()
            wait.until(lambda _: browser.find_elements(By.CSS_SELECTOR, "#recording .file-preview"))
            browser.find_element(By.ID, "detect").click()
            wait.until(lambda _: browser.find_elements(By.CSS_SELECTOR, ".axis"))
            video = "const video = document.querySelector('#overlay video');"
            wait.until(lambda _: browser.execute_script(f"{video} return video.readyState >= 2"))
            browser.execute_script(f"{video} video.currentTime = video.duration / 2")
            wait.until(lambda _: browser.execute_script(f"{video} return !video.seeking"))
            save_page(browser, path)
            with Image.open(path) as screenshot:
                small = screenshot.convert("P", palette=Image.Palette.ADAPTIVE)
            small.save(path, optimize=True)
        finally:
            browser.quit()
            process.terminate()
            process.communicate()  # drains what it prints at its end
