import json
import math

import pytest

import sonho as package
from sonho.cli.options import recipe_names

from .conftest import TINY


def test_a_run_folder_holds_what_the_manual_says(stream_run):
    assert {"model.safetensors", "checkpoint.safetensors", "metrics.jsonl", "samples.jsonl"} <= {
        path.name for path in stream_run.iterdir()
    }
    lines = [json.loads(line) for line in (stream_run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        loss = {"train_loss", "validation_loss"} & line.keys()
        assert len(loss) == 1
        assert line.keys() - loss == {
            "step", "epoch", "tokens_seen", "learning_rate", "tokens_per_second", "seconds"
        }  # fmt: skip
    sample = json.loads((stream_run / "samples.jsonl").read_text().splitlines()[-1])
    assert sample.keys() == {"step", "prompt", "temperature", "text"}


def test_training_prints_the_split_the_plan_and_the_baselines(sonho, text_file, tmp_path):
    code, out, err = sonho("train", text_file, "-o", tmp_path / "run", "--steps", 3, *TINY)
    assert (code, err) == (0, [])
    for words in ("validation", "Plan for", "6-gram Kneser-Ney", "xz", "single letters", "this model", "bits/char"):
        assert words in out


def test_json_output_is_json_alone(sonho, text_file, tmp_path):
    code, out, err = sonho("train", text_file, "-o", tmp_path / "run", "--steps", 12, "--json", *TINY)
    assert (code, err) == (0, [])
    records = [json.loads(line) for line in out.splitlines()]
    assert any("train_loss" in record for record in records)
    assert any("sample" in record for record in records)


def test_a_seed_repeats_a_text_and_without_one_it_is_printed(sonho, stream_run):
    one = sonho("generate", stream_run, "--prompt", "Humpty", "--seed", 5, "-m", 30)
    assert one == sonho("generate", stream_run / "model.safetensors", "--prompt", "Humpty", "--seed", 5, "-m", 30)
    assert one[1].startswith("Humpty")
    _, out, err = sonho("generate", stream_run, "--prompt", "Humpty", "-m", 30)
    assert err[0].startswith("seed ")
    assert sonho("generate", stream_run, "--prompt", "Humpty", "-m", 30, "--seed", err[0].split()[1])[1] == out


@pytest.mark.parametrize("temperature", ["0", "1e-9", "1.8", "1e9"])
def test_any_temperature_writes_text(sonho, stream_run, temperature):
    code, out, err = sonho("generate", stream_run, "-t", temperature, "--seed", 1, "-m", 50)
    assert (code, err) == (0, [])
    assert len(out) == 51


def test_a_prompt_of_strange_symbols_warns_in_one_line_and_is_kept(sonho, stream_run):
    code, out, err = sonho("generate", stream_run, "--prompt", "Жук 🦋 Humpty ł", "--seed", 1, "-m", 5)
    assert code == 0
    assert out.startswith("Жук 🦋 Humpty ł")
    assert len(err) == 1
    assert "🦋" in err[0]
    code, out, err = sonho("generate", stream_run, "--prompt", "ł", "--unknown", "error")
    assert (code, out, len(err)) == (65, "", 1)


def test_records_end_by_themselves(sonho, names_run):
    code, out, err = sonho("generate", names_run, "-n", 5, "--seed", 1)
    assert (code, err) == (0, [])
    assert len(out.splitlines()) == 5
    assert all(len(line) < 30 for line in out.splitlines())


def test_a_gallery_has_every_prompt_at_every_temperature(sonho, stream_run):
    code, out, _ = sonho("generate", stream_run, "-p", "a", "-p", "b", "-t", 0.3, "-t", 1.8, "--json", "-m", 5)
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(r["prompt"], r["temperature"]) for r in records] == [("a", 0.3), ("b", 0.3), ("a", 1.8), ("b", 1.8)]
    assert {r["finish_reason"] for r in records} == {"length"}


def test_a_stop_string_ends_the_text_unseen(sonho, stream_run):
    code, out, _ = sonho("generate", stream_run, "-p", "Humpty", "-t", 0, "--stop", "wa", "-m", 60, "--seed", 1)
    assert code == 0
    assert "wa" not in out.removeprefix("Humpty")


def test_interactive_mode_answers_each_line(sonho, stream_run, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("Humpty\nDumpty\n"))
    code, out, _ = sonho("generate", stream_run, "-i", "--seed", 1, "-m", 5, "--stop", "\\n")
    assert code == 0
    assert [line[:6] for line in out.splitlines()] == ["Humpty", "Dumpty"]


def test_a_model_adapts_to_a_text(sonho, stream_run, names_run, names_file, tmp_path):
    text, target = tmp_path / "other.txt", tmp_path / "adapted.safetensors"
    text.write_text("".join(f"All the {i} king's horses and all the king's men.\n" for i in range(300)))
    code, _, err = sonho("adapt", stream_run, text, "-o", target)
    assert code == 0
    assert "read 13," in err[0]
    _, out, _ = sonho("evaluate", stream_run, text, "--no-baselines", "--adapt", "--json")
    report = json.loads(out)
    assert report["adapted"]["num_tokens"] == report["num_tokens"]
    assert report["adapted"]["bits_per_char"] < 0.9 * report["bits_per_char"]
    _, out, _ = sonho("evaluate", target, text, "--no-baselines", "--json")
    assert json.loads(out)["bits_per_char"] < 0.8 * report["bits_per_char"]
    assert "below the frozen weights" in sonho("evaluate", stream_run, text, "--no-baselines", "--adapt")[1]
    options = ("--seed", 1, "-t", 0.5, "-m", 100)
    assert sonho("generate", target, *options)[1] == sonho("generate", stream_run, *options, "--adapt", text)[1]
    scores = [sonho("score", names_run, names_file, "--json", *flag)[1].splitlines() for flag in ([], ["--adapt"])]
    assert len(scores[0]) == len(scores[1]) == 20
    code, _, err = sonho("adapt", stream_run, text, "-o", target)
    assert (code, len(err)) == (2, 1)
    assert "exists; choose another name" in err[0]


@pytest.mark.parametrize("engine", ["native", "library"])
def test_weights_in_8_bits_cost_at_most_half_a_percent(sonho, stream_run, text_file, monkeypatch, engine):
    monkeypatch.setenv("SONHO_ENGINE", engine)
    bits = []
    for weights in ("float32", "int8"):
        code, out, _ = sonho("evaluate", stream_run, text_file, "--no-baselines", "--weights", weights, "--json")
        assert code == 0
        bits.append(json.loads(out)["bits_per_char"])
    assert bits[0] != bits[1]
    assert abs(bits[1] / bits[0] - 1) < 0.005


def test_generate_and_score_take_weights_in_8_bits(sonho, stream_run, text_file):
    plain = sonho("generate", stream_run, "--seed", 1, "-t", 0.5)[1]
    rounded = sonho("generate", stream_run, "--seed", 1, "-t", 0.5, "--weights", "int8")[1]
    assert rounded[:10] == plain[:10]  # nearly the same model
    scores = [sonho("score", stream_run, text_file, "--json", "--weights", w)[1] for w in ("float32", "int8")]
    assert scores[0] != scores[1]
    code, _, err = sonho("generate", stream_run, "--weights", "int4")
    assert code == 2
    assert "'int4'" in err[-1]


def test_evaluate_gives_the_validation_figure_of_the_training(sonho, stream_run, names_run, text_file, tmp_path):
    text = text_file.read_text()
    held_out = tmp_path / "tail.txt"
    lines = [json.loads(line) for line in (stream_run / "metrics.jsonl").read_text().splitlines()]
    expected = lines[-1]["validation_loss"]
    _, out, _ = sonho("inspect", stream_run, "--json")
    train_tokens = json.loads(out)["record"]["train_tokens"]
    held_out.write_text(text[train_tokens:])
    _, out, err = sonho("evaluate", stream_run, held_out, "--json", "--train-text", text_file)
    report = json.loads(out)
    assert err == []
    assert report["loss"] == pytest.approx(expected, abs=1e-4)
    assert report["bits_per_char"] == pytest.approx(expected / math.log(2), abs=1e-4)
    assert "7-gram Kneser-Ney" in report["baselines"]


def test_score_flags_the_line_that_does_not_belong(sonho, stream_run, tmp_path):
    file = tmp_path / "log.txt"
    file.write_text("Humpty Dumpty sat on a wall\nzqxj#;)(\nHumpty Dumpty sat on a wall\n")
    code, out, _ = sonho("score", stream_run, file, "--threshold", 4, "--flagged", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["number"] for row in rows] == [2]
    code, out, _ = sonho("score", stream_run, file, "--worst", 1)
    assert "zqxj" in out.splitlines()[1]
    code, out, _ = sonho("score", stream_run, file, "--tokens", "--json")
    assert json.loads(out.splitlines()[1])["rank"] >= 1


def test_inspect_shows_layers_vocabulary_and_curve(sonho, stream_run):
    code, out, _ = sonho("inspect", stream_run)
    assert code == 0
    for words in ("layers.0.weight_hh", "96 x 24", "Vocabulary", "Validation loss", "Kneser-Ney"):
        assert words in out


def test_novelty_finds_the_copy(sonho, text_file, tmp_path):
    generated = tmp_path / "generated.txt"
    generated.write_text("xx Humpty Dumpty sat on a wall yy")
    code, out, _ = sonho("novelty", generated, text_file, "--json")
    assert code == 0
    assert json.loads(out)["longest"] == "Humpty Dumpty sat on a wall"


def test_prepared_shards_train_like_the_text(sonho, text_file, stream_run, tmp_path):
    shards = tmp_path / "shards"
    assert sonho("prepare", text_file, "-o", shards)[0] == 0
    assert sonho("prepare", "-o", shards, "--verify")[0] == 0
    code, _, err = sonho("train", shards, "-o", tmp_path / "run", "--steps", 200, "--quiet", *TINY)
    assert (code, err) == (0, [])
    lines = [(folder / "metrics.jsonl").read_text().splitlines()[-1] for folder in (stream_run, tmp_path / "run")]
    assert len({json.loads(line)["validation_loss"] for line in lines}) == 1


def test_training_goes_on_with_another_text_and_its_new_symbols(sonho, stream_run, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("Der Frosch saß auf der Mauer; ärgerlich!\n" * 40)
    code, _, err = sonho(
        "train", other, "--init", stream_run, "-o", tmp_path / "run", "--steps", 5, "--quiet", "--threads", 1
    )
    assert (code, err) == (0, [])
    _, out, _ = sonho("inspect", tmp_path / "run", "--json")
    symbols = json.dumps(json.loads(out)["tokenizer"], ensure_ascii=False)
    assert "ß" in symbols
    assert "H" in symbols


def test_a_model_of_bytes_goes_on_with_bytes(sonho, tmp_path):
    path = tmp_path / "bytes.bin"
    path.write_bytes(bytes(range(256)) * 4)
    first = ["train", path, "-o", tmp_path / "first", "--level", "byte", "--steps", 2, "--quiet", *TINY]
    assert sonho(*first)[0] == 0
    more = ["train", path, "--init", tmp_path / "first", "-o", tmp_path / "more", "--steps", 2, "--quiet"]
    code, _, err = sonho(*more, "--threads", 1)
    assert (code, err) == (0, [])


def test_the_markov_chain_needs_no_training(sonho, text_file, tmp_path):
    run = tmp_path / "run"
    assert sonho("train", "--recipe", "markov", "--data", text_file, "-o", run)[0] == 0
    code, out, _ = sonho("generate", run, "-p", "Humpty", "--seed", 1, "-m", 40)
    assert code == 0
    assert out.startswith("Humpty")
    assert sonho("evaluate", run, text_file, "--json")[0] == 0
    assert sonho("inspect", run)[0] == 0


def test_a_test_share_is_scored_and_never_read_while_learning(sonho, text_file, tmp_path):
    code, out, _ = sonho("train", text_file, "-o", tmp_path / "run", "--steps", 3, "--test", 0.1, *TINY)
    assert code == 0
    assert "test text, never read while learning" in out


def test_every_recipe_is_sound_and_has_its_command_in_its_head(sonho):
    from importlib import resources

    from sonho.config import build_config, read_toml

    assert set(recipe_names()) == {
        "accents", "ag-news-full", "ag-news-titles", "ag-news-topics", "ag-news-words", "irish-tunes", "markov",
        "molecules", "names", "nietzsche", "nietzsche-conv", "nietzsche-windows", "screenplay", "sound", "surnames",
        "surnames-by-language", "tiny-shakespeare", "titles-by-topic", "multi30k-de-en", "tatoeba-en-fr",
        "genesis-en-pt", "nlvr-scenes",
    }  # fmt: skip
    for name in recipe_names():
        path = resources.files("sonho") / "recipes" / f"{name}.toml"
        build_config(read_toml(path))
        assert f"sonho train --recipe {name}" in path.read_text()
    code, out, _ = sonho("train", "--list-recipes")
    assert code == 0
    assert len(out.splitlines()) == len(recipe_names())


def test_the_doors_of_the_package(stream_run, text_file):
    model = package.load(stream_run)
    text = model.generate("Humpty", seed=2, max_tokens=12).text
    assert package.generate(stream_run, "Humpty", seed=2, max_tokens=12).text == text
    assert "".join(str(p) for p in package.stream_generate(stream_run, "Humpty", seed=2, max_tokens=12)) == text
    assert package.evaluate(stream_run, str(text_file), limit=2000).num_tokens > 0
    assert len(package.score(stream_run, "Humpty")) == 6
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018
