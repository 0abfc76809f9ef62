"""Generating: from a model file to text, without torch, with the state carried from token to token.

    model.py      load, Model: the door
    generate.py   rows side by side, pieces of text as they come
    settings.py   the options and their bounds; prompt.py, symbols.py: text to ids
    drawing.py    rows that grow by a token, or by many in one call of libsonho
    stepper.py    the model as tokens -> logits: native_stepper.py, or its twin in NumPy, network.py
                  (recurrent.py, conv.py, rounding.py); window_stepper.py, ngram_stepper.py
    sampler.py    logits to the next token, the twin; processors.py, history.py, philox.py
    encoder.py    a text read whole: labels.py, predictor.py; with attentive.py and beam.py it is translated:
                  encoder_decoder.py, translator.py

Knows nothing of how a model was trained.
"""

from sonho.decoding.generate import Generation, Piece
from sonho.decoding.model import Model, load
from sonho.decoding.prompt import SonhoWarning
from sonho.decoding.settings import Options, Settings, ramp
from sonho.decoding.state import State, stack_rows, take_rows
from sonho.decoding.stepper import Stepper, build_stepper, feed

__all__ = [
    "Generation",
    "Model",
    "Options",
    "Piece",
    "Settings",
    "SonhoWarning",
    "State",
    "Stepper",
    "build_stepper",
    "feed",
    "load",
    "ramp",
    "stack_rows",
    "take_rows",
]
