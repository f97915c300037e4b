"""Test the page in a real browser, from the upload of a recording to the download of its table.

With AUVMAE_SCREENSHOTS=FOLDER, screenshots of every state are saved there, at desktop and at phone width.
"""

import csv
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("cv2", reason="the extra `faces` is missing")
pytest.importorskip("gradio", reason="the extra `demo` is missing")
pytest.importorskip("selenium", reason="selenium is missing")

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from auvmae.cli.main import main
from auvmae.faces.detection import DETECTORS

from ..support.chromium import CHROMEDRIVER, CHROMIUM, requested_urls, save_page, start_chromium
from ..support.drawn_faces import TRAINED, SquareDetector, write_video
from ..support.paths import ROOT
from ..support.tiny import save_checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (Path(CHROMIUM).exists() and Path(CHROMEDRIVER).exists()),
        reason=f"{CHROMIUM} or {CHROMEDRIVER} is missing (Debian: chromium, chromium-driver)",
    ),
]

PATIENCE = 120  # seconds, for a machine that is busy
# the command itself, with the detector that finds drawn squares
COMMAND = """
import sys
from auvmae.cli.main import main
from auvmae.faces.detection import DETECTORS
from tests.support.drawn_faces import SquareDetector
DETECTORS["square"] = SquareDetector
sys.exit(main(sys.argv[1:]))
"""
ABSENT = range(30, 36)
NONE = "\N{EN DASH}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint, recordings, and two files that are not videos."""
    folder = tmp_path_factory.mktemp("demo")
    save_checkpoint(folder / "model", TRAINED)
    write_video(folder / "examples" / "An_example.mp4", 30)
    write_video(folder / "a b.mp4", 75, ABSENT)
    write_video(folder / "faceless.mp4", 10, range(10))
    (folder / "text.mp4").write_text("no video")
    (folder / "notes.txt").write_text("no video")
    return folder


@contextmanager
def served(folder, temporary, code=COMMAND):
    """Serve the page and give its address; no file of it is left after termination."""
    temporary.mkdir()
    options = ["-m", str(folder / "model"), "--device", "cpu", "--examples", str(folder / "examples")]
    environment = os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, "demo", *options]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = next(line for line in process.stdout if line.startswith("the page is at "))
            assert list(temporary.iterdir())
            yield line.split()[4]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert not list(temporary.iterdir())


@pytest.fixture(scope="module")
def page(folder):
    with served(folder, folder / "temporary") as address:
        yield address


@pytest.fixture(params=["desktop", "phone"])
def browser(request, page, tmp_path):
    size = {"desktop": (1280, 900), "phone": (390, 844, True)}[request.param]
    browser = start_chromium(tmp_path / "profile", *size)
    browser.get(page)
    yield browser
    browser.quit()


def wait(browser, found, message=""):
    return WebDriverWait(browser, PATIENCE, poll_frequency=0.1).until(lambda _: found(), message)


