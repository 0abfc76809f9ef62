import itertools

import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.data.batches import make_batches
from sonho.data.corpus import build_corpus, encode_for_evaluation
from sonho.data.prepare import load_prepared, prepare
from sonho.errors import DataError, UsageError

ROWS = [(f"{word} number {n}", label) for n in range(60) for word, label in (("goal", "Sport"), ("stock", "Money"))]
CSV = "label,text\n" + "".join(f"{label},{text}\n" for text, label in ROWS)


def config(**settings):
    return DataConfig(kind="records", **{"labelled": True, **settings})


def pairs(part, corpus):
    ends = part.offsets.tolist()
    texts = [corpus.tokenizer.decode(part.tokens.read(a, b)) for a, b in itertools.pairwise(ends)]
    return [(text, corpus.label_names[label]) for text, label in zip(texts, part.labels.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        ("a.csv", CSV, {}),
        ("a.csv", CSV, {"label_column": "label", "labelled": False}),
        ("a.csv", CSV.partition("\n")[2], {"label_column": "label|1", "columns": ["text|2"]}),
        ("a.jsonl", "".join(f'{{"text": "{t}", "kind": "{k}"}}\n' for t, k in ROWS), {"label_column": "kind"}),
        ("a.jsonl", "".join(f'{{"class": "{k}", "text": "{t}"}}\n' for t, k in ROWS), {}),
    ],
)
def test_each_text_keeps_its_label_wherever_the_split_sends_it(write, name, content, settings):
    corpus = build_corpus([write(name, content)], config(**settings), seed=1)
    assert corpus.label_names == ("Money", "Sport")
    assert sorted(pairs(corpus.train, corpus) + pairs(corpus.validation, corpus)) == sorted(ROWS)
    assert any("2 labels; the commonest is" in note for note in corpus.notes)


def test_a_file_a_class_is_labelled_by_the_names_of_the_files(write):
    for label in ("Sport", "Money"):
        write(f"news/{label}.txt", "".join(f"{text}\n" for text, own in ROWS if own == label))
    folder = write("news/LICENSE", "nobody's\n").parent
    corpus = build_corpus([folder], config(), seed=1)
    assert sorted(pairs(corpus.train, corpus) + pairs(corpus.validation, corpus)) == sorted(ROWS)


def test_labels_can_be_called_otherwise(write):
    file = write("a.csv", CSV)
    assert build_corpus([file], config(label_names=["Sport=Sports"]), seed=1).label_names == ("Money", "Sports")
    with pytest.raises(UsageError, match=r"data\.label_names holds 'Sport'; write each as OLD=NEW"):
        build_corpus([file], config(label_names=["Sport"]), seed=1)


def test_batches_bring_the_label_of_each_row(write):
    corpus = build_corpus([write("a.csv", CSV)], config(batch_size=7), seed=1)
    batches = make_batches(corpus.train, corpus.tokenizer, config(batch_size=7), seed=3)
    for index in range(batches.steps_in(0)):
        batch = batches.batch(0, index)
        texts = [corpus.tokenizer.decode(row) for row in batch.inputs]
        assert [corpus.label_names[label] for label in batch.labels] == [dict(ROWS)[text] for text in texts]


def test_near_duplicates_share_a_side(write):
    rows = "".join(f"x,Oil {n} falls!\nx,OIL {n}  falls\ny,oil {n} falls ...\n" for n in range(50))
    corpus = build_corpus([write("a.csv", f"label,text\n{rows}")], config(), seed=1)
    sides = [{text.lower().split()[1] for text, _ in pairs(part, corpus)} for part in (corpus.train, corpus.validation)]
    assert not sides[0] & sides[1]
    assert any("100 records are near duplicates" in note for note in corpus.notes)


def test_another_label_is_another_corpus(write):
    digests = [
        build_corpus([write("a.csv", content)], config(), seed=1).digest
        for content in (CSV, CSV.replace("Sport,goal number 3\n", "Money,goal number 3\n"), CSV.replace("Sport", "S"))
    ]
    assert len(set(digests)) == 3


def test_shards_keep_the_labels(write, tmp_path):
    file = write("a.csv", CSV)
    here, there = build_corpus([file], config(), seed=1), prepare([file], config(), seed=1, folder=tmp_path / "shards")
    again = load_prepared(tmp_path / "shards", verify=True)
    assert here.digest == there.digest == again.digest
    assert again.label_names == here.label_names
    np.testing.assert_array_equal(again.train.labels, here.train.labels)
    labels = tmp_path / "shards" / "train-labels-00000.bin"
    labels.write_bytes(bytes(labels.stat().st_size))
    with pytest.raises(DataError, match="or its labels has been altered"):
        load_prepared(tmp_path / "shards", verify=True)


def test_a_label_that_was_not_trained_on_is_named_with_those_that_were(write):
    corpus = build_corpus([write("a.csv", CSV)], config(), seed=1)
    other = write("b.csv", "label,text\nSports,goal number 1\n")
    with pytest.raises(DataError, match=r"unknown label 'Sports'; did you mean 'Sport'\?; known: Money, Sport"):
        encode_for_evaluation([other], corpus.tokenizer, config(), label_names=corpus.label_names)
    part = encode_for_evaluation([write("a.csv", CSV)], corpus.tokenizer, config(), label_names=corpus.label_names)
    assert np.bincount(part.labels).tolist() == [60, 60]


def test_what_cannot_be_labelled_is_told_in_one_line(write):
    with pytest.raises(DataError, match="the row of 'goal number 1' has no label"):
        build_corpus([write("a.csv", "label,text\n,goal number 1\n")], config(), seed=1)
    with pytest.raises(DataError, match=r"needs a column of labels; name it with data\.label_column"):
        build_corpus([write("a.csv", "a,b\n1,goal number 1\n")], config(), seed=1)
    with pytest.raises(UsageError, match=r"labels belong to records, but data\.kind is stream"):
        build_corpus([write("a.csv", CSV)], DataConfig(labelled=True), seed=1)
    with pytest.raises(UsageError, match=r"data\.num_chars cuts records into pieces that have no labels"):
        build_corpus([write("a.csv", CSV)], config(num_chars=5), seed=1)
