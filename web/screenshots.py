"""Take the pictures of docs/images. Needs playwright, Chromium and Pillow.

    sonho serve --model shakespeare=runs/a --run runs/a --run runs/b &
    sonho report runs/a -o /tmp/report.html
    python web/screenshots.py http://127.0.0.1:8000/ /tmp/report.html

Give it a real server with a model of tiny-shakespeare: the mock's figures are invented.
"""

import io
import shutil
import sys
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent.parent / "docs" / "images"
HEIGHTS = {1280: 860, 360: 760}
PROMPT = "KING RICHARD:\nMy lord, I"
BEFORE_A_WORD = "KING RICHARD:\nMy lord, I have seen the s"
PASSAGE = """\
GREMIO:
Good morrow, neighbour Baptista.

BAPTISTA:
Good morrow, neighbour Gremio.
God save you, gentlemen!

PETRUCHIO:
And you, good sir! Pray, have you not a daughter
Call'd Katharina, fair and virtuous?

BAPTISTA:
I have a daughter, sir, called Katharina.

GREMIO:
You are too blunt: go to it orderly.
"""


def playground(page: Page, server: str) -> None:
    page.goto(f"{server}#play?{urlencode({'text': PROMPT, 'temperature': 0.6, 'seed': 11, 'max': 240})}")
    page.wait_for_selector("#model option", state="attached")
    page.get_by_role("button", name="Go on from here").click()
    page.wait_for_selector(".mirror .made")
    page.get_by_role("button", name="Go on from here").wait_for()
    page.wait_for_timeout(800)
    page.evaluate("() => scrollTo(0, 0)")


def distribution(page: Page, server: str) -> None:
    page.goto(f"{server}#play?{urlencode({'text': BEFORE_A_WORD, 'temperature': 0.7, 'min_p': 0.04, 'seed': 11})}")
    page.wait_for_selector(".next li")
    page.wait_for_timeout(500)
    page.evaluate("() => scrollTo(0, document.querySelector('.under').offsetTop - 40)")


def surprise(page: Page, server: str) -> None:
    page.goto(f"{server}#look")
    page.get_by_label("A text to look at").fill(PASSAGE)
    page.get_by_role("button", name="Read it").click()
    page.wait_for_selector('.coloured [data-i="250"]')
    page.locator('.coloured [data-i="121"]').click()
    page.evaluate("() => scrollTo(0, document.querySelector('.verdict').offsetTop - 24)")


def unit_tape(page: Page, server: str) -> None:
    surprise(page, server)
    page.get_by_label("Unit tape").check()
    page.wait_for_selector(".units label")
    page.get_by_label("Pattern (regular expression)").fill(r"[A-Z]+(?=[A-Z]*:)")
    page.wait_for_function("() => document.querySelector('.read h3').textContent.includes('correlation')")
    page.wait_for_timeout(400)
    page.evaluate("() => scrollTo(0, document.querySelector('.search').offsetTop - 24)")


def training(page: Page, server: str) -> None:
    page.goto(f"{server}#learn")
    page.wait_for_selector(".chart")
    for box in page.locator(".runs input").all():
        box.check()
    page.wait_for_function("() => document.querySelectorAll('figure.chart .thick').length >= 2")
    page.wait_for_timeout(300)
    page.evaluate("() => scrollTo(0, innerWidth < 600 ? document.querySelector('.axes').offsetTop - 24 : 60)")


def main(server: str, report: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    views = {"playground": playground, "distribution": distribution, "surprise": surprise}
    views |= {"unit-tape": unit_tape, "training": training}
    views["report"] = lambda page, _: (page.goto(Path(report).resolve().as_uri()), page.wait_for_selector(".chart"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for width, height in HEIGHTS.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                for name, show in views.items():
                    page = context.new_page()
                    show(page, server)
                    page.mouse.move(0, 0)
                    page.evaluate("() => document.fonts.ready.then(() => true)")
                    picture = Image.open(io.BytesIO(page.screenshot()))
                    picture.save(IMAGES / f"{name}-{width}-{scheme}.webp", quality=82, method=6)
                    page.close()
                context.close()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
