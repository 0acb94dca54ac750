"""The review page: names are text whatever they are, and a person's keys and clicks become the file that training obeys."""

import json
import re
import time

import numpy as np
import pytest

from pipelines import synthetic
from pipelines.example import Example
from pipelines.reports import review as pages
from pipelines.sources import decisions
from tests import browser

NAMES = [
    "<img src=x onerror=alert(1)>.jpg",
    "a \"quoted\", 'twice' & <b>bold</b>.jpg",
    "</script><script>window.hacked = 1</script>.jpg",
    "plain.jpg",
    "über,komma.jpg",
]


def item(number: int, name: str) -> pages.Item:
    face = synthetic.draw(number, num_points=5)
    mask = np.array([True, True, number % 2 == 0, True, True])
    example = Example(face.image, face.truth, mask)
    return pages.Item(name, example, face.truth + [1.25, -2], 9 - number, f"unlike the similar image {name}")


@pytest.fixture(scope="module")
def items() -> list[pages.Item]:
    found = [item(i, name) for i, name in enumerate(NAMES)]
    return [*found[:4], found[4]._replace(similar=(NAMES[0], found[0].example))]


@pytest.fixture(scope="module")
def html(items) -> str:
    return pages.page("Labels <to> review", items, 'by runs/"a"')


def told(html: str) -> list[dict]:
    """The data of a page."""
    return json.loads(re.search(r'id="data" data-key="\w+">(.*?)</script>', html, re.S)[1])


def test_the_page_is_one_file_and_no_name_is_ever_markup(html):
    assert html.count("<script") == html.count("</script>") == 2  # the data and the program
    assert "<img" not in html and "<b>bold" not in html and "Labels &lt;to&gt; review" in html
    program = re.sub(r'id="data".*?</script>', "", html, flags=re.S)
    assert not re.search(r"""(?:src|href)=["']?(?!data:)\w""", program) and "http://" not in program
    assert "https://" not in html and "@import" not in html and "url(" not in html
    assert [entry["name"] for entry in told(html)] == NAMES


def test_names_that_are_not_unicode_are_spelled_out(items):
    shown = pages.page("t", [items[0]._replace(name="\udcff.jpg")], "")
    shown.encode()
    assert told(shown)[0]["name"] == "\\udcff.jpg"


def test_points_are_in_pixels_of_the_image_also_where_it_was_packed_smaller(items):
    entry = told(pages.page("t", items[:2], ""))[1]
    assert entry["label"][2] is None and entry["label"][:2] == np.round(items[1].example.points[:2], 2).tolist()
    assert entry["prediction"] == np.round(items[1].prediction, 2).tolist()
    height, width = items[1].example.image.shape[:2]
    twice = items[1].example._replace(points=items[1].example.points * 2 + 0.5, size=(2 * width, 2 * height))
    large = told(pages.page("t", [items[1]._replace(example=twice, prediction=items[1].prediction * 2 + 0.5)], ""))[0]
    # x at n pixels is 2 x + 0.5 at 2 n: the place of the image, a half pixel before its first, too
    assert np.allclose(np.array(large["place"][:2]), 2 * np.array(entry["place"][:2]) + 0.5, atol=2.1)
    assert np.allclose(large["view"][2], 2 * entry["view"][2], atol=0.1)


def test_what_is_shown_holds_label_and_prediction(items):
    far = items[0]._replace(prediction=items[0].prediction + [30, 5])
    entry = told(pages.page("t", [far], ""))[0]
    x, y, side, _ = entry["view"]
    points = np.array([p for p in entry["label"] + entry["prediction"] if p])
    assert (points > [x, y]).all() and (points < [x + side, y + side]).all()


def test_a_similar_image_is_shown_beside_with_its_own_label(items):
    both = items[0]._replace(similar=(NAMES[1], items[1].example))
    alone, beside = told(pages.page("t", [items[0], both], ""))
    other = told(pages.page("t", [items[1]], ""))[0]
    assert alone["similar"] is None and {**beside, "similar": None} == alone
    assert beside["similar"]["name"] == NAMES[1] and beside["similar"]["label"] == other["label"]
    assert beside["similar"]["image"].startswith("data:image/") and beside["similar"]["image"] != beside["image"]


@pytest.fixture
def page(tmp_path, html):
    if browser.BINARY is None:
        pytest.skip("no chromium here")
    (tmp_path / "review.html").write_text(html)
    (tmp_path / "elsewhere.html").write_text("<p>")
    opened = browser.Page(tmp_path / "profile")
    try:
        opened.open(tmp_path / "review.html")
        yield opened
    finally:
        opened.close()


def states(page) -> list[str]:
    return page.value("[...document.querySelectorAll('#list li b')].map(b => b.textContent)")


def text(page, name: str) -> str:
    return page.value(f"document.getElementById('{name}').textContent")


