"""From the fields of a request to the settings of a text. OpenAI's defaults, not those of the model file."""

from __future__ import annotations

from sonho.decoding.settings import Settings
from sonho.decoding.state import Array
from sonho.decoding.symbols import logit_biases
from sonho.errors import UsageError
from sonho.serving.problems import bad_request
from sonho.serving.schemas import SamplingRequest
from sonho.serving.served_model import ServedModel

DEFAULT_TEMPERATURE = 1.0
DEFAULT_MAX_TOKENS = 16


def make_settings(
    request: SamplingRequest, model: ServedModel, *, max_tokens: int = 1, stop: str | list[str] | None = None
) -> tuple[Settings, Array | None]:
    """The settings and what is added to the logits (V,). Raises Problem."""

    def given(name: str, default: float) -> float:
        value = getattr(request, name)
        return default if value is None else float(value)

    try:
        settings = Settings(
            max_tokens=max(1, max_tokens),
            temperature=given("temperature", DEFAULT_TEMPERATURE),
            top_k=request.top_k if request.top_k and request.top_k > 0 else None,
            top_p=given("top_p", 1.0),
            min_p=given("min_p", 0.0),
            typical_p=given("typical_p", 1.0),
            repetition_penalty=given("repetition_penalty", 1.0),
            presence_penalty=given("presence_penalty", 0.0),
            frequency_penalty=given("frequency_penalty", 0.0),
            logit_bias=_biases(request.logit_bias or {}, model),
            stop=stop or None,
        )
        return settings, logit_biases(settings, model.tokenizer, model.file.data_kind)
    except UsageError as error:
        raise bad_request(str(error)) from None


def _biases(given: dict[str, float], model: ServedModel) -> dict[str | int, float]:
    biases: dict[str | int, float] = {}
    size = model.tokenizer.vocab_size
    for key, value in given.items():
        if not (key.isascii() and key.isdecimal() and len(key) < 10 and int(key) < size):
            raise bad_request(f"logit_bias maps token ids from 0 to {size - 1} to numbers", "logit_bias")
        biases[int(key)] = value
    return biases
