"""Copies are found wherever they stand, and only copies."""

from __future__ import annotations

import json
import random
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonho.evaluation import novelty

MODULE = import_module("sonho.evaluation.novelty")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def random_text(length, seed, letters=LETTERS):
    return "".join(random.Random(seed).choices(letters, k=length))


def slow_novelty(generated, training):
    """(length of the longest copy or 0, characters in copies), by looking everywhere."""
    copied, longest = set(), 0
    for start in range(len(generated) - 19):
        stop = start + 20
        while stop <= len(generated) and generated[start:stop] in training:
            copied |= set(range(start, stop))
            longest = max(longest, stop - start)
            stop += 1
    return longest, len(copied)


def test_copies_of_twenty_characters_are_found_and_shorter_ones_are_not():
    training = random_text(5000, 1)
    generated = "?" + training[100:130] + "!" + training[4000:4019] + "!" + training[50:70]
    found = novelty(generated, [training])
    assert found.longest == training[100:130]
    assert found.num_copied == 50
    assert found.share_copied == pytest.approx(50 / len(generated))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_it_agrees_with_looking_everywhere(data):
    # Two letters and a repeated phrase: copies overlap, chain and begin at many places.
    phrase = data.draw(st.text("ab", min_size=5, max_size=30))
    words = st.lists(st.sampled_from([phrase, phrase[:7], phrase[3:], "a", "b"]), max_size=40)
    generated, training = "".join(data.draw(words)), "".join(data.draw(words))
    size = data.draw(st.integers(1, 50))
    pieces = [training[i : i + size] for i in range(0, len(training), size)]
    found = novelty(generated, pieces)
    assert (len(found.longest), found.num_copied) == slow_novelty(generated, training)
    assert found.longest in generated
    assert found.longest in training


def test_a_copy_across_the_borders_of_chunks_is_whole(monkeypatch):
    monkeypatch.setattr(MODULE, "CHUNK_CHARS", 64)
    training = random_text(3000, 2)
    generated = training[1000:1300]
    for size in (1, 7, 5000):
        found = novelty(generated, (training[i : i + size] for i in range(0, 3000, size)))
        assert found.longest == generated
        assert found.share_copied == 1


def test_the_longest_of_several_copies_of_a_beginning_is_found():
    training = random_text(300, 5)
    generated = training[10:35] + "!" + training[10:50] + "!" + training[10:40]
    assert novelty(generated, [training]).longest == training[10:50]


def test_a_passage_copied_twice_counts_twice():
    training = random_text(300, 3)
    assert novelty(training[10:40] + "." + training[10:40], [training]).num_copied == 60


def test_equal_hashes_are_not_enough(monkeypatch):
    monkeypatch.setattr(MODULE, "BASE", 1)  # now every anagram has the same hash
    monkeypatch.setattr(MODULE, "INVERSE", 1)
    found = novelty("abcdefghijklmnopqrst", ["tsrqponmlkjihgfedcba" * 3])
    assert (found.longest, found.num_copied) == ("", 0)


@pytest.mark.parametrize(("generated", "training"), [("", ["abc"]), ("a" * 19, ["a" * 50]), ("a" * 50, [])])
def test_nothing_is_copied_where_nothing_can_be(generated, training):
    found = novelty(generated, training)
    assert (found.longest, found.num_copied, found.share_copied) == ("", 0, 0)


def test_letters_of_every_script_are_letters():
    training = "Жили-были старик со старухой 🏠 у самого синего моря"
    found = novelty("«" + training[10:40] + "»", [training])
    assert found.longest == training[10:40]


def test_the_report_is_ready_for_json():
    training = random_text(100, 4)
    report = json.loads(json.dumps(novelty(training[:25], [training]).to_dict()))
    assert report == {
        "longest": training[:25],
        "longest_chars": 25,
        "num_copied": 25,
        "num_chars": 25,
        "share_copied": 1.0,
    }
