"""Where a regular expression matches: found in a process of its own, which is killed when it takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

from sonho.serving.problems import bad_request

SECONDS = 2.0
AT_ONCE = 2  # processes

_SEARCH = """
import json, re, sys
pattern, text = json.load(sys.stdin)
try:
    spans = [match.span() for match in re.finditer(pattern, text)]
except Exception as error:
    print(json.dumps({"error": str(error)[:200] or type(error).__name__}))
else:
    print(json.dumps({"spans": spans}))
"""


async def find_spans(pattern: str, text: str, turns: asyncio.Semaphore) -> list[tuple[int, int]]:
    """The beginnings and ends of the matches. Raises Problem for a pattern that is none, or takes too long.

    `turns` bounds how many are looked for at once.
    """
    async with turns:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", _SEARCH,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(SECONDS):
                output, _ = await process.communicate(json.dumps([pattern, text]).encode())
        except TimeoutError:
            raise bad_request(
                f"the pattern takes more than {SECONDS:g} s on this text; make it simpler", "pattern"
            ) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
    try:
        found = json.loads(output)
    except ValueError:
        raise bad_request("the pattern cannot be run; make it simpler", "pattern") from None
    if "error" in found:
        raise bad_request(f"the pattern is not a regular expression: {found['error']}", "pattern")
    return [(start, end) for start, end in found["spans"]]
