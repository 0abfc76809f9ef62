import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.data.encode import encode_block
from sonho.text import fit_tokenizer

RECORDS = [
    "Straße 9",
    " leading",
    "trailing \t",
    "two\nlines",
    "",
    "漢字 🙂",
    "The end.",
    "the end",
    "İΣ",
    "e\u0301",
] * 3


@pytest.mark.parametrize("level", ["char", "byte", "word", "subword"])
@pytest.mark.parametrize("normalize", ["none", "NFC"])
@pytest.mark.parametrize("known", [RECORDS, RECORDS[:2]], ids=["all known", "some unknown"])
def test_records_encoded_together_are_the_records_encoded_one_by_one(level, normalize, known):
    config = DataConfig(level=level, kind="records", normalize=normalize, max_vocab=290 if level == "subword" else 0)
    tokenizer = fit_tokenizer(known, config)
    tokens, lengths = encode_block(RECORDS, tokenizer)
    expected = [tokenizer.encode(record) for record in RECORDS]
    assert lengths.tolist() == [len(ids) for ids in expected]
    np.testing.assert_array_equal(tokens, np.concatenate(expected))