def all_of(browser, selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def wait_for(browser, selector):
    return wait(browser, lambda: all_of(browser, selector), selector)[0]


def look(browser, name):
    """Check that a state is no wider than the window and shows no traceback."""
    width, window = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width <= window
    assert "Traceback" not in browser.page_source
    if folder := os.environ.get("AUVMAE_SCREENSHOTS"):
        save_page(browser, Path(folder, f"{name}_{window}.png"))


def choose(browser, path):
    wait_for(browser, "#recording input[type=file]").send_keys(str(path))


def detect(browser, path):
    choose(browser, path)
    wait_for(browser, "#recording .file-preview")
    wait_for(browser, "#detect").click()


def player(browser, expression):
    return browser.execute_script(f"const video = document.querySelector('#overlay video'); return {expression}")


def shown_lanes(browser):
    return [
        lane.get_attribute("data-au")
        for lane in all_of(browser, ".lane")
        if lane.find_elements(By.CSS_SELECTOR, "svg")[0].is_displayed()
    ]


def test_a_recording_from_upload_to_table(browser, page, folder, tmp_path, monkeypatch):
    wait_for(browser, "#notice .empty")
    look(browser, "empty")
    detect(browser, folder / "a b.mp4")
    wait_for(browser, "#notice .done")
    assert all_of(browser, "#notice .done")[0].text.endswith("75 frames, a face in 69 of them.")
    wait(browser, lambda: player(browser, "video && video.readyState >= 2"), "the overlay does not play")
    assert player(browser, "video.duration") == pytest.approx(3, abs=0.05)
    labels = [label.text.split() for label in all_of(browser, ".lane label")]
    assert labels == [
        *(["AU1", "Inner", "brow", "raiser"], ["AU2", "Outer", "brow", "raiser"], ["AU12", "Lip", "corner", "puller"])
    ]
    look(browser, "result")

    # the command gives the same bytes
    monkeypatch.setitem(DETECTORS, "square", SquareDetector)
    options = ["-m", str(folder / "model"), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["predict", str(folder / "a b.mp4"), *options]) == 0
    (expected,) = (tmp_path / "out").glob("*.csv")
    all_of(browser, "#table")[0].click()
    downloads = tmp_path / "profile" / "downloads"
    wait(browser, lambda: list(downloads.glob("*.csv")), "nothing is downloaded")
    (table,) = downloads.iterdir()
    assert table.read_bytes() == expected.read_bytes()
    rows = list(csv.DictReader(expected.read_text().splitlines()))

    # the cursor and the numbers follow the video
    for row in (10, 32, 70):
        browser.execute_script("document.querySelector('#overlay video').currentTime = arguments[0]", row / 25 + 0.01)
        values = [f"{float(rows[row][name]):.2f}" if row != 32 else NONE for name in ("AU01_p", "AU02_p", "AU12_p")]
        wait(browser, lambda v=values: [output.text for output in all_of(browser, ".lane output")] == v, f"{row}")
        cursor = browser.execute_script("return document.querySelector('.timeline').style.getPropertyValue('--at')")
        assert float(cursor.rstrip("%")) == pytest.approx((row / 25 + 0.01) / 3 * 100, abs=0.1)

    # and the video follows the timeline: by pointer, and by keys
    plot = all_of(browser, ".lane .plot")[1]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    plot.click()
    wait(browser, lambda: abs(player(browser, "video.currentTime") - 1.5) < 0.02, "a click does not seek")
    all_of(browser, ".axis")[0].send_keys("\ue014")  # right
    wait(browser, lambda: 1.52 <= player(browser, "video.currentTime") < 1.58, "a key does not seek")

    # action units are hidden and shown
    assert shown_lanes(browser) == ["AU1", "AU2", "AU12"]
    all_of(browser, ".lane[data-au=AU2] label")[0].click()
    assert shown_lanes(browser) == ["AU1", "AU12"]
    look(browser, "toggled")
    all_of(browser, "[data-show=none]")[0].click()
    assert shown_lanes(browser) == []
    all_of(browser, "[data-show=all]")[0].click()
    assert shown_lanes(browser) == ["AU1", "AU2", "AU12"]

    assert {url for url in requested_urls(browser) if not url.startswith((page, "data:", "blob:"))} == set()


def choose_example(browser):
    wait_for(browser, "#detect")
    button = wait(browser, lambda: browser.find_elements(By.XPATH, "//button[contains(., 'An example')]"))[0]
    button.click()
    wait_for(browser, "#recording .file-preview")
    wait_for(browser, "#detect").click()


def test_an_example_plays_with_its_cursor(browser):
    choose_example(browser)
    wait(browser, lambda: player(browser, "video && video.readyState >= 2"), "the overlay does not play")
    browser.execute_script("const v = document.querySelector('#overlay video'); v.muted = true; v.play()")
    wait(browser, lambda: player(browser, "video.ended"), "it does not end")
    at = browser.execute_script("return document.querySelector('.timeline').style.getPropertyValue('--at')")
    assert float(at.rstrip("%")) > 95


def test_files_are_removed_after_a_while_but_for_the_examples(folder, tmp_path):
    code = f"import auvmae.demo.page as page; page.KEEP_SECONDS, page.LOOK_SECONDS = 20, 1\n{COMMAND}"
    temporary = tmp_path / "temporary"
    with served(folder, temporary, code) as address:
        browser = start_chromium(tmp_path / "profile", 1280, 900)
        try:
            browser.get(address)
            detect(browser, folder / "a b.mp4")
            wait_for(browser, "#notice .done")
            assert list(temporary.rglob("*.overlay.mp4"))
            wait(browser, lambda: not list(temporary.rglob("a b*")), "files stay")
            all_of(browser, "#detect")[0].click()
            wait(browser, lambda: "a b.mp4 was deleted" in all_of(browser, "#notice")[0].text)
            browser.refresh()
            choose_example(browser)
            wait_for(browser, "#notice .done")
        finally:
            browser.quit()


def test_what_is_wrong_is_said_in_a_sentence(browser, folder):
    wait_for(browser, "#detect").click()
    assert wait_for(browser, "#notice [role=alert]").text.startswith("Choose a recording first")
    detect(browser, folder / "text.mp4")
    wait(browser, lambda: "text.mp4 cannot be read" in all_of(browser, "#notice")[0].text)
    look(browser, "error")
    for name, sentence in (("faceless.mp4", "No face was found in faceless.mp4."), ("notes.txt", "Invalid file type")):
        browser.refresh()
        if name == "notes.txt":
            choose(browser, folder / name)
        else:
            detect(browser, folder / name)
        wait(browser, lambda s=sentence: s in all_of(browser, "body")[0].text, sentence)
        assert not all_of(browser, "#overlay video")
        look(browser, name)


def test_nothing_is_taken_but_what_was_uploaded(page, folder):
    """Send requests that the page never makes, but anyone could."""
    with urlopen(f"{page}config") as answer:
        detect = next(one["id"] for one in json.load(answer)["dependencies"] if one["api_name"] == "detect")
    for path, told in (
        (str(folder / "a b.mp4"), None),
        ("http://a.test/a.mp4", "This page accepts only uploaded files"),
    ):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        body = json.dumps({"data": [file], "fn_index": detect, "session_hash": "s"}).encode()
        urlopen(Request(f"{page}gradio_api/queue/join", body, {"Content-Type": "application/json"})).close()
        with urlopen(f"{page}gradio_api/queue/data?session_hash=s", timeout=PATIENCE) as events:
            done = next(json.loads(line[6:]) for line in events if b'"process_completed"' in line)
        assert not done["success"]
        assert (done["output"]["error"] or "").startswith(told or "")
        assert (done["output"]["error"] is None) == (told is None)


def test_it_listens_on_this_machine_alone(browser, page):
    from selenium.common.exceptions import WebDriverException

    with pytest.raises(WebDriverException, match="ERR_CONNECTION_REFUSED"):
        browser.get(page.replace("127.0.0.1", "127.0.0.2"))
