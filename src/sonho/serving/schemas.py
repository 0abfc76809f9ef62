"""The requests, with their bounds. Every number and list is capped; an unknown name is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator
from pydantic.json_schema import SkipJsonSchema, WithJsonSchema

from sonho.serving import options as limits
from sonho.storage.condition import MOST_STRENGTH

Int = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=limits.MOST_PROMPT_TOKENS)]
TokenId = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
ModelName = Annotated[str, Field(max_length=256)]
SessionId = Annotated[str, Field(min_length=1, max_length=64)]

_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_PROMPT = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": limits.MOST_PROMPTS},
        _IDS,
        {"type": "array", "items": _IDS, "minItems": 1, "maxItems": limits.MOST_PROMPTS},
        {"type": "null"},
    ]
}
Prompt = str | list[int]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StreamOptions(Request):
    include_usage: StrictBool | None = None
    include_obfuscation: StrictBool | None = None  # accepted, there is nothing to hide


class SamplingRequest(Request):
    """What reshapes the distribution that is drawn from."""

    temperature: Annotated[Number, Field(ge=0, le=100)] | None = None
    top_k: Annotated[Int, Field(ge=-1, le=2**31)] | None = None
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    min_p: Annotated[Number, Field(ge=0, lt=1)] | None = None
    typical_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[Number, Field(gt=0, le=100)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    logit_bias: (
        Annotated[dict[str, Annotated[Number, Field(ge=-100, le=100)]], Field(max_length=limits.MOST_BIASES)] | None
    ) = None


LabelName = Annotated[str, Field(min_length=1, max_length=limits.MOST_STOP_CHARS)]


class ConditionRequest(Request):
    """What a conditioned model makes a text from; see ConditionOptions in decoding/settings.py."""

    label: (
        LabelName
        | Annotated[list[LabelName], Field(min_length=1, max_length=limits.MOST_LABELS)]
        | Annotated[dict[LabelName, Annotated[Number, Field(ge=0)]], Field(min_length=1, max_length=limits.MOST_LABELS)]
        | None
    ) = None
    vector: Annotated[list[Number], Field(min_length=1, max_length=limits.MOST_VECTOR)] | None = None
    strength: Annotated[Number, Field(ge=0, le=MOST_STRENGTH)] | None = None


class CompletionRequest(SamplingRequest, ConditionRequest):
    """POST /v1/completions: OpenAI's fields, and some of our own."""

    model: ModelName | None = None
    prompt: Annotated[Any, WithJsonSchema(_PROMPT)] = None
    max_tokens: Annotated[Int, Field(ge=0, le=limits.MOST_TOKENS)] | None = None
    n: Annotated[Int, Field(ge=1, le=limits.MOST_CHOICES)] | None = None
    best_of: Annotated[Int, Field(ge=1, le=limits.MOST_CHOICES)] | None = None
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    stop: (
        Annotated[str, Field(max_length=limits.MOST_STOP_CHARS)]
        | Annotated[
            list[Annotated[str, Field(min_length=1, max_length=limits.MOST_STOP_CHARS)]],
            Field(max_length=limits.MOST_STOPS),
        ]
        | None
    ) = None
    seed: Annotated[Int, Field(ge=-(2**63), lt=2**63)] | None = None
    echo: StrictBool | None = None
    logprobs: Annotated[Int, Field(ge=0, le=limits.MOST_LOGPROBS)] | None = None
    suffix: Annotated[str, Field(max_length=limits.MOST_STOP_CHARS)] | None = None
    user: Annotated[str, Field(max_length=1024)] | None = None
    return_token_ids: StrictBool | None = None
    session: SessionId | None = None

    @field_validator("prompt")
    @classmethod
    def _check_prompt(cls, value: Any) -> Any:
        # By hand: for a list of a megabyte, a union would collect an error for every item of every kind.
        prompts_of(value)
        return value


def prompts_of(value: Any) -> list[Prompt]:
    """The prompts of a request: strings or lists of ids. Raises ValueError."""
    if value is None or isinstance(value, str):
        prompts: list[Prompt] = [value or ""]
    elif not isinstance(value, list) or not value:
        raise ValueError("must be a string, a list of strings, a list of token ids, or a list of such lists")
    elif type(value[0]) is int:
        prompts = [value]
    else:
        if len(value) > limits.MOST_PROMPTS:
            raise ValueError(f"has {len(value)} prompts; at most {limits.MOST_PROMPTS} go into one request")
        prompts = value
    kind = type(prompts[0])
    for prompt in prompts:
        if type(prompt) is not kind or kind not in (str, list):
            raise ValueError("must be a string, a list of strings, a list of token ids, or a list of such lists")
        if isinstance(prompt, list) and not (prompt and all(type(id) is int and 0 <= id < 2**31 for id in prompt)):
            raise ValueError("holds a list that is empty or has something else than token ids")
        if isinstance(prompt, str) and not prompt.isascii() and any("\ud800" <= c <= "\udfff" for c in prompt):
            raise ValueError("holds half of a surrogate pair, which is no character")
    if sum(map(len, prompts)) > limits.MOST_PROMPT_TOKENS:
        raise ValueError(f"is too long; at most {limits.MOST_PROMPT_TOKENS} characters or ids go into one request")
    return prompts


class TokenizeRequest(Request):
    model: ModelName | None = None
    prompt: Text
    return_token_strs: StrictBool | None = None
    add_special_tokens: SkipJsonSchema[StrictBool | None] = None  # sent by some clients; there are none to add


class DetokenizeRequest(Request):
    model: ModelName | None = None
    tokens: Annotated[list[TokenId], Field(max_length=limits.MOST_PROMPT_TOKENS)]


class SessionRequest(ConditionRequest):
    model: ModelName | None = None
    text: Text | None = None


class NextRequest(SamplingRequest, ConditionRequest):
    model: ModelName | None = None
    prompt: Text = ""
    limit: Annotated[Int, Field(ge=1, le=1000)] = 40


class ScoreRequest(Request):
    model: ModelName | None = None
    text: Annotated[str, Field(max_length=limits.MOST_SCORED_CHARS)]
    alternatives: Annotated[Int, Field(ge=0, le=100)] = 10


class UnitsRequest(Request):
    model: ModelName | None = None
    text: Annotated[str, Field(max_length=limits.MOST_UNIT_CHARS)]
    layer: Annotated[Int, Field(ge=0, le=1000)] | None = None
    pattern: Annotated[str, Field(max_length=200)] | None = None
    sort: Literal["variance", "correlation", "index"] = "variance"
    limit: Annotated[Int, Field(ge=1, le=1024)] = 64


class ModelQuery(BaseModel):
    model: ModelName | None = None


class LinesQuery(BaseModel):
    """Which lines of a run's log: those after the first `after`."""

    after: Annotated[int, Field(ge=0, le=10**9)] = 0
