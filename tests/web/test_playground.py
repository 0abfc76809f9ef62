"""Writing with a model, in the browser."""

import json
import re
import subprocess
import sys
import urllib.parse

import pytest

from tests.decoding.test_conditioning import make_file as make_conditioned
from tests.serving.conftest import FILES, Live
from tests.web.conftest import mock_server

LINK = "#play?" + urllib.parse.urlencode({"text": "KING HENRY:\nWhat", "temperature": 0.7, "seed": 4, "max": 60})


def text_of(page):
    return page.get_by_label("Text. Put the caret").input_value()


def go_on(page):
    before = len(text_of(page))
    page.get_by_role("button", name="Go on from here").click()
    page.wait_for_function("n => document.getElementById('page').value.length > n", arg=before)
    page.get_by_role("button", name="Go on from here").wait_for()


def test_the_model_goes_on_and_its_part_is_tinted(visit, server):
    page = visit(server + LINK)
    go_on(page)
    assert text_of(page).startswith("KING HENRY:\nWhat")
    assert len(text_of(page)) == len("KING HENRY:\nWhat") + 60
    assert page.locator(".mirror .made").all_inner_texts() == [text_of(page)[16:]]
    assert "".join(page.locator(".mirror span").all_text_contents()) == text_of(page)


def test_escape_stops_the_stream(visit):
    with mock_server("--delay", "30") as address:
        page = visit(address + LINK.replace("max=60", "max=3000"))
        page.get_by_role("button", name="Go on from here").click()
        page.wait_for_selector(".mirror .made")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Go on from here").wait_for()
        length = len(text_of(page))
        page.wait_for_timeout(300)
        assert 16 < len(text_of(page)) == length < 200


def test_undo_and_redo_follow_writing_and_typing(visit, server):
    page = visit(server + LINK)
    go_on(page)
    written = text_of(page)
    page.get_by_label("Text. Put the caret").press("Control+z")
    assert text_of(page) == "KING HENRY:\nWhat"
    page.get_by_label("Text. Put the caret").press("Control+Shift+z")
    assert text_of(page) == written
    assert page.locator(".mirror .made").count() == 1
    page.get_by_label("Text. Put the caret").focus()
    page.keyboard.type("xyz")
    assert "xyz" in text_of(page)
    page.get_by_role("button", name="Undo").click()
    assert text_of(page) == written
    page.get_by_role("button", name="Redo").click()
    assert "xyz" in text_of(page)


def test_typing_inside_a_written_part_splits_it(visit, server):
    page = visit(server + LINK)
    go_on(page)
    page.evaluate(
        "() => { const area = document.getElementById('page'); area.focus(); area.setSelectionRange(30, 30) }"
    )
    page.keyboard.type("HERE")
    assert text_of(page)[30:34] == "HERE"
    assert page.locator(".mirror .made").count() == 2
    assert "HERE" not in "".join(page.locator(".mirror .made").all_text_contents())


def test_the_model_can_go_on_in_the_middle(visit, server):
    page = visit(server + LINK)
    page.get_by_label("Text. Put the caret").focus()
    page.keyboard.press("Control+Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('.context').textContent.trim().length === 5")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".mirror .made")
    page.get_by_role("button", name="Go on from here").wait_for()
    assert text_of(page).startswith("KING ")
    assert text_of(page).endswith("HENRY:\nWhat")
    assert len(text_of(page)) == 16 + 60


def test_another_replaces_the_last_text(visit, server):
    page = visit(server + LINK)
    go_on(page)
    first = text_of(page)
    page.get_by_role("button", name="Another").click()
    page.wait_for_function(
        "t => document.getElementById('page').value.length === 76 && document.getElementById('page').value !== t",
        arg=first,
    )
    assert text_of(page).startswith("KING HENRY:\nWhat")
    page.get_by_role("button", name="Undo").click()
    assert text_of(page) == first


def test_a_link_brings_back_text_settings_and_seed(visit, server):
    page = visit(server + LINK)
    go_on(page)
    page.get_by_role("button", name="Link to this").click()
    page.get_by_role("button", name="Link copied").wait_for()
    assert page.evaluate("() => navigator.clipboard.readText()") == page.url
    other = visit(page.url)
    assert text_of(other) == "KING HENRY:\nWhat"
    assert other.get_by_label("Temperature", exact=True).input_value() == "0.7"
    assert other.get_by_label("Length").input_value() == "60"
    go_on(other)
    assert text_of(other) == text_of(page)


def test_the_next_symbols_are_shown_before_and_after_the_dials(visit, server):
    page = visit(server + LINK)
    page.wait_for_selector(".next li")
    before = page.locator(".next .share.strong").all_inner_texts()
    assert "cut" not in before
    page.get_by_label("Top-k, as a number").fill("3")
    page.get_by_label("Top-k, as a number").press("Tab")
    page.wait_for_selector(".next .cut")
    assert page.locator(".next li:not(.cut)").count() == 3
    assert "3 symbols left" in page.locator(".under").inner_text()
    page.locator(".next .symbol").first.click()
    assert len(text_of(page)) == 17
    assert page.locator(".mirror .made").count() == 1


