"""Translation on the command line: train, translate, evaluate, inspect, and clear refusals."""

import json
import subprocess
import sys

import pytest

from sonho import load
from sonho.cli.main import main
from sonho.errors import UsageError

NOUNS = {"Hund": "dog", "Katze": "cat", "Maus": "mouse", "Kuh": "cow", "Ente": "duck"}
VERBS = {"läuft": "runs", "schläft": "sleeps", "singt": "sings", "isst": "eats"}
NAMES = [*map(str, range(12)), *(a + b for a in ("Ka", "Lu", "Mi", "No") for b in ("ra", "ben", "wak"))]
PAIRS = [
    (f"Der {a} {n} {b}.", f"The {c} {n} {d}.") for n in NAMES[:12] for a, c in NOUNS.items() for b, d in VERBS.items()
]
# Words that come once are unknown to the vocabulary (--min-count 2).
PAIRS += [
    (f"Der {a} {name}{i}{j} {b}.", f"The {c} {name}{i}{j} {d}.")
    for i, (a, c) in enumerate(NOUNS.items())
    for j, (b, d) in enumerate(VERBS.items())
    for name in NAMES[12:16]
]
TINY = ["model.hidden_size=32", "model.embedding_dim=32", "--threads", "1", "--quiet", "training.learning_rate=0.02"]


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    for side, name in enumerate(("a.de", "a.en")):
        (folder / name).write_text("".join(pair[side] + "\n" for pair in PAIRS), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def run(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "words"
    files = ["--source", str(pairs / "a.de"), "--target", str(pairs / "a.en")]
    level = ["--level", "word", "--min-count", "2", "model.dropout=0", "model.dropout_input=0"]
    assert main(["train", "--task", "translate", *files, "-o", str(folder), "--steps", "150", *level, *TINY]) == 0
    return folder


def test_lines_are_translated_in_their_order_and_empty_ones_stay(sonho, run, tmp_path):
    file = tmp_path / "in.txt"
    file.write_text("Der Hund 3 läuft.\n\n  \nDer Maus 7 singt.\nDer Ente 11 isst.", encoding="utf-8")
    code, out, err = sonho("translate", run, file, "-o", tmp_path / "out.txt")
    assert (code, out, err) == (0, "", [])
    wanted = ["The dog 3 runs.", "", "", "The mouse 7 sings.", "The duck 11 eats."]
    assert (tmp_path / "out.txt").read_text().splitlines() == wanted
    assert sonho("translate", run, file, "--beam", 1)[1].splitlines() == wanted


def test_standard_input_is_read_and_no_torch_is_loaded(run):
    code = (
        "import sys\nfrom sonho.cli.main import main\nassert main(sys.argv[1:]) == 0\nsys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "translate", str(run)]
    done = subprocess.run(command, input="Der Kuh 2 schläft.\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "The cow 2 sleeps.\n")


def test_an_unknown_word_is_copied_from_where_the_model_looked(sonho, run):
    assert sonho("translate", run, "-t", "Der Hund Rex läuft.")[1] == "The dog Rex runs.\n"


def test_several_translations_come_with_their_scores(sonho, run, tmp_path):
    code, out, _ = sonho("translate", run, "-t", "Der Hund 3 läuft.", "--n-best", 3, "--normalisation", "power")
    scores = [float(line.split("\t")[0]) for line in out.splitlines() if line]
    assert code == 0
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    picture = tmp_path / "a.svg"
    code, out, _ = sonho("translate", run, "-t", "Der Hund 3 <läuft>.", "--json", "--attention", picture)
    record = json.loads(out)
    best = record["candidates"][0]
    assert record["text"] == best["text"]
    assert len(best["attention"]) == len(best["tokens"])
    assert {len(row) for row in best["attention"]} == {len(record["source_tokens"])}
    assert sum(best["attention"][0]) == pytest.approx(1.0, abs=0.01)
    assert picture.read_text().startswith("<svg")
    assert "&lt;" in picture.read_text()


def test_evaluate_counts_bleu_and_chrf_with_their_signatures(sonho, run, pairs, tmp_path):
    code, out, err = sonho("evaluate", run, pairs / "a.de", pairs / "a.en")
    assert (code, err) == (0, [])
    for words in (f"{len(PAIRS)} pairs", "BLEU: nrefs:1|case:mixed|eff:no|tok:13a", "chrF: nrefs:1", "nats/token"):
        assert words in out
    report = json.loads(sonho("evaluate", run, pairs / "a.de", pairs / "a.en", "--json", "--beam", 1)[1])
    assert report["bleu"] > 95
    assert report["beam"] == 1
    (tmp_path / "empty.tsv").write_text("\t\n")
    code, _, err = sonho("evaluate", run, tmp_path / "empty.tsv")
    assert code == 65
    assert "no pair of texts that both say something; there is nothing to score" in err[0]
    (tmp_path / "short.en").write_text("The dog runs.\n")
    code, _, err = sonho("evaluate", run, pairs / "a.de", tmp_path / "short.en")
    assert code == 65
    assert f"a.de has {len(PAIRS)} lines and" in err[0]
    assert "short.en 1; line by line" in err[0]


def test_inspect_shows_both_sides(sonho, run):
    code, out, _ = sonho("inspect", run)
    assert code == 0
    for words in ("gru translation model", "Source vocabulary", "Target vocabulary", "BLEU", "source as it is"):
        assert words in out
    assert json.loads(sonho("inspect", run, "--json")[1])["source_tokenizer"]["level"] == "word"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["generate"], "this is a translation model, which writes nothing by itself; use translate"),
        (["predict", "-t", "x"], "this is a translation model, which predicts no labels; use translate"),
        (["score", "-"], "this is a translation model, which writes nothing by itself"),
        (["chat"], "this is a translation model"),
        (["translate", "--n-best", "9"], "n_best=9 of a beam of 5; widen the beam"),
        (["translate", "--beam", "0"], "beam must be a whole number from 1 to 1000, got 0"),
        (["translate", "--length-penalty", "-1"], "length_penalty must lie between 0 and 10"),
    ],
)
def test_what_it_cannot_do_is_told_in_one_line(sonho, run, command, message):
    code, out, err = sonho(command[0], run, *command[1:])
    assert (code, out, len(err)) == (2, "", 1)
    assert message in err[0]


def test_other_models_do_not_translate_and_sources_need_targets(sonho, stream_run, pairs, tmp_path):
    code, _, err = sonho("translate", stream_run, "-t", "x")
    assert (code, len(err)) == (2, 1)
    assert "this is a language model, which does not translate; use generate or score" in err[0]
    code, _, err = sonho("train", "--task", "translate", "--source", pairs / "a.de", "-o", tmp_path / "no")
    assert (code, len(err)) == (2, 1)
    assert "--source is given 1 times and --target 0" in err[0]


def test_without_sacrebleu_a_run_keeps_the_best_loss_and_evaluate_says_what_to_install(
    sonho, run, pairs, tmp_path, monkeypatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = sonho("evaluate", run, pairs / "a.de", pairs / "a.en")
    assert (code, len(err)) == (2, 1)
    assert "pip install 'sonho[translate]'" in err[0]
    files = [pairs / "a.de", pairs / "a.en", "--level", "char", "--steps", "2", "--json"]
    tiny = [argument for argument in TINY if argument != "--quiet"]
    code, out, _ = sonho("train", "--task", "translate", *files, "-o", tmp_path / "run", *tiny)
    assert code == 0
    assert "Without sacrebleu the lowest loss is kept" in out
    assert "validation_bleu" not in out


def test_the_doors_of_the_package_translate(run):
    import sonho as package

    assert package.translate(run, ["Der Hund 3 läuft.", ""], beam=2)[0].text == "The dog 3 runs."
    model = package.load(run)
    assert [one.text for one in model.translate([""])] == [""]
    with pytest.raises(UsageError, match="this is a translation model"):
        model.generate("x")
    with pytest.raises(UsageError, match="texts must be a list"):
        model.translate("Der Hund")


def test_no_two_of_the_best_read_alike(run, monkeypatch):
    model = load(run)
    found = model.runner.translate

    def repeated(*arguments, **options):
        return [[one for one in row for _ in range(2)] for row in found(*arguments, **options)]

    monkeypatch.setattr(model.runner, "translate", repeated)
    [translation] = model.translate(["Der Hund 3 läuft."], beam=4, n_best=3)
    assert len({one.text for one in translation.candidates}) == len(translation.candidates) > 1
