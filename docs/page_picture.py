"""Draw the README's picture of the page: `python -m docs.page_picture MODEL`. Needs Chromium and its driver.

It is the page itself, with the first drawn face of its examples: nobody's.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.chromium import save_page, start_chromium

PATH = Path(__file__).parent / "images" / "demo.png"
SECONDS = 120


def main(model: str) -> None:
    """Start the page, choose the example, wait for its result, go to the middle, save the picture."""
    command = [sys.executable, "-m", "auvmae.cli.main", "demo", "-m", model]
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
            wait.until(lambda _: browser.find_elements(By.XPATH, "//button[contains(., 'Drawn face 1')]"))[0].click()
            wait.until(lambda _: browser.find_elements(By.CSS_SELECTOR, "#recording .file-preview"))
            browser.find_element(By.ID, "detect").click()
            wait.until(lambda _: browser.find_elements(By.CSS_SELECTOR, ".axis"))
            video = "const video = document.querySelector('#overlay video');"
            wait.until(lambda _: browser.execute_script(f"{video} return video.readyState >= 2"))
            browser.execute_script(f"{video} video.currentTime = video.duration / 2")
            wait.until(lambda _: browser.execute_script(f"{video} return !video.seeking"))
            save_page(browser, PATH)
            with Image.open(PATH) as picture:
                small = picture.convert("P", palette=Image.Palette.ADAPTIVE)
            small.save(PATH, optimize=True)
        finally:
            browser.quit()
            process.terminate()
            process.communicate()  # it says goodbye


if __name__ == "__main__":
    main(sys.argv[1])
