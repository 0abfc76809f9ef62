import wave

import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.data.corpus import build_corpus
from sonho.data.sound import FIRST, read_wav, resample, sound_to_text, text_to_sound
from sonho.data.sources import iter_blocks, iter_records, iter_text
from sonho.errors import DataError


def tone(frequency, rate, seconds=0.25):
    return (0.8 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.fixture
def write_wav(tmp_path):
    """write_wav("a.wav", samples, rate=8000, width=2, channels=1)"""

    def write(name, samples, *, rate=8000, width=2, channels=1):
        whole = np.rint(np.asarray(samples) * (2 ** (8 * width - 1) - 1)).astype(np.int64)
        data = b"".join(int(v + 128 * (width == 1)).to_bytes(width, "little", signed=width > 1) for v in whole)
        path = tmp_path / name
        with wave.open(str(path), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(width)
            file.setframerate(rate)
            file.writeframes(data)
        return path

    return write


def test_every_code_comes_back_from_the_sample_that_it_stands_for():
    text = "".join(map(chr, range(FIRST, FIRST + 256)))
    assert sound_to_text(text_to_sound(text)) == text
    assert text_to_sound(chr(FIRST + 128)).tolist() == [0.0]
    assert (np.diff(text_to_sound(text)) > 0).all()


def test_mu_law_keeps_a_loud_and_a_soft_tone_within_30_decibels():
    for loudness in (1.0, 0.05):
        sound = loudness * tone(440, 8000)
        noise = text_to_sound(sound_to_text(sound)) - sound
        assert 10 * np.log10((sound**2).mean() / (noise**2).mean()) > 30


@pytest.mark.parametrize("rate", [11025, 16000, 22050, 44100, 48000, 6000])
def test_resampling_keeps_a_tone_and_its_place(rate):
    made = resample(tone(1000, rate), rate, 8000)
    assert len(made) == 2000
    np.testing.assert_allclose(made[200:-200], tone(1000, 8000)[200:-200], atol=2e-3)


def test_resampling_takes_away_what_would_fold_down():
    assert np.abs(resample(tone(4800, 44100), 44100, 8000)[200:-200]).max() < 1e-3


@pytest.mark.parametrize(("width", "error"), [(1, 0.02), (2, 1e-4), (3, 1e-6), (4, 1e-6)])
def test_wavs_of_each_width_are_read(write_wav, width, error):
    samples, rate = read_wav(write_wav("a.wav", tone(300, 8000), width=width))
    assert rate == 8000
    np.testing.assert_allclose(samples, tone(300, 8000), atol=error)


def test_channels_are_mixed(write_wav):
    both = np.stack([tone(300, 8000), np.zeros(2000)], axis=1).reshape(-1)
    samples, _ = read_wav(write_wav("a.wav", both, channels=2))
    np.testing.assert_allclose(samples, tone(300, 8000) / 2, atol=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"RIFF\0\0", "a.wav is no WAV file that can be read"),
        (b"not a sound at all", "no WAV file that can be read .*; convert it to 16-bit PCM"),
        (b"", "no WAV file"),
    ],
)
def test_what_is_no_wav_is_named(write, content, message):
    with pytest.raises(DataError, match=message):
        read_wav(write("a.wav", content))


def test_a_wav_without_samples_is_named(write_wav):
    with pytest.raises(DataError, match="holds no samples"):
        read_wav(write_wav("a.wav", []))


def test_a_folder_of_wavs_is_records_or_one_stream_of_lines(write_wav, tmp_path):
    write_wav("a.wav", tone(300, 8000))
    write_wav("b.wav", tone(500, 16000), rate=16000)
    records = list(iter_records([tmp_path], DataConfig()))
    assert [len(record) for record in records] == [2000, 2000]
    assert "".join(iter_text([tmp_path], DataConfig())) == "\n".join(records)


def test_wavs_beside_texts_in_a_folder_are_left_out(write_wav, write, tmp_path):
    write_wav("a.wav", tone(300, 8000))
    write("b.txt", "words")
    assert list(iter_records([tmp_path], DataConfig())) == ["words"]


def test_a_character_of_the_corpus_is_a_sample(write_wav):
    corpus = build_corpus([write_wav("a.wav", tone(300, 8000))], DataConfig(bptt=8), seed=0)
    assert corpus.train.num_chars + corpus.validation.num_chars == 2000
    assert any("a character is a sample" in note for note in corpus.notes)


def test_the_label_of_a_sound_is_its_files_name_to_the_first_dot(write_wav, tmp_path):
    write_wav("seven.low.wav", tone(300, 8000))
    write_wav("two.wav", tone(500, 8000))
    blocks = list(iter_blocks([tmp_path], DataConfig(kind="records", labelled=True)))
    assert [label for block in blocks for label in block.names] == ["seven", "two"]
    assert [len(text) for block in blocks for text in block.texts] == [2000, 2000]
