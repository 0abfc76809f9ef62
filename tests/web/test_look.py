"""Looking into a model, in the browser."""


def read(page, text):
    page.get_by_label("A text to look at").fill(text)
    page.get_by_role("button", name="Read it").click()
    page.wait_for_function(
        "t => [...document.querySelectorAll('.coloured [data-i]')].map(e => e.textContent).join('') === t", arg=text
    )


def test_a_text_is_scored_and_its_worst_spots_are_named(visit, server):
    page = visit(server + "#look")
    read(page, "What say you, my xqlord?")
    assert float(page.locator(".verdict .figure").inner_text()) > 1
    assert "xq" in page.locator(".worst code").first.inner_text()
    page.locator(".worst button").first.click()
    assert page.locator(".coloured [data-here]").inner_text() == page.locator(".worst mark").first.inner_text()


def test_symbols_the_model_does_not_know_are_named_and_struck(visit, server):
    page = visit(server + "#look")
    page.get_by_label("A text to look at").fill("To be ☃ or not")
    page.get_by_role("button", name="Read it").click()
    page.wait_for_function("() => document.querySelector('.verdict').textContent.includes('☃')")
    assert "☃" in page.locator(".coloured s").all_text_contents()
    page.locator('.coloured [data-i="8"]').click()
    page.locator(".top-ten button").nth(1).click()
    page.wait_for_selector(".tree button:not([disabled])")
    assert page.get_by_label("A text to look at").input_value().startswith("To be ☃ o")


def test_a_text_without_anything_to_predict_is_no_fault(visit, server):
    page = visit(server + "#look")
    for text in ("☃", "a"):
        page.get_by_label("A text to look at").fill(text)
        page.get_by_role("button", name="Read it").click()
        page.wait_for_function("() => document.querySelector('.verdict').textContent.includes('Nothing to score')")
        page.wait_for_function("t => document.querySelector('.symbols').textContent === t", arg=text)


def test_colour_by_surprise_probability_or_entropy(visit, server):
    page = visit(server + "#look")
    read(page, "What say you, my lord?")
    shades = {}
    for mode in ("Surprise", "Probability", "Entropy"):
        page.get_by_role("radio", name=mode).check()
        shades[mode] = [e.get_attribute("class") for e in page.locator(".coloured [data-i]").all()]
    assert len({tuple(shade) for shade in shades.values()}) == 3


def test_pointing_at_a_symbol_shows_what_else_could_have_stood_there(visit, server):
    page = visit(server + "#look")
    read(page, "What say you, my lord?")
    page.locator('.coloured [data-i="6"]').hover()
    assert page.locator(".top-ten li").count() == 10
    assert page.locator(".top-ten h3 .symbol").inner_text() == "a"
    assert page.locator(".top-ten .real").count() == 1


def test_a_branch_goes_on_from_another_symbol_and_can_be_left_again(visit, server):
    page = visit(server + "#look")
    read(page, "What say you, my lord?")
    page.locator('.coloured [data-i="6"]').click()
    page.locator(".top-ten li:not(.real) button").first.click()
    page.wait_for_selector(".tree button:not([disabled])")
    branch = page.get_by_label("A text to look at").input_value()
    assert branch.startswith("What s")
    assert branch[6] != "a"
    assert len(branch) == 7 + 90
    assert page.locator(".tree li").count() == 2
    page.locator(".tree button").first.click()
    page.wait_for_function("() => document.getElementById('looked').value === 'What say you, my lord?'")
    assert page.locator(".tree li").count() == 2


def test_the_unit_that_follows_a_pattern_comes_first(visit, server):
    page = visit(server + "#look")
    read(page, "I say nothing is here,\nthen all is well.\nSo be it.")
    page.get_by_label("Unit tape").check()
    page.wait_for_selector(".units label")
    page.get_by_label("Pattern (regular expression)").fill(r"\s")
    page.wait_for_function("() => document.querySelector('.units .number').textContent === '20'")
    assert "Unit 20" in page.locator(".read h3").inner_text()
    assert page.locator('.read [data-i="1"]').get_attribute("class").startswith("p")
    assert page.locator('.read [data-i="0"]').get_attribute("class").startswith("n")
    page.get_by_label("Sort by").select_option("index")
    page.wait_for_function("() => document.querySelector('.units .number').textContent === '0'")
    page.get_by_label("Layer").select_option(label="1 of 2")
    page.wait_for_function("() => document.querySelector('.read h3').textContent.includes('layer 1')")


def test_what_a_pattern_matches_is_underlined(visit, server):
    page = visit(server + "#look")
    read(page, "ab aab ab")
    page.get_by_label("Unit tape").check()
    page.get_by_label("Pattern (regular expression)").fill("ab")
    page.wait_for_selector(".read .marked")
    assert "".join(page.locator(".read .marked").all_text_contents()) == "ababab"
    page.get_by_label("Pattern (regular expression)").fill("c")
    page.wait_for_selector(".read .marked", state="detached")


def test_a_pattern_that_is_none_is_told_and_the_page_lives(visit, server):
    page = visit(server + "#look", complain=False)  # the browser itself logs the 400
    page.get_by_label("Unit tape").check()
    page.get_by_label("Pattern (regular expression)").fill("(")
    page.wait_for_selector(".tape .trouble")
    assert "not a regular expression" in page.locator(".tape .trouble").inner_text()
    page.get_by_role("button", name="capitals").click()
    page.wait_for_selector(".tape .trouble", state="detached")


def test_invisible_characters_can_be_shown(visit, server):
    page = visit(server + "#look")
    read(page, "a b\nc")
    page.get_by_label("Show invisible characters").check()
    assert page.locator(".coloured [data-i]").all_text_contents() == ["a", "·", "b", "⏎\n", "c"]
    page.get_by_label("Unit tape").check()
    page.wait_for_selector(".read [data-i]")
    assert page.locator(".read [data-i]").all_text_contents() == ["a", "·", "b", "⏎\n", "c"]


def test_arrows_move_through_the_text_and_enter_goes_to_the_guesses(visit, server):
    page = visit(server + "#look")
    read(page, "What say you,\nmy lord?")
    page.locator(".coloured [role=group]").focus()
    for key in ("Home", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert page.locator(".coloured [data-here]").get_attribute("data-i") == "2"
    page.keyboard.press("ArrowDown")
    assert int(page.locator(".coloured [data-here]").get_attribute("data-i")) > 13
    page.keyboard.press("End")
    assert page.locator(".coloured [data-here]").inner_text() == "?"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.closest('.top-ten') !== null")
