"""The command line: the commands put together, and the one place where errors become lines."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Annotated

import typer

from . import __version__, console
from .commands import bench, generate, memory, models, plan, probe
from .errors import explained

app = typer.Typer(
    name="ttom",
    help="Text-to-video with the right objects in the right places, moving the right way.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        print(f"ttom {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    pass


app.command()(plan.plan)
app.command()(generate.generate)
app.add_typer(memory.app, name="memory")
app.command()(probe.probe)
app.command()(models.models)
app.add_typer(bench.app, name="bench")


def main(argv: list[str] | None = None) -> int:
    """Run a command line; one clear line on stderr for what the user can mend."""
    argv = sys.argv[1:] if argv is None else argv
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of speed-ups that are not installed
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # what comes of its retries is said in one line
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _to_nowhere()
        return 1
    except Exception as error:
        if "--debug" in argv:
            raise
        console.error(*explained(error))
        _to_nowhere()
        return 1


def _run(argv: list[str]) -> int:
    try:
        app(args=argv, obj=argv)  # a command that keeps its own command line finds it there
    except SystemExit as done:  # usage errors have been printed by then
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    return 0


def _to_nowhere() -> None:
    """What is left in the buffer of a standard output that takes no more is dropped quietly."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
