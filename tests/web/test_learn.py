"""Watching a training, in the browser."""

from tests.web.conftest import ROOT


def chart(page, title):
    return page.locator("figure.chart", has_text=title).first


def test_a_run_is_drawn_against_its_baselines(visit, server):
    page = visit(server + "#learn")
    page.wait_for_selector(".chart")
    assert page.locator(".beaten th").all_inner_texts()[0] in ("this model", "7-gram Kneser-Ney")
    assert chart(page, "Loss").locator(".line").count() == 2
    assert chart(page, "Loss").locator(".level").count() >= 4
    for title in ("Learning rate", "Speed"):
        assert len(chart(page, title).locator(".line").first.get_attribute("d")) > 200
    assert page.locator("figure.chart", has_text="Gradient norm").count() == 0


def test_no_line_of_the_log_is_drawn_twice(visit, server):
    page = visit(server + "#learn")
    page.wait_for_selector(".chart")
    lines = (ROOT / "web" / "mock" / "trainings" / "shakespeare-gru.metrics.jsonl").read_text()
    page.wait_for_timeout(300)
    assert chart(page, "Loss").locator("circle.dot").count() == lines.count("validation_loss")


def test_the_gradient_norm_is_drawn_where_the_log_has_it(visit, server):
    page = visit(server + "#learn")
    page.get_by_label("in-progress").check()
    page.wait_for_selector("figure.chart:has-text('Gradient norm')")


def test_runs_are_laid_over_each_other(visit, server):
    page = visit(server + "#learn")
    page.get_by_label("shakespeare-128").check()
    page.wait_for_function("() => document.querySelectorAll('figure.chart .thick').length === 2")
    assert page.locator(".facts section").count() == 2
    page.get_by_label("shakespeare-gru").first.uncheck()
    page.wait_for_function("() => document.querySelectorAll('figure.chart .thick').length === 1")


def test_an_unfinished_run_grows_while_one_looks(visit, server):
    page = visit(server + "#learn")
    page.get_by_label("in-progress").check()
    page.get_by_label("shakespeare-gru").first.uncheck()
    page.wait_for_selector(".live")
    steps = page.locator(".facts .note").inner_text()
    page.wait_for_function("t => document.querySelector('.facts .note').innerText !== t", arg=steps)


def test_units_and_axes_can_be_chosen(visit, server):
    page = visit(server + "#learn")
    page.wait_for_selector(".chart")
    level = chart(page, "Loss").locator(".level-label").first.text_content
    in_bits = level()
    page.get_by_label("nats/char").check()
    assert float(in_bits.split()[-1]) > float(level().split()[-1])
    page.get_by_label("Along").select_option("seconds")
    assert "seconds" in chart(page, "Loss").locator("svg").first.text_content()


def test_samples_follow_the_slider(visit, server):
    page = visit(server + "#learn")
    page.wait_for_selector(".samples")
    last = page.locator(".samples .prose").inner_text()
    page.get_by_label("Step of the samples").press("Home")
    assert page.locator(".samples .prose").inner_text() != last
    assert page.locator(".samples article .note").inner_text().startswith("step 40")


def test_a_chart_is_read_by_pointer_and_by_keys(visit, server):
    page = visit(server + "#learn")
    page.wait_for_selector(".chart")
    chart(page, "Loss").locator("svg").first.hover()
    assert "validation" in chart(page, "Loss").locator(".readout").inner_text()
    chart(page, "Loss").locator("[role=group]").focus()
    page.keyboard.press("Home")
    first = chart(page, "Loss").locator(".readout").inner_text()
    page.keyboard.press("ArrowRight")
    assert chart(page, "Loss").locator(".readout").inner_text() != first
    assert "train" in first
