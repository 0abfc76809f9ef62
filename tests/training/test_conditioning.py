"""The full path of a conditioned model on tiny data: train, save, load, generate, evaluate, resume."""

import json

import numpy as np
import pytest

from sonho.api import evaluation_table
from sonho.cli.main import main
from sonho.decoding import load
from sonho.errors import DataError, UsageError
from sonho.training.callbacks import Callback
from sonho.training.run import train

WORDS = {"Sport": ("goal", "match", "team"), "Money": ("bank", "stock", "price")}
ROWS = [(f"{a} {b}", label) for label, words in WORDS.items() for a in words for b in words for _ in range(2)]
ROWS = [(f"{text} {number % 9}", label) for number, (text, label) in enumerate(ROWS * 6)]
SETTINGS = {
    "model": {"hidden_size": 32, "condition": "label"},
    "data": {"batch_size": 16, "columns": ["text"], "label_column": "topic", "validation": 0.2},
    "training": {"steps": 150, "threads": 1, "checkpoint_every": 30, "validate_every": 50, "sample_every": 75},
    "sampling": {"max_tokens": 20},
}


def merged(**sections):
    return {name: {**SETTINGS.get(name, {}), **sections.get(name, {})} for name in SETTINGS}


@pytest.fixture(scope="module")
def topics(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "topics.csv"
    path.write_text("topic,text\n" + "".join(f"{label},{text}\n" for text, label in ROWS))
    return path


@pytest.fixture(scope="module")
def run(topics, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "topics"
    assert train([str(topics)], folder, SETTINGS).finished
    return folder


def share_of(model, label, *, told):
    """Words of texts that are told one label which belong to another."""
    made = model.generate_batch([""] * 40, labels=[told] * 40, seeds=range(40), max_tokens=20)
    words = [word for one in made for word in one.text.split()[:2]]
    return sum(word in WORDS[label] for word in words) / len(words)


def test_texts_are_of_the_label_that_was_asked_for(run):
    model = load(run)
    assert model.model_file.condition.labels == ("Money", "Sport")
    assert share_of(model, "Sport", told="Sport") > 0.8
    assert share_of(model, "Money", told="Money") > 0.8
    mixed = {"Sport": 1, "Money": 1}
    assert 0.1 < share_of(model, "Sport", told=mixed) < 0.9


def test_samples_while_learning_show_some_labels(run):
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert {sample["label"] for sample in samples} == {"Money", "Sport"}


def test_evaluation_is_told_the_labels_and_once_the_wrong_ones(run, topics):
    table = evaluation_table(run, [str(topics)], {}, with_baselines=False)
    assert table.shuffled.bits_per_char > table.report.bits_per_char + 0.1
    record = load(run).model_file.record
    assert abs(table.report.bits_per_char - record["validation_bits_per_char"]) < 0.3


class StopAt(Callback):
    """Stops a run after a step, as Ctrl-C does."""

    def __init__(self, step):
        self.step = step

    def on_step(self, trainer, loss):
        trainer.stop_requested = trainer.counters.step == self.step


def test_a_resumed_run_has_the_bytes_of_an_unbroken_one(run, topics, tmp_path):
    assert not train([str(topics)], tmp_path / "cut", SETTINGS, callbacks=[StopAt(70)]).finished
    assert train([], tmp_path / "cut", resume=True).finished
    assert (tmp_path / "cut" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_several_labels_stand_in_one_cell(tmp_path):
    text = "topic,text\n" + "".join(f"{label};News,{text}\n" for text, label in ROWS)
    (tmp_path / "a.csv").write_text(text)
    settings = merged(data={"label_separator": ";"}, training={"steps": 5})
    train([str(tmp_path / "a.csv")], tmp_path / "run", settings)
    condition = load(tmp_path / "run").model_file.condition
    assert condition.labels == ("Money", "News", "Sport")
    np.testing.assert_allclose(condition.mean, [0.25, 0.5, 0.25], atol=0.03)


def test_a_file_a_label_needs_no_column(tmp_path):
    for label in WORDS:
        (tmp_path / f"{label}.txt").write_text("".join(f"{text}\n" for text, own in ROWS if own == label))
    settings = merged(data={"columns": [], "label_column": ""}, training={"steps": 5})
    train([str(tmp_path / "*.txt")], tmp_path / "run", settings)
    assert load(tmp_path / "run").model_file.condition.labels == ("Money", "Sport")


@pytest.fixture(scope="module")
def vector_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    (folder / "a.txt").write_text("".join(f"{text}\n" for text, _ in ROWS))
    sport = np.array([label == "Sport" for _, label in ROWS])
    np.save(folder / "v.npy", np.column_stack([100 + 5 * sport, np.ones(len(ROWS)), np.arange(len(ROWS)) % 7]))
    settings = merged(
        model={"condition": "vector"},
        data={"columns": [], "label_column": "", "vectors": str(folder / "v.npy"), "test": "0.1"},
    )
    train([str(folder / "a.txt")], folder / "run", settings)
    return folder


def test_each_record_keeps_its_row_of_the_vectors_through_the_split(vector_run):
    model = load(vector_run / "run")
    condition = model.model_file.condition
    assert (condition.labels, condition.size) == ((), 3)
    assert condition.scale[1] == 1.0  # it never changes
    made = [str(model.generate("", vector=[105, 1, 3], seed=seed)).split()[0] for seed in range(20)]
    assert sum(word in WORDS["Sport"] for word in made) >= 16
    made = [str(model.generate("", vector=[100, 1, 3], seed=seed)).split()[0] for seed in range(20)]
    assert sum(word in WORDS["Money"] for word in made) >= 16
    assert "v.npy" not in str(model.model_file.record)


def test_vectors_are_told_to_the_evaluation(vector_run):
    vectors = {"data": {"vectors": str(vector_run / "v.npy")}}
    table = evaluation_table(vector_run / "run", [str(vector_run / "a.txt")], vectors, with_baselines=False)
    assert table.shuffled.bits_per_char > table.report.bits_per_char + 0.1


def test_the_command_reads_a_row_of_a_file_or_numbers(vector_run, capsys):
    for vector in (f"{vector_run / 'v.npy'}:3", "105,1,3"):
        assert main(["generate", str(vector_run / "run"), "--vector", vector, "--seed", "1"]) == 0
    assert main(["generate", str(vector_run / "run"), "--vector", f"{vector_run / 'v.npy'}:9999"]) == 2
    assert "there is no row 9999" in capsys.readouterr().err


def test_a_run_that_goes_on_needs_the_vectors_it_began_with(vector_run):
    np.save(vector_run / "v.npy", np.random.default_rng(0).random((len(ROWS), 3)))
    with pytest.raises(UsageError, match="the pictures, vectors or labels are not those"):
        train([], vector_run / "run", {"training": {"steps": 200}}, resume=True)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {"condition": "vector"}, "data": {"label_column": ""}}, "needs a row for each record: --vectors"),
        ({"model": {"cell": "conv"}}, "model.condition begins a state, and conv has none"),
        ({"model": {"cell": "ngram"}}, "model.condition begins a state, and ngram has none"),
        ({"model": {"condition": "none"}, "data": {"label_column": "", "vectors": "v.npy", "kind": "records"}},
         "data.vectors needs model.condition=vector"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_told_in_a_line(topics, tmp_path, sections, message):
    with pytest.raises(UsageError) as error:
        train([str(topics)], tmp_path / "run", merged(**sections))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [(np.zeros((5, 2)), "has 5 rows, but 216 records were read"), (np.array(["a"]), "rows of numbers are wanted")],
)
def test_a_file_of_vectors_that_does_not_fit_is_told_with_both_counts(topics, tmp_path, rows, message):
    np.save(tmp_path / "v.npy", rows)
    data = {"label_column": "", "vectors": str(tmp_path / "v.npy")}
    with pytest.raises(DataError) as error:
        train([str(topics)], tmp_path / "run", merged(model={"condition": "vector"}, data=data))
    assert message in str(error.value)


def test_a_conditioned_model_cannot_be_adapted_or_grown(run, topics, tmp_path):
    from sonho.api import adapt

    with pytest.raises(UsageError, match="a conditioned model cannot be adapted"):
        adapt(run, str(topics), tmp_path / "adapted")
    with pytest.raises(UsageError, match="--init cannot start from a conditioned model"):
        train([str(topics)], tmp_path / "run", {"training": {"steps": 1}}, init=str(run))


def test_the_commands_take_weights_and_name_the_labels_that_there_are(run, capsys):
    assert main(["generate", str(run), "--label", "Sport=0.7", "--label", "Money=0.3", "--seed", "1"]) == 0
    assert main(["generate", str(run), "--label", "Sprot"]) == 2
    assert "unknown label 'Sprot'; did you mean 'Sport'?; known: Money, Sport" in capsys.readouterr().err
    assert main(["inspect", str(run)]) == 0
    assert "Condition: a label of 2: Money" in capsys.readouterr().out
