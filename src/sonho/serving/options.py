"""Every limit and default of the server, written once. The flags of `sonho serve` are read from here."""

from __future__ import annotations

from dataclasses import dataclass, field

from sonho.config import Weights

MOST_PROMPTS = 64  # of one request
MOST_CHOICES = 128  # n and best_of
MOST_TOKENS = 65_536  # max_tokens of one choice
MOST_PROMPT_TOKENS = 262_144  # of all prompts of one request
MOST_REQUEST_TOKENS = 2**22  # drawn for one request, over all its texts
MOST_TOLD_TOKENS = 100_000  # of one request with log-probabilities, prompts included: each takes about a kilobyte
MOST_LOGPROBS = 5
MOST_STOPS = 4
MOST_STOP_CHARS = 256
MOST_BIASES = 1024
MOST_LABELS = 256  # of one text
MOST_VECTOR = 65_536  # numbers of a vector
MOST_SCORED_CHARS = 20_000
MOST_UNIT_CHARS = 5_000
MOST_SESSION_TOKENS = 100_000  # of the text that a session shows; the state remembers more

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServeOptions:
    """What the server may do, and when it says no."""

    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = field(default=(), repr=False)
    insecure: bool = False
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    weights: Weights = "float32"
    batch_size: int = 64  # texts drawn side by side
    queue_size: int = 512  # texts drawn or waiting; more are answered with 503
    rate_limit: int = 0  # requests a minute and key (or address, without keys); 0 = any number
    max_sessions: int = 256
    max_connections: int = 1024
    max_body_bytes: int = 2**20
    header_seconds: float = 10.0
    body_seconds: float = 10.0
    write_seconds: float = 20.0  # a client that reads nothing for so long is cut
    ping_seconds: float = 15.0  # a stream that has nothing to say sends a comment
    drain_seconds: float = 30.0  # what runs when the server is told to end may go on for so long
    session_seconds: float = 3600.0  # a session that nobody used for so long makes room for another
