import itertools

import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.data.batches import make_batches
from sonho.data.corpus import build_corpus, encode_for_evaluation
from sonho.data.prepare import load_prepared, prepare
from sonho.errors import UsageError
from sonho.text.strip import restore_text

LINES = [f"Não há {n} corações à mão; é {n * 7} já!" for n in range(60)]


def config(**settings):
    return DataConfig(kind="records", **{"strip": "accents", "normalize": "NFC", **settings})


def restored(part, corpus):
    ends = part.offsets.tolist()
    for start, stop in itertools.pairwise(ends):
        assert part.tags[stop - 1] == -100
        tags = [corpus.label_names[tag] for tag in part.tags[start : stop - 1]]
        yield restore_text(corpus.tokenizer.decode(part.tokens.read(start, stop)), tags)


def test_the_tags_of_every_split_restore_its_lines(write):
    corpus = build_corpus([write("a.txt", "\n".join(LINES))], config(), seed=1)
    assert corpus.label_names == ("acute accent", "cedilla", "grave accent", "keep", "tilde")
    assert not set("ãáçõàéj") & set(corpus.tokenizer.unknown_in("Nao ha coracoes a mao; e ja!"))
    both = [*restored(corpus.train, corpus), *restored(corpus.validation, corpus)]
    assert sorted(both) == sorted(LINES)


def test_a_batch_has_the_tag_of_a_token_where_the_token_is_read(write):
    corpus = build_corpus([write("a.txt", "\n".join(LINES))], config(batch_size=5), seed=1)
    batches = make_batches(corpus.train, corpus.tokenizer, config(batch_size=5), seed=1)
    batch = batches.batch(0, 1)
    assert batch.num_tokens == (batch.targets >= 0).sum() == (batch.lengths - 1).sum()
    for inputs, targets, length in zip(batch.inputs, batch.targets, batch.lengths, strict=True):
        assert targets[0] == -100
        tags = [corpus.label_names[tag] for tag in targets[1:length]]
        assert restore_text(corpus.tokenizer.decode(inputs[1:length]), tags) in LINES


def test_records_that_are_cut_keep_their_tags_in_step(write):
    corpus = build_corpus([write("a.txt", "\n".join(LINES))], config(max_length=12), seed=1)
    assert {line[:12] for line in LINES} == {*restored(corpus.train, corpus), *restored(corpus.validation, corpus)}


def test_an_unknown_symbol_takes_its_place_and_moves_no_tag(write):
    corpus = build_corpus([write("a.txt", "\n".join(LINES))], config(), seed=1)
    part = encode_for_evaluation(
        [write("b.txt", "é ж ã\n")], corpus.tokenizer, config(), label_names=corpus.label_names
    )
    assert part.unknown == ("ж",)
    assert [corpus.label_names[tag] for tag in part.tags[:-1]] == ["acute accent", "keep", "keep", "keep", "tilde"]


def test_shards_keep_the_tags(write, tmp_path):
    file = write("a.txt", "\n".join(LINES))
    here, there = build_corpus([file], config(), seed=1), prepare([file], config(), seed=1, folder=tmp_path / "shards")
    again = load_prepared(tmp_path / "shards", verify=True)
    assert here.digest == there.digest == again.digest
    np.testing.assert_array_equal(again.validation.tags, here.validation.tags)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": "word"}, r"data\.strip works on whole records of characters"),
        ({"labelled": True}, r"data\.strip makes a label for each character"),
        ({"strip": "case", "lowercase": True}, r"data\.lowercase leaves no capitals to restore"),
    ],
)
def test_what_cannot_be_restored_is_told(write, settings, message):
    with pytest.raises(UsageError, match=message):
        build_corpus([write("a.txt", "\n".join(LINES))], config(**settings), seed=1)
