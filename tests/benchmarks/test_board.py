"""The board scores every character once, tells nobody the test part before the end, and forgets no cell."""

import gzip
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
import torch

import time_to_quality
from board import texts
from board.entrants import ENTRANTS, OWN, Choice, Entrant
from board.page import page, picture
from board.peer import Characters
from board.results import Results
from board.scoring import carried, cold_bounds, context_pieces, nats, record_bounds, sliding, stream_bounds
from peers.board_recurrent import Network, Recurrent
from peers.board_transformer import Transformer
from sonho.data.splits import Shares, split_records
from time_to_quality import Board

LETTERS = "abcdefg"


def some_ids(length, seed=0):
    return np.random.default_rng(seed).integers(0, len(LETTERS), length)


def test_one_stream_is_scored_as_one_long_window():
    torch.manual_seed(0)
    network, ids = Network("lstm", 11, 0.0, len(LETTERS)).eval(), some_ids(700)
    with torch.no_grad():
        logits = network(torch.from_numpy(ids[None, :-1]))[0][0].numpy()
    trained = Recurrent(network, Characters(LETTERS))
    assert carried(trained.carry, ids, stream_bounds(ids)) == pytest.approx(nats(logits, ids[1:]) / 699, rel=1e-5)


def test_cold_windows_know_nothing_of_what_stands_before_them_but_one_character():
    torch.manual_seed(0)
    network, ids = Network("gru", 9, 0.0, len(LETTERS)).eval(), some_ids(21)
    bounds, total = cold_bounds(ids, window=8), 0.0
    for start, stop in bounds:
        with torch.no_grad():
            logits = network(torch.from_numpy(ids[None, start - 1 : stop - 1]))[0][0].numpy()
        total += nats(logits, ids[start:stop])
    trained = Recurrent(network, Characters(LETTERS))
    assert carried(trained.carry, ids, bounds) == pytest.approx(total / 20, rel=1e-5)


@pytest.mark.parametrize("bounds", [[(1, 50)], [(1, 20), (20, 24), (24, 50)]])
def test_a_transformer_slides_over_each_piece_and_scores_every_character_once(bounds):
    torch.manual_seed(0)
    ids, context, total = some_ids(50), 8, 0.0
    network = Transformer(layers=2, heads=2, width=12, context=context, dropout=0.0, vocab_size=len(LETTERS)).eval()

    def look(inputs):
        with torch.no_grad():
            return network(torch.from_numpy(inputs)).numpy()

    seen = []
    for first, target, end in context_pieces(bounds, context):
        assert end - 1 - first <= context
        begins = next(start for start, stop in bounds if start <= target < stop)
        assert first >= begins - 1
        assert target - first >= min(0.75 * context, target - begins + 1)
        for place in range(target, end):
            seen.append(place)
            total += nats(look(ids[None, first:place])[0, -1:], ids[place : place + 1])
    assert seen == list(range(1, 50))
    assert sliding(look, ids, bounds, context, rows=3) == pytest.approx(total / 49, rel=1e-4)


def test_records_are_cut_at_their_ends_and_at_the_windows():
    ids = np.array([0, 5, 5, 0, 6, 6, 6, 0])
    assert record_bounds(ids, 0) == [(1, 4), (4, 8)]
    assert record_bounds(ids, 0, window=3) == [(1, 4), (4, 7), (7, 8)]


def test_the_test_part_of_a_stream_is_its_tail_without_symbols_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setitem(texts.SOURCES, "mine", ("mine.txt", "stream", ""))
    (tmp_path / "mine.txt").write_text("ab" * 450 + "abc" * 33 + "d")
    made = texts.write_texts("mine", tmp_path, tmp_path / "cut", seed=0)
    assert made.fit.read_text() == ("ab" * 450)
    assert made.train.read_text() + made.validation.read_text() == made.fit.read_text()
    assert len(made.validation.read_text()) == 90
    assert made.test.read_text() == "ab" * 33
    assert made.left_out == 34


