"""The report's page in a real Chromium: it opens, asks for nothing, draws every figure, and has no error."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from bench import programs
from bench.analysis.analyse import analyse
from bench.report.figures.drawing import drawing
from bench.report.figures.static import script
from bench.report.page.document import document
from tests.unit.analysis.synthetic import PUBLISHED, Outage, Scripted, evidence

HOSTILE = "<img src=http://192.0.2.1/x onerror=alert(1)>"
PATIENCE_S = 60
VIEWS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = evidence(
        Scripted(rate_per_s=60, outages=[Outage(21, 25)], injected_s=[21], events=[(21.2, "detected")]),
        Scripted("sharded", rate_per_s=60, mean_response_ms=9, outages=[Outage(21, 22)], injected_s=[21], node=HOSTILE),
        description=HOSTILE,
    )  # fmt: skip
    analysis = analyse(given, PUBLISHED)
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(document(analysis, given, drawing(analysis, given), script()))
    assert path.stat().st_size < 5e6
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = programs.require("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(programs.require("chromedriver")))
    yield started
    started.quit()


def log(browser: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    """What was logged since the last time, and is forgotten now."""
    return list(browser.get_log(kind))  # type: ignore[no-untyped-call]


def opened(browser: webdriver.Chrome, page: Path, width: int, shade: str) -> list[str]:
    """Open the page as that device would; the addresses that were asked for."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": shade}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    log(browser, "performance")
    log(browser, "browser")
    browser.get(page.as_uri())
    WebDriverWait(browser, PATIENCE_S).until(
        lambda own: own.execute_script("return document.body.dataset.drawn")
    )
    messages = [json.loads(entry["message"])["message"] for entry in log(browser, "performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


@pytest.mark.parametrize(("width", "shade"), VIEWS)
def test_the_page_draws_every_figure_and_asks_for_nothing(
    browser: webdriver.Chrome, page: Path, width: int, shade: str
) -> None:
    asked = opened(browser, page, width, shade)
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    assert log(browser, "browser") == []
    plots = browser.find_elements(By.CSS_SELECTOR, ".plot")
    marks = "return [...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('svg .mark-group path').length)"
    assert len(plots) == 7
    assert all(many > 2 for many in browser.execute_script(marks))
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.find_elements(By.CSS_SELECTOR, "img") == []
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if shade == "light" else "rgb(21, 24, 28)")


def test_a_figure_is_zoomed_by_keyboard_and_a_hover_says_what_is_there(
    browser: webdriver.Chrome, page: Path
) -> None:
    opened(browser, page, 1280, "light")
    figure = browser.find_element(By.ID, "over-time-monolith")

    def labels() -> set[str]:
        axis = figure.find_element(By.CSS_SELECTOR, "svg .role-axis-label")
        return set(
            browser.execute_script("return [...arguments[0].children].map(one => one.textContent)", axis)
        )

    whole = labels()
    button = figure.find_element(By.CSS_SELECTOR, "[data-zoom=in]")
    assert button.get_attribute("aria-label") == "Zoom in"
    button.send_keys(Keys.ENTER)
    WebDriverWait(browser, PATIENCE_S).until(lambda _: labels() != whole)
    figure.find_element(By.CSS_SELECTOR, "[data-zoom=whole]").send_keys(Keys.ENTER)
    WebDriverWait(browser, PATIENCE_S).until(lambda _: labels() == whole)
    plot = figure.find_element(By.CSS_SELECTOR, "svg")
    webdriver.ActionChains(browser).move_to_element_with_offset(plot, 60, -120).perform()
    tip = WebDriverWait(browser, PATIENCE_S).until(
        lambda own: own.find_element(By.CSS_SELECTOR, "#vg-tooltip-element.visible")
    )
    assert "goodput" in tip.text


def test_light_turns_to_dark_at_a_key_and_the_figures_with_it(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page, 1280, "light")
    browser.find_element(By.ID, "shade").send_keys(Keys.ENTER)
    WebDriverWait(browser, PATIENCE_S).until(
        lambda own: own.execute_script(
            "return [...document.querySelectorAll('.plot')].every(p => p.matches('.dark'))"
        )
    )


def test_the_page_prints_with_every_figure_in_it(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page, 1280, "dark")
    printed: dict[str, Any] = browser.execute_cdp_cmd("Page.printToPDF", {})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    assert log(browser, "browser") == []
