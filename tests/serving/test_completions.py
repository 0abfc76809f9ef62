"""POST /v1/completions with OpenAI's own client, synchronous and asynchronous."""

import asyncio
import json

import openai
import pytest

from sonho.decoding import Model
from tests.serving.conftest import FILES


def test_a_seeded_completion_is_the_text_of_the_library(live):
    reply = live.client.completions.create(model="letters", prompt="abc", max_tokens=50, seed=7, temperature=0.9)
    expected = Model(FILES["letters"]).generate("abc", max_tokens=50, seed=7, temperature=0.9, echo=False)
    assert reply.choices[0].text == expected.text
    assert reply.choices[0].finish_reason == "length"
    assert (reply.object, reply.model, len(reply.choices)) == ("text_completion", "letters", 1)
    assert reply.id.startswith("cmpl-")


def test_usage_counts_prompt_and_drawn_tokens(live):
    usage = live.client.completions.create(model="letters", prompt=["abc", "defgh"], max_tokens=9, n=2).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (8, 36, 44)


def test_the_defaults_are_those_of_openai(live):
    reply = live.client.completions.create(model="letters", prompt="abc")
    assert reply.usage.completion_tokens == 16
    assert reply.choices[0].logprobs is None


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": "abc"},
        {"prompt": ["abc", "", "xyz"], "n": 3},
        {"prompt": "abc", "n": 3, "echo": True},
        {"prompt": [3, 4, 5], "logprobs": 3},
        {"prompt": "abc", "logprobs": 0, "echo": True},
        {"prompt": "abc", "stop": ["e", "qu"], "logprobs": 2},
        {"prompt": "abc", "stop": "e", "n": 4},
        {"prompt": "abc", "max_tokens": 0, "echo": True},
    ],
)
def test_streamed_chunks_joined_are_the_whole_reply(live, options):
    options = {"model": "letters", "max_tokens": 700, "seed": 11, **options}
    whole = live.client.completions.create(**options)
    texts, reasons, logprobs = {}, {}, {}
    for chunk in live.client.completions.create(**options, stream=True):
        assert len(chunk.choices) == 1
        choice = chunk.choices[0]
        texts[choice.index] = texts.get(choice.index, "") + choice.text
        assert choice.index not in reasons, "nothing follows the finish"
        if choice.finish_reason:
            reasons[choice.index] = choice.finish_reason
        if choice.logprobs:
            for name, values in choice.logprobs.model_dump().items():
                logprobs.setdefault(choice.index, {}).setdefault(name, []).extend(values)
    assert [texts[choice.index] for choice in whole.choices] == [choice.text for choice in whole.choices]
    assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}
    if "logprobs" in options:
        assert logprobs == {choice.index: choice.logprobs.model_dump() for choice in whole.choices}


def test_n_texts_differ_and_are_those_of_the_library(live):
    reply = live.client.completions.create(model="letters", prompt="ab", max_tokens=40, n=3, seed=5)
    expected = Model(FILES["letters"]).generate("ab", max_tokens=40, n=3, seed=5, temperature=1.0, echo=False)
    assert [choice.text for choice in reply.choices] == [str(text) for text in expected]
    assert len({choice.text for choice in reply.choices}) == 3


def test_each_prompt_of_a_list_is_answered_as_if_alone(live):
    options = {"model": "letters", "max_tokens": 20, "seed": 3}
    both = live.client.completions.create(prompt=["ab", "xy"], **options).choices
    assert [choice.index for choice in both] == [0, 1]
    for choice, prompt in zip(both, ["ab", "xy"], strict=True):
        assert choice.text == live.client.completions.create(prompt=prompt, **options).choices[0].text


def test_prompts_of_ids_are_those_of_text(live):
    ids = live.http.post("/tokenize", json={"model": "letters", "prompt": "cab"}).json()["tokens"]
    options = {"model": "letters", "max_tokens": 20, "seed": 3}
    texts = {live.client.completions.create(prompt=prompt, **options).choices[0].text for prompt in ("cab", ids, [ids])}
    assert len(texts) == 1


def test_without_a_prompt_a_text_begins(live):
    body = {"model": "letters", "max_tokens": 5, "seed": 1}
    texts = {live.complete(prompt=prompt, **body)["choices"][0]["text"] for prompt in (None, "", [""])}
    assert texts == {live.complete(**body)["choices"][0]["text"]}


def test_the_stop_string_and_what_follows_are_not_shown(live):
    options = {"model": "letters", "prompt": "abc", "max_tokens": 400, "seed": 2}
    text = live.client.completions.create(**options).choices[0].text
    stop = text[100:103]
    choice = live.client.completions.create(**options, stop=[stop, "never there"]).choices[0]
    assert choice.text == text[: text.index(stop)]
    assert choice.finish_reason == "stop"


