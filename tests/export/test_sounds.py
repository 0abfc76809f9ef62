import sys
import wave

import numpy as np
import pytest

from sonho.errors import DataError, StorageError
from sonho.export import synth
from sonho.export.molecules import rdkit_canonical, report_on
from sonho.export.playing import Sounding
from sonho.export.rendering import read_pieces
from sonho.export.tune_report import report_on as report_on_tunes
from sonho.export.wav import write_wav


def test_the_synth_plays_the_pitch_without_clicks_or_clipping():
    sound = synth.synthesise([Sounding(0.0, 0.5, (69,)), Sounding(0.5, 0.5, (60, 64, 67))])
    assert np.abs(sound).max() == pytest.approx(synth.PEAK)
    assert abs(sound[0]) < 1e-3 > abs(sound[-1])
    spectrum = np.abs(np.fft.rfft(sound[: synth.RATE // 2]))
    assert abs(spectrum.argmax() * 2 - 440) <= 2
    # A click is a jump that the fastest harmonic cannot make.
    assert np.abs(np.diff(sound)).max() < 0.5


def test_a_high_note_has_no_harmonics_that_fold_down():
    spectrum = np.abs(np.fft.rfft(synth.pluck(117, 0.5)))  # 7,040 Hz: its octave is above half the rate
    strong = np.flatnonzero(spectrum > spectrum.max() / 100) * synth.RATE / len(synth.pluck(117, 0.5))
    assert strong.min() > 6500
    assert strong.max() < 7500


def test_silence_stays_silent():
    assert not synth.synthesise([]).any()


def test_a_wav_has_the_samples_in_16_bits(tmp_path):
    write_wav(np.array([0.0, 0.5, -1.0, 2.0]), 8000, tmp_path / "a.wav")
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        assert np.frombuffer(file.readframes(4), "<i2").tolist() == [0, 16384, -32767, 32767]


def test_a_disk_that_refuses_is_one_line(tmp_path):
    with pytest.raises(StorageError, match="cannot write"):
        write_wav(np.zeros(3), 8000, tmp_path / "absent" / "a.wav")


def test_a_midi_file_has_the_notes_at_their_times(tune_of, tmp_path):
    mido = pytest.importorskip("mido", reason="mido is not installed")
    from sonho.export.midi import write_midi

    write_midi(tune_of("C2D2|:EF G2:|"), tmp_path / "a.mid")
    file = mido.MidiFile(tmp_path / "a.mid")
    played = [message.note for message in file.tracks[0] if message.type == "note_on"]
    assert played == [60, 62, 64, 65, 67, 64, 65, 67]
    assert file.length == pytest.approx(3 * 0.75, abs=0.03)  # half a whole note is 0.75 seconds
    assert all(message.time >= 0 for message in file.tracks[0])


def test_the_picture_shows_a_tone_at_its_frequency():
    pytest.importorskip("PIL", reason="Pillow is not installed")
    from sonho.export.picture import SPECTRUM_HEIGHT, WIDTH, draw, spectrogram

    tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    loudness = spectrogram(tone, 8000, 4000.0)
    assert loudness.shape == (SPECTRUM_HEIGHT, WIDTH)
    row = loudness[:, WIDTH // 2].argmax()
    assert abs(4000 * (1 - row / (SPECTRUM_HEIGHT - 1)) - 1000) < 20
    assert draw(np.zeros(3), 8000).size[0] > WIDTH


def test_braille_is_sound_and_its_lines_are_pieces(tmp_path):
    (tmp_path / "a.txt").write_text("⢀⣿⢀\n⠀⢀\n")
    content = read_pieces(str(tmp_path / "a.txt"))
    assert content.tunes is None
    assert [len(piece.samples) for piece in content.pieces] == [3, 2]


def test_a_text_that_is_neither_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("Once upon a time\n\nthere was")
    with pytest.raises(DataError, match="holds neither tunes in ABC notation"):
        read_pieces(str(tmp_path / "a.txt"))


def test_a_report_counts_tunes_that_parse_and_bars_that_add_up():
    head = "\nT:t\nM:2/4\nL:1/8\nK:C\n"
    report = report_on_tunes([f"X:1{head}CDEF|", f"X:2{head}CDE|CDEF|CDE|", f"X:3{head}CDEF;"])
    assert (report.total, report.parsed, report.bars_add_up) == (3, 2, 1)
    assert report.to_dict()["parsed_share"] == pytest.approx(0.6667)
    assert [number for number, _ in report.problems] == [2, 3]


def test_molecules_are_counted_as_they_are_spelled_without_rdkit(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    assert rdkit_canonical() is None
    report = report_on(["CCO", "OCC", "CCO", "C("], ["CCO"], None)
    assert (report.valid, report.different, report.new) == (None, 3, 2)
    assert report.uniqueness == 0.75


def test_rdkit_knows_a_molecule_in_each_spelling():
    pytest.importorskip("rdkit", reason="RDKit is not installed")
    report = report_on(["CCO", "OCC", "c1ccccc1", "C("], ["OCC"], rdkit_canonical())
    assert (report.validity, report.uniqueness, report.novelty) == (0.75, 0.6667, 0.5)
    assert report.example == "C("
    assert report_on(["C("], None, rdkit_canonical()).to_dict()["novelty"] is None
