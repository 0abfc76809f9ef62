"""sonho report: one file, no server, no network."""

import json
import re

import pytest

from sonho.cli.main import main
from sonho.cli.report_page import read_run
from sonho.errors import DataError
from tests.web.conftest import ROOT, serious_findings

HOSTILE = '</script><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'


@pytest.fixture
def run_folder(tmp_path):
    folder = tmp_path / "shakespeare"
    folder.mkdir()
    for name in ("metrics", "samples"):
        lines = (ROOT / "web" / "mock" / "trainings" / f"shakespeare-gru.{name}.jsonl").read_text()
        (folder / f"{name}.jsonl").write_text(lines)
    with open(folder / "samples.jsonl", "a") as samples:
        samples.write(json.dumps({"step": 962, "prompt": "", "temperature": 1.0, "text": HOSTILE}) + "\n")
    return folder


def test_a_report_is_one_file_that_names_no_other(run_folder, tmp_path, capsys):
    assert main(["report", str(run_folder), "-o", str(tmp_path / "report.html")]) == 0
    assert "report.html: " in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    assert re.findall(r"(?:src|href)=[\"']?(?!x )[^\s>]+", page.split("<script>")[0]) == []
    assert re.findall(r"url\((?!data:)", page.split("</style>")[0]) == []
    assert "default-src 'none'" in page
    assert str(tmp_path) not in page


def test_the_same_run_gives_the_same_report(run_folder, tmp_path):
    for name in ("a.html", "b.html"):
        assert main(["report", str(run_folder), "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_half_a_line_of_a_run_that_is_still_learning_is_left_out(run_folder):
    whole = read_run(run_folder)
    with open(run_folder / "metrics.jsonl", "a") as metrics:
        metrics.write('{"step": 97')
    assert read_run(run_folder) == whole


def test_a_line_that_is_not_json_is_named(run_folder):
    (run_folder / "metrics.jsonl").write_text('{"step": 1}\n{"step": }\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl, line 2, is not JSON"):
        read_run(run_folder)


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 66
    assert "holds no metrics.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_a_report_draws_itself_without_a_network(visit, run_folder, width, scheme):
    assert main(["report", str(run_folder)]) == 0
    page = visit(f"file://{run_folder}/report.html", width=width, scheme=scheme)
    page.wait_for_selector(".chart")
    assert page.locator("h2").first.inner_text().strip() == "shakespeare"
    assert page.locator("figure.chart").count() == 3
    assert HOSTILE in page.locator(".samples").text_content()
    assert page.locator("img").count() == 0
    assert page.evaluate("() => window.pwned") is None
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.evaluate("() => document.fonts.ready.then(() => document.fonts.check('16px Literata'))")
    assert serious_findings(page) == []
