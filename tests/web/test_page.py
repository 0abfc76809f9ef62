"""What holds for every view: narrow and wide, light and dark, by keyboard, with a key."""

import pytest

from tests.web.conftest import mock_server, serious_findings

LOOKS = [(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")]


def show(page, view):
    """Bring everything on the screen that a view has."""
    if view == "#play":
        page.get_by_label("Text. Put the caret").fill("KING:\nWhat ")
        page.get_by_role("button", name="Go on from here").click()
        page.wait_for_selector(".mirror .made")
        page.get_by_role("button", name="Go on from here").wait_for()
        page.get_by_role("button", name="Draw all five").click()
        page.get_by_role("button", name="Draw all five").wait_for()
        page.get_by_text("Finer dials").click()
        page.get_by_text("The same as a command").click()
        page.wait_for_selector(".next li")
    elif view == "#look":
        page.wait_for_selector(".coloured [data-i]")
        page.locator('.coloured [data-i="9"]').click()
        page.locator(".top-ten button").nth(1).click()
        page.wait_for_selector(".tree button:not([disabled])")
    elif view == "#units":
        page.get_by_label("Unit tape").check()
        page.wait_for_selector(".units label")
        page.get_by_role("button", name="capitals").click()
        page.wait_for_function("() => document.querySelector('.read h3').textContent.includes('correlation')")
    else:
        page.get_by_label("shakespeare-128").check()
        page.wait_for_function("() => document.querySelectorAll('figure.chart .thick').length === 2")


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("view", ["#play", "#look", "#units", "#learn"])
def test_every_view_fits_and_has_no_serious_finding(visit, server, view, width, scheme):
    page = visit(server + view.replace("#units", "#look"), width=width, scheme=scheme)
    show(page, view)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert serious_findings(page) == []


def test_the_switch_changes_the_colours_and_is_remembered(visit, server):
    page = visit(server)
    background = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    switch = page.get_by_role("button", name="Colours")
    switch.click()
    assert page.evaluate(background) == light
    switch.click()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark
    page.get_by_role("button", name="Colours").click()
    assert page.evaluate(background) == light


def test_a_key_is_asked_for_and_kept_in_the_tab_only(visit):
    with mock_server("--key", "secret", "--delay", "0") as address:
        page = visit(address, complain=False)  # the browser itself logs the 401
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Use this key").click()
        page.get_by_label("API key").fill("secret")
        page.get_by_role("button", name="Use this key").click()
        page.wait_for_selector("#model option", state="attached")
        page.wait_for_selector(".next li")
        assert page.evaluate("() => sessionStorage.getItem('sonho-key')") == "secret"
        assert "secret" not in page.evaluate("() => JSON.stringify(localStorage)")
        page.get_by_text("The same as a command").click()
        assert "secret" not in page.locator(".copy pre").inner_text()


def test_a_server_that_went_away_is_told(visit):
    with mock_server() as address:
        page = visit(address, complain=False)  # the browser itself logs the refused call
        page.wait_for_selector("#model option", state="attached")
    page.get_by_role("button", name="Go on from here").click()
    page.wait_for_selector(".sheet .trouble")
    assert "does not answer" in page.locator(".sheet .trouble").inner_text()


def test_everything_can_be_done_from_the_keyboard(visit, server):
    page = visit(server)
    page.wait_for_selector(".next li")

    def tab_to(selector):
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"no way to {selector} by the Tab key")

    tab_to(".skip")
    tab_to("#page")
    page.keyboard.type("KING:\nWhat")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".mirror .made")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Go on from here").wait_for()
    tab_to("#temperature, .symbol")
    tab_to("#temperature")
    before = page.locator("#temperature").input_value()
    page.keyboard.press("ArrowRight")
    assert float(page.locator("#temperature").input_value()) > float(before)
    page.evaluate("() => document.activeElement.blur()")
    page.goto(server + "#look")
    page.wait_for_selector(".coloured [data-i]")
    tab_to(".coloured [role=group]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tree button:not([disabled])")
    page.evaluate("() => document.querySelector('.masthead a').focus()")
    tab_to("[name=tool]")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".units label")
    tab_to("[name=unit]")
    chosen = page.locator(".read h3").inner_text()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("t => document.querySelector('.read h3').innerText !== t", arg=chosen)
    page.goto(server + "#learn")
    page.wait_for_selector(".chart")
    tab_to(".runs input")
    tab_to(".chart [role=group]")
    tab_to(".samples input")