@pytest.mark.parametrize("name", ["letters", "bytes", "records"])
def test_no_chunk_shows_part_of_a_stop_string_or_half_a_character(live, name):
    options = {"model": name, "prompt": "abc", "max_tokens": 3000, "seed": 2}
    text = live.complete(**options)["choices"][0]["text"]
    stop = text[len(text) // 2 : len(text) // 2 + 4]
    shown = "".join(c.choices[0].text for c in live.client.completions.create(**options, stop=stop, stream=True))
    assert shown == text[: text.index(stop)]


@pytest.mark.parametrize("stream", [True, False])
def test_bytes_become_whole_characters_whatever_the_chunks(live, stream):
    """Only the two bytes of é can be drawn, in any order: what is no character is U+FFFD, never half of one."""
    tokenizer = FILES["bytes"].tokenizer
    first, second = tokenizer.encode("é").tolist()
    body = {"model": "bytes", "prompt": "a", "max_tokens": 4000, "seed": 1, "temperature": 2, "return_token_ids": True}
    body["logit_bias"] = {str(first): 100, str(second): 100}
    if stream:
        raw = live.http.post("/v1/completions", json={**body, "stream": True}).text
        chunks = [json.loads(line[6:])["choices"][0] for line in raw.splitlines() if line.startswith("data: {")]
        text = "".join(chunk["text"] for chunk in chunks)
        ids = [id for chunk in chunks for id in chunk["token_ids"]]
        assert len(chunks) > 3
    else:
        choice = live.complete(**body)["choices"][0]
        text, ids = choice["text"], choice["token_ids"]
    assert len(ids) == 4000
    assert text == tokenizer.decode(ids)
    assert "é" in text


def test_best_of_answers_the_likeliest(live):
    options = {"model": "letters", "prompt": "ab", "max_tokens": 12, "seed": 9}
    drawn = live.client.completions.create(**options, n=6, logprobs=0).choices
    means = [sum(choice.logprobs.token_logprobs) / 12 for choice in drawn]
    best = live.client.completions.create(**options, best_of=6)
    assert best.choices[0].text == drawn[means.index(max(means))].text
    assert best.usage.completion_tokens == 72
    assert best.choices[0].logprobs is None


def test_logit_bias_bans_and_forces(live):
    a, b = live.http.post("/tokenize", json={"prompt": "ab"}).json()["tokens"]
    assert live.complete(prompt="x", max_tokens=30, logit_bias={a: 100})["choices"][0]["text"] == "a" * 30
    assert "b" not in live.complete(prompt="x", max_tokens=300, logit_bias={b: -100})["choices"][0]["text"]


@pytest.mark.parametrize(
    "extras",
    [
        {"top_k": 3}, {"top_p": 0.5}, {"min_p": 0.2}, {"typical_p": 0.6}, {"repetition_penalty": 1.5},
        {"frequency_penalty": 0.7}, {"presence_penalty": -1.0}, {"temperature": 0},
    ],
)  # fmt: skip
def test_every_option_does_what_it_does_in_the_library(live, extras):
    choice = live.complete(model="letters", prompt="abc", max_tokens=80, seed=4, **extras)["choices"][0]
    options = {"temperature": 1.0, **extras}
    assert choice["text"] == Model(FILES["letters"]).generate("abc", max_tokens=80, seed=4, echo=False, **options).text


def test_token_ids_are_returned_where_they_are_wanted(live):
    body = {"model": "letters", "prompt": "abc", "max_tokens": 9, "seed": 4}
    choice = live.complete(**body, return_token_ids=True)["choices"][0]
    tokenizer = FILES["letters"].tokenizer
    assert choice["prompt_token_ids"] == tokenizer.encode("abc").tolist()
    assert tokenizer.decode(choice["token_ids"]) == choice["text"]
    assert "token_ids" not in live.complete(**body)["choices"][0]


def test_a_stream_is_ascii_events_with_usage_at_the_end(live):
    body = {"model": "letters", "prompt": "\u2028é", "echo": True, "max_tokens": 5, "stream": True}
    raw = live.http.post("/v1/completions", json={**body, "stream_options": {"include_usage": True}})
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.content.isascii()
    events = raw.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {"prompt_tokens": 0, "completion_tokens": 5, "total_tokens": 5}
    assert chunks[0]["choices"][0]["text"] == "\u2028é"
    assert json.loads(raw.headers["x-sonho-unknown"]) == ["\u2028", "é"]


def test_the_asynchronous_client_streams_several_at_once(live):
    async def text(seed):
        async with live.async_client as client:
            stream = await client.completions.create(
                model="letters", prompt="a", max_tokens=200, seed=seed, stream=True
            )
            return "".join([chunk.choices[0].text async for chunk in stream])

    async def both():
        return await asyncio.gather(*(text(seed) for seed in range(8)))

    expected = Model(FILES["letters"])
    for seed, found in enumerate(asyncio.run(both())):
        assert found == str(expected.generate("a", max_tokens=200, seed=seed, temperature=1.0, echo=False))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": -1}, "logprobs"),
        ({"n": 10**9}, "n"),
        ({"n": 0}, "n"),
        ({"n": 2, "best_of": 1}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"max_tokens": 10**12}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"suffix": "and so on"}, "suffix"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": [99999]}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": ["a"] * 65}, "prompt"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
        ({"logit_bias": {"99999": 1}}, "logit_bias"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"seed": 2**63}, "seed"),
        ({"n": 128, "max_tokens": 65_536}, "max_tokens"),
        ({"n": 4, "max_tokens": 65_536, "logprobs": 0}, "logprobs"),
        ({"prompt": "a" * 100_001, "max_tokens": 0, "logprobs": 0, "echo": True}, "logprobs"),
    ],
)
def test_what_cannot_be_is_a_bad_request_that_names_the_field(live, body, param):
    response = live.http.post("/v1/completions", json={"prompt": "a", **body})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_half_a_surrogate_pair_is_refused(live):
    headers = {"content-type": "application/json"}
    response = live.http.post("/v1/completions", content=b'{"prompt": "\\ud800"}', headers=headers)
    assert response.status_code == 400
    assert "surrogate" in response.json()["error"]["message"]


