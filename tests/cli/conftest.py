import pytest

from sonho.cli.main import main

TINY = ["model.hidden_size=24", "--threads", "1", "sampling.max_tokens=20"]


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "rhyme.txt"
    lines = [f"Humpty Dumpty sat on a wall, {i} times he had a great fall.\n" for i in range(150)]
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="session")
def stream_run(text_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "stream"
    assert main(["train", str(text_file), "-o", str(folder), "--steps", "200", "--quiet", *TINY]) == 0
    return folder


@pytest.fixture(scope="session")
def names_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "names.txt"
    path.write_text("\n".join(f"{a}{b}" for a in ("an", "be", "ce", "da") for b in ("na", "lla", "rik", "vid", "ne")))
    return path


@pytest.fixture(scope="session")
def names_run(names_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "names"
    arguments = ["train", str(names_file), "-o", str(folder), "--kind", "records", "--steps", "80", "--quiet", *TINY]
    assert main(arguments) == 0
    return folder


@pytest.fixture
def sonho(capsys):
    """Run a command; gives exit code, standard output and the lines of standard error."""

    def run(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return run
