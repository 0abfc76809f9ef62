"""`python -m sonho` is the `sonho` command."""

from sonho.cli.main import run

if __name__ == "__main__":
    run()