def test_keys_and_mouse_decide_and_the_download_is_what_training_reads(page, items, tmp_path):
    assert text(page, "progress") == "0 of 5 decided" and text(page, "name") == NAMES[0]
    page.key("x", "p")
    assert text(page, "progress") == "2 of 5 decided" and text(page, "name") == NAMES[2]
    page.click("button[data-decision=exclude]")
    assert states(page) == ["exclude", "prediction", "exclude", "", ""] and text(page, "name") == NAMES[3]
    page.key("u")
    assert states(page) == ["exclude", "prediction", "", "", ""] and text(page, "name") == NAMES[2]
    page.key("k", "ArrowRight", "p")
    page.key("ArrowLeft", "ArrowUp")
    assert text(page, "name") == NAMES[2]
    page.key("n")
    assert text(page, "name") == NAMES[3] and states(page) == ["exclude", "prediction", "keep", "", "prediction"]
    page.click("#list li:nth-child(2)")
    assert text(page, "name") == NAMES[1]

    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "got"))
    page.key("d")
    until = time.monotonic() + 60
    while not (got := list((tmp_path / "got").glob("decisions.csv"))):
        assert time.monotonic() < until, "nothing was downloaded"
        time.sleep(0.05)
    decided = decisions.read(got[0], NAMES, 5)
    assert decided.excluded == {NAMES[0]} and set(decided.replaced) == {NAMES[1], NAMES[4]}
    for i in (1, 4):
        assert np.abs(decided.replaced[NAMES[i]] - items[i].prediction).max() <= 0.005 + 1e-9


def test_the_similar_image_is_on_the_page_where_there_is_one(page):
    hidden = "document.getElementById('similar').hidden"
    assert page.value(hidden) is True
    page.key(*["ArrowRight"] * 4)
    assert page.value(hidden) is False and NAMES[0] in page.value("document.querySelector('figcaption').textContent")
    assert page.value("document.querySelector('#similar image').getAttribute('href')").startswith("data:image/")
    page.key("ArrowLeft")
    assert page.value(hidden) is True


def test_names_run_nothing_and_nothing_is_fetched(page, html):
    for name in NAMES:
        assert text(page, "name") == name and page.value("typeof window.hacked") == "undefined"
        page.key("ArrowRight")
    assert page.value("document.querySelectorAll('img, b:not(#list b), script').length") == 2
    said = [method for method, _ in page.events]
    assert "Page.javascriptDialogOpening" not in said and "Runtime.exceptionThrown" not in said
    asked = {p["request"]["url"].split(":")[0] for m, p in page.events if m == "Network.requestWillBeSent"}
    assert asked <= {"file", "data"}


def test_decisions_survive_a_reload_of_the_same_page_only(page, items, tmp_path):
    page.key("x", "ArrowRight", "k", "k", "u")
    page.reload()
    assert states(page) == ["exclude", "", "keep", "", ""] and text(page, "name") == NAMES[3]
    other = pages.page("Labels", items[::-1], "")
    (tmp_path / "other.html").write_text(other)
    page.open(tmp_path / "other.html")
    assert states(page) == [""] * 5
    page.key("k")
    (tmp_path / "other.html").write_text(pages.page("Labels", items[1:], ""))
    page.reload()
    assert states(page) == [""] * 4


def test_decisions_are_there_when_the_file_is_opened_again(page, tmp_path):
    """Tried more than once: Chromium shows a page opened from a file an empty storage now and then, whatever the page."""
    for _ in range(10):
        page.key("ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "x", "ArrowRight", "k", "k", "u")
        page.open(tmp_path / "elsewhere.html")
        page.open(tmp_path / "review.html")
        if any(states(page)):
            break
    assert states(page) == ["exclude", "", "keep", "", ""] and text(page, "name") == NAMES[3]


def test_the_page_works_where_nothing_can_be_stored(page, tmp_path):
    rejecting = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no'); }})"
    page.call("Page.addScriptToEvaluateOnNewDocument", source=rejecting)
    page.open(tmp_path / "review.html")
    page.key("k")
    assert text(page, "progress") == "1 of 5 decided"
    assert "Runtime.exceptionThrown" not in [method for method, _ in page.events]


def test_label_and_prediction_are_put_out_and_back_by_their_keys(page):
    def seen():
        return page.value(
            "['label', 'prediction', 'gaps'].map(i => getComputedStyle(document.getElementById(i)).display)"
        )

    assert seen() == ["inline"] * 3
    page.key("l")
    assert seen() == ["none", "inline", "none"]  # there are no gaps between one
    page.key("g", "l")
    assert seen() == ["inline", "none", "none"]
    page.click("button[data-key=g]")
    assert seen() == ["inline"] * 3
    assert page.value("document.querySelector('[data-key=g]').getAttribute('aria-pressed')") == "true"


def test_on_a_phone_the_image_stays_in_sight_while_deciding(page):
    page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    page.key("k", "x", "k", "k")
    stage = page.value("(r => [r.top, r.bottom])(document.getElementById('stage').getBoundingClientRect())")
    assert page.value("window.scrollY") == 0 and 0 <= stage[0] < stage[1] < 600
    buttons = page.value("document.querySelector('[data-decision=prediction]').getBoundingClientRect().bottom")
    assert stage[1] < buttons < 844