def test_the_test_part_of_records_is_the_same_for_every_seed_and_the_validation_part_that_of_sonho(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(texts.SOURCES, "titles", ("titles.csv.gz", "records", ""))
    rows = [f'"1","Title {i} says","text"' for i in range(300)]
    (tmp_path / "titles.csv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    made = [texts.write_texts("titles", tmp_path, tmp_path / "cut", seed) for seed in (0, 1)]
    assert made[0].test.read_text() == made[1].test.read_text()
    assert made[0].validation.read_text() != made[1].validation.read_text()
    fit = made[1].fit.read_text().splitlines()
    assert not set(fit) & set(made[1].test.read_text().splitlines())
    split = split_records([fit], Shares(0.1, 0.0), seed=1)
    mask = split.sides(split.hash(fit))["validation"]
    assert [t for t, own in zip(fit, mask, strict=True) if own] == made[1].validation.read_text().splitlines()


def a_cell(entrant, budget, seed, loss):
    machine = {"cores": 2, "processor": "a chip", "load": 0.1, "gigaflops": 90.0 + seed}
    shown = {"stream": loss, "cold": loss + 0.1, "validation": loss, "parameters": 9, "sample": "<b>\n\nof & it"}
    timing = {"seconds": budget or 1.5, "curve": [[1.0, 3.0], [2.0, loss]], "settings": {"rate": 0.01, "dropout": 0.0}}
    key = {"text": "nietzsche", "entrant": entrant, "budget": budget, "seed": seed}
    return {**key, **shown, **timing, "machine": machine, "commit": "abc", "date": "2026-01-01", "left_out": 0}


@pytest.fixture
def results(tmp_path):
    made = Results(tmp_path / "results.json")
    losses = {"sonho": 1.5, "torch-lstm": 1.7, "keras-textbook": 2.4, "transformer-small": 1.4}
    for budget in (10.0, 60.0):
        for entrant, loss in losses.items():
            for seed in range(3):
                made.add(a_cell(entrant, budget, seed, loss + 0.01 * seed - budget / 1000))
    made.add(a_cell("kneser-ney-5", 0.0, 0, 1.6))
    return made


def test_what_was_measured_is_found_again(results):
    again = Results(results.path)
    assert again.cells == results.cells
    assert again.cell(text="nietzsche", entrant="sonho", budget=10.0, seed=2)["stream"] == pytest.approx(1.51)
    assert again.cell(text="nietzsche", entrant="sonho", budget=10.0, seed=3) is None
    results.add(a_cell("sonho", 10.0, 2, 1.2))
    assert [cell["entrant"] for cell in results.cells] == [cell["entrant"] for cell in again.cells]
    assert results.cell(text="nietzsche", entrant="sonho", budget=10.0, seed=2)["stream"] == 1.2


def watched(results, folder, monkeypatch):
    """(a board for which a run is nothing but a loss, the less the higher the rate; what was run)"""
    board, ran = Board(results, folder, folder), []

    def run(entrant, settings, key, *, scored=True):
        ran.append((key["budget"], settings["rate"], scored))
        cell = a_cell(entrant.name, key["budget"], key["seed"], 1.0 - settings["rate"])
        if not scored:
            cell.pop("stream")
        return {**cell, "text": key["text"], "settings": settings}

    monkeypatch.setattr(board, "run", run)
    return board, ran


def test_a_cell_is_run_again_only_when_other_settings_are_picked(results, tmp_path, monkeypatch):
    board, ran = watched(results, tmp_path, monkeypatch)
    entrant = Entrant("torch-lstm", "", "", choices=(Choice("rate", (0.1, 0.2)),))
    for _ in range(2):
        board.fill("nietzsche", entrant, 10.0, 0)
        assert ran == [(10.0, 0.1, True), (10.0, 0.2, True)]  # a trial of the whole budget is the cell
    wider = replace(entrant, choices=(Choice("rate", (0.1, 0.2, 0.4)),))
    for _ in range(2):
        board.fill("nietzsche", wider, 10.0, 0)
        assert ran[2:] == [(10.0, 0.4, True)]
    key = {"text": "nietzsche", "entrant": "torch-lstm", "budget": 10.0, "seed": 0}
    assert [cell["settings"] for cell in results.cells if all(cell[k] == v for k, v in key.items())] == [{"rate": 0.4}]
    board.fill("nietzsche", wider, 10.0, 1)  # what is picked for one seed is for all
    assert ran[3:] == [(10.0, 0.4, True)]
    board.fill("nietzsche", Entrant("sonho", "", "", {"rate": 0.3}), 10.0, 0)  # picks nothing: as it was
    assert len(ran) == 4


def test_anew_runs_what_is_of_another_machine_or_of_older_code(results, tmp_path, monkeypatch):
    board, ran = watched(results, tmp_path, monkeypatch)
    board.anew = True
    here = {"cores": 2, "processor": "a chip", "load": 2.0}
    monkeypatch.setattr(time_to_quality, "machine", lambda: here)
    monkeypatch.setattr(time_to_quality, "differs", lambda commit, path: commit != "new")
    peer, own = Entrant("torch-lstm", "", "", {"rate": 0.1}), Entrant("sonho", "", OWN, {"rate": 0.1})
    board.fill("nietzsche", peer, 10.0, 0)  # of this machine
    assert ran == []
    board.fill("nietzsche", own, 10.0, 0)  # of older code
    assert ran == [(10.0, 0.1, True)]
    for commit, times in (("new", 0), ("new+", 1)):
        results.add({**a_cell("sonho", 10.0, 0, 1.0), "commit": commit})
        board.fill("nietzsche", own, 10.0, 0)
        assert len(ran) == 1 + times
    here["processor"] = "another chip"
    board.fill("nietzsche", peer, 10.0, 0)
    board.fill("nietzsche", peer, 10.0, 0)  # the run that is watched says that it is of the first machine
    assert len(ran) == 4


def test_choices_have_their_budgets_and_may_end_at_the_first_that_is_worse(results, tmp_path, monkeypatch):
    board, ran = watched(results, tmp_path, monkeypatch)
    short = Choice("rate", (0.1, 0.9), below=100.0)
    long = Choice("rate", (0.3, 0.4, 0.2, 0.8), least=100.0, most=50.0, until_worse=True)
    board.fill("nietzsche", Entrant("torch-gru", "", "", choices=(short, long)), 200.0, 0)
    assert ran == [(50.0, 0.3, False), (50.0, 0.4, False), (50.0, 0.2, False), (200.0, 0.4, True)]
    board.fill("nietzsche", Entrant("torch-gru", "", "", choices=(short, long)), 20.0, 0)
    assert ran[4:] == [(20.0, 0.1, True), (20.0, 0.9, True)]


def test_a_cell_that_is_there_is_the_trial_of_its_settings(results, tmp_path, monkeypatch):
    board, ran = watched(results, tmp_path, monkeypatch)
    results.add({**a_cell("torch-gru", 10.0, 0, 0.05), "settings": {"rate": 0.1}})
    board.fill("nietzsche", Entrant("torch-gru", "", "", choices=(Choice("rate", (0.1, 0.2)),)), 10.0, 0)
    assert ran == [(10.0, 0.2, True)]
    assert results.cell(text="nietzsche", entrant="torch-gru", budget=10.0, seed=0)["settings"] == {"rate": 0.1}


def test_the_page_gives_medians_and_says_plainly_who_is_ahead(results):
    written = page(results)
    assert "| sonho | 9 | 1.500 (1.600) | 1.450 (1.550) |" in written
    assert "- 60 s: sonho (1.450) is behind transformer 4 x 128 (1.350); not run: nn.GRU 256" in written
    results.add(a_cell("sonho-prior", 60.0, 0, 1.2))
    assert "4 x 128 (1.350); with n-gram prior (1.200) it is ahead of all 4 peers; not run" in page(results)
    assert "| nietzsche | nn.LSTM 256, AdamW | 10 s | rate 0.01, dropout 0 |" in written
    assert "Seeds of a figure: 3." in written
    assert "1. 2 cores of a chip: 25 cells; load before a cell 0.1 (0.1 to 0.1);" in written
    assert "products of float32 before a cell (in 25) 91 (90 to 92) GFLOP/s." in written
    assert "<sup>" not in written
    assert "&lt;b&gt;<br><br>of &amp; it" in written


def test_a_figure_of_another_machine_is_marked(results):
    slower = {"cores": 4, "processor": "an old chip", "load": 0.2}
    results.add({**a_cell("keras-textbook", 60.0, 0, 2.9), "machine": slower})
    results.add({**a_cell("kneser-ney-6", 0.0, 0, 1.7), "machine": slower})  # has no clock
    written = page(results)
    assert "| textbook Keras LSTM 128 | 9 | 2.400 (2.500) | 2.360 (2.460)<sup>1, 2</sup> |" in written
    assert written.count("<sup>") == 1
    results.add_trial({**a_cell("torch-lstm", 10.0, 0, 1.8), "machine": slower})
    assert "Trials to pick the settings of peers: 1 on 4 cores of an old chip." in page(results)
    assert "2. 4 cores of an old chip: 2 cells; load before a cell 0.2 (0.2 to 0.2)." in written


def test_the_picture_is_valid_and_names_every_line(results):
    root = ET.fromstring(picture(results))
    words = " ".join(text.text for text in root.iter("{http://www.w3.org/2000/svg}text"))
    for name in ("sonho 1.450", "nn.LSTM 256, AdamW", "textbook Keras", "best Kneser-Ney 1.600"):
        assert name in words


def test_entrants_have_names_of_their_own():
    assert len({entrant.name for entrant in ENTRANTS}) == len(ENTRANTS)
