"""Classifiers and taggers on the command line: train, predict, evaluate, inspect, and clear refusals."""

import csv
import io
import json
import subprocess
import sys

import pytest

import sonho as package
from sonho.cli.main import main
from sonho.errors import UsageError

TINY = ["model.hidden_size=16", "model.num_layers=1", "--threads", "1", "--quiet", "training.learning_rate=0.02"]


@pytest.fixture(scope="session")
def news(tmp_path_factory):
    path = tmp_path_factory.mktemp("news") / "news.csv"
    words = {"Sport": "goal match team coach", "Money": "stock price bank trade"}
    rows = [f"{label},the {w} and {n}" for n in range(40) for label, own in words.items() for w in own.split()]
    path.write_text("topic,text\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="session")
def topics(news, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "topics"
    level = ["--level", "word", "--label-column", "topic"]
    assert main(["train", "--task", "classify", str(news), "-o", str(run), "--steps", "60", *level, *TINY]) == 0
    return run


@pytest.fixture(scope="session")
def accents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accents")
    text = folder / "text.txt"
    text.write_text("".join(f"Não há {n} corações\n  já sei, João!\n" for n in range(200)))
    arguments = ["train", "--task", "tag", "--strip", "accents", str(text), "-o", str(folder / "run"), "--steps", "80"]
    assert main([*arguments, *TINY]) == 0
    return folder / "run"


def test_labels_come_as_table_jsonl_and_csv(sonho, topics, tmp_path):
    file = tmp_path / "lines.txt"
    file.write_text("the goal and 3\n\nthe bank and 5\n")
    code, out, err = sonho("predict", topics, file)
    assert (code, err) == (0, [])
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["Sport", "Money"]
    records = [json.loads(line) for line in sonho("predict", topics, file, "--format", "jsonl")[1].splitlines()]
    assert [record["label"] for record in records] == ["Sport", "Money"]
    assert sum(records[0]["probabilities"].values()) == pytest.approx(1.0)
    rows = list(csv.DictReader(io.StringIO(sonho("predict", topics, file, "--format", "csv")[1])))
    assert [row["label"] for row in rows] == ["Sport", "Money"]
    assert float(rows[1]["Money"]) == float(rows[1]["probability"])
    code, out, _ = sonho("predict", topics, "-t", "the coach and 1", "--format", "jsonl", "--top", 1)
    assert list(json.loads(out)["probabilities"]) == ["Sport"]


def test_standard_input_is_read_where_no_file_is_named(topics):
    command = [sys.executable, "-m", "sonho", "predict", str(topics), "--format", "jsonl"]
    text = "the team and 2\n"
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["label"] == "Sport"


def test_evaluate_scores_labels_and_draws_their_confusion(sonho, topics, news, tmp_path):
    code, out, err = sonho("evaluate", topics, news, "--svg", tmp_path / "c.svg")
    assert (code, err) == (0, [])
    for words in ("each label", "confusion: rows are true", "calibration error", "how sure, and how often right"):
        assert words in out
    assert (tmp_path / "c.svg").read_text().startswith("<svg")
    report = json.loads(sonho("evaluate", topics, news, "--json")[1])
    assert report["accuracy"] == report["macro_f1"] == 1.0
    assert report["count"] == 320
    code, _, err = sonho("evaluate", topics, news, "--svg", tmp_path / "no" / "c.svg")
    assert (code, len(err)) == (74, 1)
    other = tmp_path / "other.csv"
    other.write_text("topic,text\nSports,the goal\n")
    code, _, err = sonho("evaluate", topics, other)
    assert code == 65
    assert "unknown label 'Sports'; did you mean 'Sport'?; known: Money, Sport" in err[0]


def test_a_tagger_restores_text_and_keeps_its_lines(sonho, accents, tmp_path):
    file = tmp_path / "plain.txt"
    file.write_text("Nao ha 7 coracoes\n\n  ja sei, Joao! ж\nNão")
    code, out, err = sonho("predict", accents, file)
    assert (code, err) == (0, [])
    assert out.splitlines() == ["Não há 7 corações", "", "  já sei, João! ж", "Não"]
    record = json.loads(sonho("predict", accents, "-t", "ja sei", "--format", "jsonl")[1])
    assert record["restored"] == "já sei"
    assert record["tags"] == ["keep", "acute accent", "keep", "keep", "keep", "keep"]
    assert "word" in sonho("evaluate", accents, file)[1]


def test_inspect_names_the_labels(sonho, topics):
    code, out, _ = sonho("inspect", topics)
    assert code == 0
    assert "classifier" in out
    assert "2 labels: Money, Sport" in out


@pytest.mark.parametrize("command", [["generate"], ["score", "-"], ["adapt"]])
def test_a_classifier_writes_no_text(sonho, topics, news, tmp_path, command):
    more = [news, "-o", tmp_path / "a.safetensors"] if command == ["adapt"] else command[1:]
    code, out, err = sonho(command[0], topics, *more)
    assert (code, out, len(err)) == (2, "", 1)
    assert "this is a classifier, which writes no text; use predict" in err[0]


def test_a_language_model_predicts_no_labels(sonho, stream_run, topics, accents):
    code, out, err = sonho("predict", stream_run, "-t", "x")
    assert (code, out, len(err)) == (2, "", 1)
    assert "this is a language model, which predicts no labels; use generate or score" in err[0]
    assert "confusion of labels" in sonho("evaluate", stream_run, stream_run, "--svg", "x")[2][0]
    assert sonho("predict", topics, "-t", "x", "--format", "text")[0] == 2
    assert sonho("predict", accents, "-t", "x", "--format", "table")[0] == 2


def test_the_doors_of_the_package_predict(topics, accents, news, stream_run):
    model = package.load(topics)
    [found] = model.predict(["the goal and 3"])
    assert found.label == "Sport"
    assert next(iter(found.probabilities)) == "Sport"
    assert package.predict(accents, ["Nao", ""])[0].restored == "Não"
    assert package.evaluate(topics, str(news)).accuracy == 1.0
    with pytest.raises(UsageError, match="this is a classifier"):
        model.generate("x")
    with pytest.raises(UsageError, match="this is a language model"):
        package.load(stream_run).predict(["x"])
    with pytest.raises(UsageError, match="texts must be a list"):
        model.predict("the goal")


def test_predicting_loads_no_torch(topics):
    code = f"import sys, sonho; sonho.load({str(topics)!r}).predict(['a']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
