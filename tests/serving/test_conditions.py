"""Labels in the requests: completions, sessions, the list of models."""

import pytest

from tests.decoding.test_conditioning import VECTORS
from tests.decoding.test_conditioning import make_file as make_conditioned
from tests.serving.conftest import Live

BODY = {"model": "topics", "prompt": "a", "max_tokens": 30, "seed": 4, "n": 8}


@pytest.fixture(scope="module")
def live():
    live = Live({"topics": make_conditioned(), "features": make_conditioned(VECTORS)})
    yield live
    live.stop()


def text_of(live, **body):
    return " | ".join(choice["text"] for choice in live.complete(**{**BODY, **body})["choices"])


def test_a_label_changes_the_completion_and_weights_mix(live):
    told = [None, "Sport", "World", {"Sport": 0.7, "World": 0.3}, ["Sport", "World"]]
    assert len({text_of(live, label=label) for label in told}) == 5
    assert text_of(live, label="Sport") == text_of(live, label={"Sport": 2})
    assert text_of(live, label="Sport", strength=3) not in {text_of(live), text_of(live, label="Sport", strength=1.0)}
    assert text_of(live, label="Sport", strength=0) == text_of(live, label="World", strength=0)


def test_what_may_come_next_depends_on_the_label(live):
    def first(**told):
        body = {"model": "topics", "prompt": "a", "limit": 1, **told}
        return live.http.post("/v1/inspect/next", json=body).json()["symbols"][0]["before"]

    assert len({first(), first(label="Sport"), first(label="Sport", strength=2.5)}) == 3


def test_texts_of_different_labels_are_drawn_side_by_side(live):
    alone = {label: text_of(live, label=label, max_tokens=200) for label in ("Sport", "World", "Money")}
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as pool:
        labels = [*alone] * 4
        together = list(pool.map(lambda label: text_of(live, label=label, max_tokens=200), labels))
    assert together == [alone[label] for label in labels]


def test_a_session_keeps_the_label_that_it_began_with(live):
    session = live.http.post("/v1/sessions", json={"model": "topics", "text": "a", "label": "Sport"}).json()["id"]
    body = {"session": session, "max_tokens": 30, "seed": 4}
    assert live.complete(**body)["choices"][0]["text"] == text_of(live, label="Sport", n=1)
    answer = live.http.post("/v1/completions", json={**body, "label": "Money"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "label")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"label": "Sprot"}, "unknown label 'Sprot'; did you mean 'Sport'?; known: Money, Sport, World"),
        ({"model": "features", "vector": [1.0]}, "the model was trained on vectors of 2 numbers, got 1"),
        ({"label": "Sport", "strength": 11}, "strength: Input should be less than or equal to 10"),
        ({"vector": [1.0]}, "the model was trained on labels, not on vectors"),
    ],
)
def test_what_the_model_cannot_be_told_is_a_bad_request(live, body, message):
    for path in ("/v1/completions", "/v1/sessions"):
        own = {**BODY, **body} if path == "/v1/completions" else {"model": "topics", **body}
        answer = live.http.post(path, json=own)
        assert answer.status_code == 400
        assert message in answer.json()["error"]["message"]


def test_the_list_of_models_names_the_labels(live):
    cards = {card["id"]: card["sonho"] for card in live.http.get("/v1/models").json()["data"]}
    assert (cards["topics"]["condition"], cards["topics"]["labels"]) == ("label", ["Money", "Sport", "World"])
    assert (cards["features"]["condition"], cards["features"]["labels"]) == ("vector", [])
