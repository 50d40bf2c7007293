"""The frame of the page: the Serve drawer, the choice of a model, the keys, the colours."""

from __future__ import annotations

import re

import pytest
from labeler import Labeler, pairs, sent
from playwright.sync_api import Page, expect
from servers import SCREENSHOTS, Demo
from targets import Target

KEYS = "import('/static/views/keys.js').then(({ KEYS }) => KEYS.flatMap(({ rows }) => rows))"
TITLES = "[...document.querySelectorAll('[title]')].map(({ title }) => title)"
SCROLLS = "document.documentElement.scrollHeight - innerHeight"
GROUND = "getComputedStyle(document.body).backgroundColor"


def test_the_drawer_stands_beside_the_work(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    chip = page.locator("#model-status")
    chip.click()
    drawer = page.get_by_role("dialog", name="Serve a model")
    expect(drawer).to_be_visible()
    expect(chip).to_have_attribute("aria-expanded", "true")
    left = drawer.bounding_box()
    assert left is not None
    x, y = next(at for at in (target.inside, (60, 60)) if labeler.spot(*at)[0] < left["x"])
    labeler.click(x, y)
    labeler.expect_state("mask")
    expect(drawer.locator("dl")).to_contain_text(re.compile(r"Last click\d+ ms"))
    expect(drawer.locator("dl")).to_contain_text(re.compile(r"Memory[\d.]+ [MG]B"))
    page.screenshot(path=SCREENSHOTS / "drawer.png")
    labeler.press("Escape")  # on the picture: it is about the object
    labeler.expect_state("idle")
    expect(drawer).to_be_visible()
    drawer.get_by_label("Device").focus()
    labeler.press("Escape")
    expect(drawer).to_be_hidden()
    expect(page.locator("#canvas")).to_be_focused()


def test_another_model_is_chosen_in_mid_work(
    served: Demo, page: Page, labeler: Labeler, target: Target
) -> None:
    labeler.open(served.url)
    labeler.box(*target.box)
    labeler.click(*target.inside)
    labeler.expect_state("mask")
    choice = page.get_by_label("Model", exact=True)
    expect(choice).to_have_value("Nano (demo)")
    page.locator("#model-status").click()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#empty")).to_contain_text("No model is served.")
    expect(choice).to_have_value("")
    with page.expect_request("**/smart_segmentation") as again:
        choice.select_option("Nano (demo)")
    labeler.expect_state("mask")
    assert sent(again.value)["context"]["crop"] == pairs(target.box[:2], target.box[2:])
    assert sent(again.value)["context"]["positive"] == pairs(target.inside)
    expect(page.locator("#empty")).to_be_hidden()


@pytest.mark.long
def test_what_was_served_is_served_again_by_one_press(
    served: Demo, page: Page, labeler: Labeler
) -> None:
    labeler.open(served.url)
    expect(page.locator("#model-status")).to_have_attribute("data-state", "ready")
    served.stop_model()
    page.reload()
    page.get_by_role("button", name="Serve Nano (demo) again").click()
    expect(page.locator("#model-status")).to_have_attribute("data-state", "ready")


def test_the_keys_are_shown_as_the_table_has_them(
    served: Demo, page: Page, labeler: Labeler
) -> None:
    labeler.open(served.url)
    labeler.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    rows = page.evaluate(KEYS)
    shown = [row for row in rows if not row.get("hidden")]
    expect(dialog.locator("dt")).to_have_count(len(shown))
    page.screenshot(path=SCREENSHOTS / "keys.png")
    labeler.press("s")  # a key of the page: not while the dialog is open
    labeler.press("Escape")
    expect(dialog).to_be_hidden()
    # What buttons say of their keys is in the table.
    known = {key for row in rows for key in row["keys"]}
    named = [
        found for title in page.evaluate(TITLES) for found in re.findall(r"\(([^)]*)\)$", title)
    ]
    keys = [
        one for one in named if re.fullmatch(r"((Ctrl|Shift|Alt)\+)*(\w|[←→?]|Space|Esc|F\d)", one)
    ]
    assert len(keys) > 8
    assert set(keys) <= known


def test_light_and_dark_are_chosen_and_remembered(
    served: Demo, page: Page, labeler: Labeler
) -> None:
    page.emulate_media(color_scheme="light")
    labeler.open(served.url)
    light = page.evaluate(GROUND)
    toggle = page.locator("#theme")
    toggle.click()
    assert page.evaluate(GROUND) == light
    toggle.click()
    dark = page.evaluate(GROUND)
    assert dark != light
    page.reload()
    labeler.expect_picture()
    assert page.evaluate(GROUND) == dark
    expect(toggle).to_have_attribute("aria-label", "Colours: dark")
    toggle.click()
    assert page.evaluate(GROUND) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(GROUND) == dark


@pytest.mark.long
@pytest.mark.parametrize("medium", ["scene-1.png", "clip.avi", "blobs.nrrd", "photo.png"])
@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_nothing_has_to_be_scrolled_to(
    served: Demo, page: Page, labeler: Labeler, medium: str, size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    labeler.open(served.url)
    labeler.choose(medium)
    assert page.evaluate(SCROLLS) == 0
    page.screenshot(path=SCREENSHOTS / f"{medium}-{size[0]}.png")


@pytest.mark.long
def test_what_is_done_is_marked_and_counted(served: Demo, page: Page, labeler: Labeler) -> None:
    labeler.open(served.url)
    mark = page.get_by_role("button", name="Done", exact=True)
    thumb = page.get_by_role("button", name="scene-1.png")
    media = page.get_by_role("region", name="media")
    expect(mark).to_have_attribute("aria-pressed", "false")
    labeler.press("e")
    expect(mark).to_have_attribute("aria-pressed", "true")
    expect(thumb.get_by_role("img", name="Done")).to_be_visible()
    expect(media.get_by_role("heading")).to_contain_text("1 of 2 done")
    page.screenshot(path=SCREENSHOTS / "done.png")
    labeler.press("PageDown")
    expect(mark).to_have_attribute("aria-pressed", "false")
    page.reload()
    expect(thumb.get_by_role("img", name="Done")).to_be_visible()
    labeler.choose("scene-1.png")
    mark.click()
    expect(thumb.get_by_role("img", name="Done")).to_be_hidden()
