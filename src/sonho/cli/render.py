"""sonho render: what a model wrote as MIDI, WAV, a picture, or counted. The work is done in sonho.export."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sonho.errors import DataError, UsageError

if TYPE_CHECKING:
    from sonho.export.rendering import Piece
    from sonho.export.tune_report import TuneReport

MOST_PROBLEMS = 5


@click.command("render")
@click.argument("source", metavar="FILE")
@click.option("--midi", metavar="FOLDER", help="write each tune there as a MIDI file")
@click.option("--wav", metavar="PATH", help="a name.wav for all, one after the other; else a folder with one each")
@click.option("--spectrogram", metavar="FILE.png", help="a picture of all that sounds: waveform and spectrogram")
@click.option("--report", is_flag=True, help="count the tunes that parse and those whose bars add up")
@click.option("--against", metavar="FILE", help="the same counts for another file, such as the training text")
@click.option("--json", "as_json", is_flag=True, help="the report as one JSON object")
def command(
    source: str,
    midi: str | None,
    wav: str | None,
    spectrogram: str | None,
    report: bool,
    against: str | None,
    as_json: bool,
) -> None:
    """Turn what stands in FILE (or -, standard input) into something to hear or to see.

    FILE holds tunes in ABC notation between blank lines, or sound as `sonho generate` writes it: Braille
    characters, a sound on each line. A WAV file is taken as well, for its picture.

    \b
    sonho generate runs/tunes -n 20 -p "X:1" | sonho render - --midi midi --wav tunes.wav --report
    sonho generate runs/sound -m 16000 | sonho render - --wav out.wav --spectrogram out.png
    """
    from sonho.export.rendering import read_pieces, read_tunes, write_midis, write_wavs
    from sonho.export.tune_report import report_on

    report = report or bool(against) or as_json
    if not (midi or wav or spectrogram or report):
        raise UsageError("nothing to make: give --midi FOLDER, --wav FILE, --spectrogram FILE.png or --report")
    content = read_pieces(source)
    if content.tunes is None and (midi or report):
        raise UsageError(f"{source} holds sound, not tunes; --midi, --report and --against are for tunes")
    if content.tunes is not None:
        own = report_on(content.tunes)
        if report:
            other = report_on(read_tunes(against)) if against else None
            _print_report(own, source, other, against or "", as_json)
        if not own.tunes and (midi or wav or spectrogram):
            raise DataError(f"none of the {own.total} tunes in {source} can be read: {own.problems[0][1]}")
        if not report:
            _print_left_out(own)
        if midi:
            _say(write_midis(own.tunes, Path(midi)))
        content.add_tunes(own.tunes, needed=bool(wav or spectrogram))
    if wav:
        _say(write_wavs(content.pieces, content.rate, Path(wav)))
    if spectrogram:
        _write_spectrogram(content.pieces, content.rate, Path(spectrogram))


def _print_report(own: TuneReport, source: str, other: TuneReport | None, against: str, as_json: bool) -> None:
    if as_json:
        compared = {"against": other.to_dict()} if other else {}
        print(json.dumps({**own.to_dict(), **compared}))
        return
    for name, report in ((source, own), *(((against, other),) if other else ())):
        print(f"{name}: {report.total:,} tunes")
        print(f"  parse              {report.parsed:6,}  {100 * report.share(report.parsed):5.1f} %")
        print(f"  bars that add up   {report.bars_add_up:6,}  {100 * report.share(report.bars_add_up):5.1f} %")
    for number, problem in own.problems[:MOST_PROBLEMS]:
        print(f"  tune {number}, {problem}")
    if len(own.problems) > MOST_PROBLEMS:
        print(f"  and {len(own.problems) - MOST_PROBLEMS} more")


def _print_left_out(report: TuneReport) -> None:
    """Tunes that cannot be played; of those that can, nobody asked about the bars."""
    playable = {number for number, _ in report.tunes}
    missing = [(number, problem) for number, problem in report.problems if number not in playable]
    for number, problem in missing[:MOST_PROBLEMS]:
        print(f"sonho: tune {number} left out, {problem}", file=sys.stderr)
    if len(missing) > MOST_PROBLEMS:
        print(f"sonho: and {len(missing) - MOST_PROBLEMS} more left out", file=sys.stderr)


def _write_spectrogram(pieces: list[Piece], rate: int, path: Path) -> None:
    from sonho.export.picture import write_picture
    from sonho.export.rendering import joined, make_parent

    make_parent(path)
    write_picture(joined(pieces, rate), rate, path)
    _say([path])


def _say(written: list[Path]) -> None:
    """Where it is, on standard error: standard output has the report."""
    more = f" and {len(written) - 1} more" if len(written) > 1 else ""
    print(f"wrote {written[0]}{more}", file=sys.stderr)