def test_the_distribution_follows_the_caret(visit, server):
    page = visit(server + LINK)
    page.wait_for_selector(".next li")
    page.evaluate("() => { const area = document.getElementById('page'); area.focus(); area.setSelectionRange(4, 4) }")
    page.wait_for_function("() => document.querySelector('.context').textContent === 'KING'")


def test_five_temperatures_stand_side_by_side(visit, server):
    page = visit(server + LINK)
    page.get_by_role("button", name="Draw all five").click()
    page.get_by_role("button", name="Draw all five").wait_for()
    assert page.locator(".five h3").all_inner_texts() == ["0.2", "0.5", "0.8", "1.0", "1.4"]
    texts = page.locator(".five .made").all_text_contents()
    assert len(set(texts)) == 5
    assert {len(text) for text in texts} == {240}
    page.get_by_role("button", name="Use this, written at 1.0").click()
    assert text_of(page) == "KING HENRY:\nWhat" + texts[3]
    assert page.get_by_label("Temperature", exact=True).input_value() == "1"


def test_what_is_copied_runs_as_python_and_gives_the_same_text(visit, server):
    page = visit(server + LINK)
    go_on(page)
    page.get_by_text("The same as a command").click()
    assert page.locator(".copy pre").inner_text().startswith(f"curl {server}v1/completions")
    body = re.search(r"-d '(.*)'$", page.locator(".copy pre").inner_text(), re.S)[1]
    assert json.loads(body)["seed"] == 4
    page.get_by_label("Python").check()
    page.get_by_role("button", name="Copy", exact=True).click()
    code = page.evaluate("() => navigator.clipboard.readText()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip("\n") == text_of(page).rstrip("\n")


def test_another_model_can_be_chosen(visit, server):
    page = visit(server + LINK)
    page.get_by_label("Model", exact=True).select_option("names")
    assert "GRU 1 × 128" in page.locator(".masthead").inner_text()
    go_on(page)
    assert re.fullmatch(r"[a-z\n]{60}", text_of(page)[16:])


@pytest.mark.parametrize("view", ["#play", "#look"])
def test_markup_in_a_models_text_stays_text(visit, server, view):
    page = visit(server + view)
    page.get_by_label("Model", exact=True).select_option("hostile")
    if view == "#play":
        page.get_by_label("Text. Put the caret").fill('<img src=x onerror="window.pwned=1">')
        go_on(page)
        page.get_by_role("button", name="Draw all five").click()
        page.get_by_role("button", name="Draw all five").wait_for()
        page.wait_for_selector(".next li")
        assert "<script>" in text_of(page)
    else:
        page.get_by_label("A text to look at").fill('<img src=x onerror="window.pwned=1"> <script>')
        page.get_by_role("button", name="Read it").click()
        page.locator(".top-ten button").first.click()
        page.wait_for_selector(".tree button:not([disabled])")
        page.get_by_label("Unit tape").check()
        page.wait_for_selector(".units label")
    page.wait_for_timeout(200)
    assert page.locator("main img, main script").count() == 0
    assert page.evaluate("() => window.pwned") is None


@pytest.fixture
def told():
    live = Live({"topics": make_conditioned(), "letters": FILES["letters"]})
    yield f"{live.url}/"
    live.stop()


def test_a_label_and_its_strength_are_part_of_what_is_asked(told, visit):
    page = visit(told + "#play?" + urllib.parse.urlencode({"text": "a", "model": "topics", "seed": 4, "max": 40}))
    label = page.get_by_label("Label", exact=True)
    assert label.locator("option").all_inner_texts() == ["none", "Money", "Sport", "World"]
    assert page.get_by_label("Strength", exact=True).count() == 0
    go_on(page)
    untold = text_of(page)
    label.select_option("Sport")
    page.get_by_label("Strength, as a number").fill("3")
    page.get_by_role("button", name="Undo").click()
    with page.expect_request("**/v1/completions") as asked:
        go_on(page)
    assert {"label": "Sport", "strength": 3}.items() <= json.loads(asked.value.post_data).items()
    assert text_of(page) != untold
    page.get_by_role("button", name="Link to this").click()
    again = visit(page.url)
    go_on(again)
    assert text_of(again) == text_of(page)


def test_a_model_without_labels_is_told_nothing(told, visit):
    page = visit(
        told + "#play?" + urllib.parse.urlencode({"text": "a", "model": "letters", "max": 5, "label": "Sport"})
    )
    with page.expect_request("**/v1/completions") as asked:
        go_on(page)
    assert "label" not in json.loads(asked.value.post_data)
    assert page.get_by_label("Label", exact=True).count() == 0
