"""sonho serve"""

from __future__ import annotations

import os

import click

from sonho.cli.options import weights_flag
from sonho.config import Weights


@click.command("serve")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--model", "named", multiple=True, metavar="NAME=PATH", help="a model under a name of your own; repeatable"
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="address to listen on; another than loopback needs a key"
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one")
@click.option(
    "--api-key-file", type=click.Path(dir_okay=False), help="a file of keys, one a line; or set SONHO_API_KEY"
)
@click.option("--insecure", is_flag=True, help="serve without a key where others can reach it")
@click.option(
    "--allow-origin", "origins", multiple=True, metavar="ORIGIN", help="pages that may call, such as https://a.example"
)
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="NAME", help="another name under which the server is called"
)
@click.option("--run", "runs", multiple=True, metavar="FOLDER", help="a run folder, or a folder of them, to watch")
@click.option(
    "--batch-size", type=click.IntRange(1, 4096), default=64, show_default=True, help="texts drawn side by side"
)
@click.option(
    "--queue-size", type=click.IntRange(1, 100_000), default=512, show_default=True,
    help="texts drawn or waiting; more are answered with 503",
)  # fmt: skip
@click.option(
    "--rate-limit",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="requests a minute and key; 0 = any number",
)
@click.option("--max-sessions", type=click.IntRange(1, 100_000), default=256, show_default=True, help="sessions kept")
@click.option(
    "--drain-seconds", type=click.FloatRange(0, 3600), default=30.0, show_default=True,
    help="how long what runs may go on when told to end",
)  # fmt: skip
@weights_flag
def command(
    models: tuple[str, ...],
    named: tuple[str, ...],
    host: str,
    port: int,
    api_key_file: str | None,
    insecure: bool,
    origins: tuple[str, ...],
    hosts: tuple[str, ...],
    runs: tuple[str, ...],
    batch_size: int,
    queue_size: int,
    rate_limit: int,
    max_sessions: int,
    drain_seconds: float,
    weights: Weights,
) -> None:
    """Serve MODELs (run folders or model files) over HTTP, for OpenAI's clients and for the page.

    \b
    sonho serve runs/my
    sonho serve --model poems=runs/poems --model names=runs/names --port 8080
    """
    from sonho.serving.options import ServeOptions
    from sonho.serving.served_model import named_paths
    from sonho.serving.server import read_keys, serve

    options = ServeOptions(
        host=host,
        port=port,
        keys=read_keys(api_key_file, os.environ.get("SONHO_API_KEY")),
        insecure=insecure,
        allow_origins=origins,
        allow_hosts=hosts,
        runs=runs,
        weights=weights,
        batch_size=batch_size,
        queue_size=queue_size,
        rate_limit=rate_limit,
        max_sessions=max_sessions,
        drain_seconds=drain_seconds,
    )
    serve(named_paths(models, named), options)
