"""A search tries, keeps the best as a recipe, and goes on where it was broken off."""

import sys

import pytest

pytest.importorskip("optuna")

from sonho.cli.main import main
from sonho.config import read_toml
from sonho.errors import UsageError
from sonho.training import trials
from sonho.training.run import train
from sonho.training.space import parse_space
from sonho.training.tune import Reader, tune

SETTINGS = {"training": {"steps": 4, "threads": 1}, "model": {"cell": "gru"}}
SPACE = parse_space(["model.hidden_size=8,12,20", "training.learning_rate=0.005..0.05"])
TEXT = "".join(f"Humpty Dumpty sat on a wall, {i} times he had a great fall.\n" for i in range(40))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "rhyme.txt"
    path.write_text(TEXT)
    return str(path)


def search(text, folder, *, trials=2, settings=SETTINGS, space=SPACE, minutes=5.0, **more):
    said = []
    outcome = tune(
        [text] if text else [],
        folder,
        settings,
        space,
        minutes=minutes,
        trials=trials,
        only_given=True,
        say=said.append,
        **more,
    )
    return outcome, said


def tried(folder):
    return [(t.params, t.value) for t in trials.open_study(folder).trials if t.state.name in ("COMPLETE", "PRUNED")]


def test_the_recipe_trains_to_the_loss_of_the_best_trial(text, tmp_path):
    outcome, _ = search(text, tmp_path / "tune")
    assert outcome.loss == min(value for _, value in tried(tmp_path / "tune"))
    result = train([text], tmp_path / "run", {**read_toml(outcome.recipe)} | {"sampling": {}})
    assert result.validation.loss == pytest.approx(outcome.loss, rel=1e-4)


def test_a_search_goes_on_with_what_it_has_and_draws_anew(text, tmp_path):
    search(text, tmp_path / "tune", trials=2)
    before = tried(tmp_path / "tune")
    outcome, said = search("", tmp_path / "tune", trials=4, settings={}, space={})
    after = tried(tmp_path / "tune")
    assert outcome.num_trials == 4
    assert after[:2] == before
    assert len({params["training.learning_rate"] for params, _ in after}) == 4
    assert said[0].startswith("Trial 3:")


def test_a_study_that_is_opened_again_draws_other_numbers(tmp_path):
    first, second = (trials.suggest(trials.open_study(tmp_path).ask(), SPACE) for _ in range(2))
    assert first["training.learning_rate"] != second["training.learning_rate"]


def test_a_trial_that_was_killed_is_tried_again_first(text, tmp_path):
    search(text, tmp_path / "tune", trials=1)
    study = trials.open_study(tmp_path / "tune")
    broken = study.ask()  # as a kill leaves it: begun, never told
    values = trials.suggest(broken, SPACE)
    search(text, tmp_path / "tune", trials=2)
    assert tried(tmp_path / "tune")[1][0] == pytest.approx(broken.params)
    assert values["model.hidden_size"] == broken.params["model.hidden_size"]


def test_an_interrupted_search_leaves_its_recipe_and_is_tried_again(text, tmp_path, monkeypatch):
    real, calls = trials.train_corpus, []

    def breaks_off(*arguments, **named):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(trials, "train_corpus", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        search(text, tmp_path / "tune", trials=3)
    assert (tmp_path / "tune" / "recipe.toml").exists()
    broken = [t.params for t in trials.open_study(tmp_path / "tune").trials if t.state.name == "FAIL"]
    search(text, tmp_path / "tune", trials=2)
    assert tried(tmp_path / "tune")[1][0] == pytest.approx(broken[0], rel=0.005)  # three digits are kept


def test_the_plan_is_the_first_trial(text, tmp_path):
    outcome, said = search(text, tmp_path / "tune", trials=1, space=parse_space(["model.hidden_size=64,96"]))
    assert said[0] == "Trial 1 (the plan): model.hidden_size=64"
    assert outcome.planned_loss == outcome.loss


def test_what_would_not_end_in_time_is_not_begun(text, tmp_path):
    outcome, _ = search(text, tmp_path / "tune", trials=0, minutes=1e-6)
    assert outcome.num_trials == 1


def test_the_test_part_is_put_away_unread(text, tmp_path):
    share = Reader([text], {"data": {"test": "0.2"}}, tmp_path).corpus
    assert share.test is None
    assert len(share.train.tokens) < 0.75 * len(TEXT)
    (tmp_path / "test.txt").write_bytes(b"\xff\xfe not a text")
    assert Reader([text], {"data": {"test": str(tmp_path / "test.txt")}}, tmp_path).corpus.test is None


def test_a_folder_keeps_to_its_search(text, tmp_path):
    search(text, tmp_path / "tune", trials=1)
    with pytest.raises(UsageError, match=r"model\.cell is another"):
        search(text, tmp_path / "tune", settings={"model": {"cell": "lstm"}})
    with pytest.raises(UsageError, match=r"model\.hidden_size is another"):
        search(text, tmp_path / "tune", space=parse_space(["model.hidden_size=8,9"]))


class StubTrial:
    """Of a trial what the pruner uses."""

    def __init__(self, behind):
        self.behind, self.told = behind, []

    def report(self, value, step):
        self.told.append((value, step))

    def should_prune(self):
        return self.behind


class StubTrainer:
    progress, finished = 0.4, False


def test_a_trial_that_is_behind_the_others_stops():
    trial = StubTrial(behind=True)
    with pytest.raises(trials.optuna.TrialPruned, match="stopped at 40 % with"):
        trials.Pruner(trial).on_log(StubTrainer(), {"validation_loss": 2.0})
    assert trial.told == [(2.0, 3)]


def test_without_optuna_one_line_says_what_to_install(text, monkeypatch, capsys):
    for name in ("sonho.training.tune", "sonho.training.trials"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune", text]) == 2
    assert capsys.readouterr().err == "sonho: this needs optuna; install it with pip install 'sonho[tune]'\n"


def test_the_command_prints_the_best_and_how_to_use_it(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["tune", text, "--steps", "3", "--trials", "2", "--threads", "1", "--quiet", "--space", "given"]
    assert main([*arguments, "model.hidden_size=8,12"]) == 0
    out = capsys.readouterr().out
    assert "Best of 2 trials: " in out
    assert "Use it: sonho train --recipe runs/tune-rhyme/recipe.toml TEXT" in out
    assert main([*arguments, "training.minutes=1"]) == 2