def test_openai_raises_its_own_errors(live):
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        live.client.completions.create(model="nobody", prompt="a")
    with pytest.raises(openai.BadRequestError, match="temprature"):
        live.client.completions.create(model="letters", prompt="a", extra_body={"temprature": 1})
    with pytest.raises(openai.NotFoundError, match="no embeddings"):
        live.client.embeddings.create(model="letters", input="a")


def test_a_bias_for_every_symbol_changes_nothing(live):
    size = FILES["letters"].tokenizer.vocab_size
    body = {"prompt": "a", "max_tokens": 20, "seed": 1}
    biased = live.complete(**body, logit_bias={str(id): -100 for id in range(size)})
    assert biased["choices"] == live.complete(**body)["choices"]


def test_models_are_listed_and_described(live):
    listed = live.client.models.list().data
    assert [model.id for model in listed] == list(FILES)
    assert live.client.models.retrieve("records").model_extra["sonho"] == {
        "cell": "gru", "hidden_size": 24, "num_layers": 1, "vocab_size": 36, "parameters": 5292,
        "data_kind": "records", "tokenizer": "char", "bits_per_char": None, "condition": "none", "labels": [],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["letters", "bytes"])
def test_strings_to_ids_and_back(live, name):
    reply = live.http.post("/tokenize", json={"model": name, "prompt": "abé c", "return_token_strs": True}).json()
    assert reply["count"] == len(reply["tokens"]) == len(reply["token_strs"])
    back = live.http.post("/detokenize", json={"model": name, "tokens": reply["tokens"]}).json()
    assert back == {"prompt": "abé c" if name == "bytes" else "ab c"}
    info = live.http.get("/tokenizer_info", params={"model": name}).json()
    assert info["eos_token_id"] == FILES[name].tokenizer.eos_id


def test_the_metrics_count(live):
    before = live.metric("generated_tokens_total"), live.metric("prompt_tokens_total")
    live.complete(prompt="abcd", max_tokens=10)
    assert live.metric("generated_tokens_total") - before[0] >= 10
    assert live.metric("prompt_tokens_total") - before[1] == 4
    text = live.http.get("/metrics").text
    for name in (
        "texts_running", "texts_waiting", "rejections_total", "disconnects_total", "time_to_first_token_seconds_bucket",
        "inter_token_seconds_bucket", "batch_size_bucket", "build_info", "model_info",
    ):  # fmt: skip
        assert f"sonho_{name}" in text
    assert live.metric("model_info", model="records", cell="gru", parameters="5292") == 1


def test_a_stream_that_waits_sends_comments(start):
    live = start("slow", batch_size=1, ping_seconds=0.05)
    body = {"prompt": "abc", "max_tokens": 3000, "stream": True}
    with live.http.stream("POST", "/v1/completions", json=body) as first:
        lines = first.iter_lines()
        assert next(line for line in lines if line).startswith("data: ")
        waiting = live.http.post("/v1/completions", json={**body, "max_tokens": 2})
    assert waiting.text.startswith(": ping\n\n")
    assert waiting.text.endswith("data: [DONE]\n\n")
