"""The command line: the commands put together, and the one place where errors become lines."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import os
import sys
from typing import Annotated

import typer

from . import __version__, console, usage
from .commands import bench, generate, memory, models, plan, probe, show
from .completion import of_named_shell
from .errors import TTOMError, UsageError, explained
from .stop import Stopped, stoppable

app = typer.Typer(
    name="ttom",
    help="Text-to-video with the right objects in the right places, moving the right way.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
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
app.command()(show.show)
app.command()(probe.probe)
app.command()(models.models)
app.add_typer(bench.app, name="bench")


def _flow(commands: typer.Typer) -> None:
    """A paragraph of a docstring is one of the help, whose lines break where the terminal ends; no tables if narrow."""
    commands.rich_markup_mode = None if console.NARROW else "rich"
    for command in commands.registered_commands:
        paragraphs = inspect.getdoc(command.callback).split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for group in commands.registered_groups:
        _flow(group.typer_instance)


_flow(app)


def main(argv: list[str] | None = None) -> int:
    """Run a command line; one clear line on stderr for what the user can mend."""
    argv = sys.argv[1:] if argv is None else argv
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of speed-ups that are not installed
    _prepare_standard_streams()
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # what comes of its retries is said in one line
    try:
        with stoppable():
            code = _run(argv)
            sys.stdout.flush()
            return code
    except Stopped as stopped:
        console.say(f"interrupted{stopped.done}")
        console.to_nowhere(sys.stdout)
        return stopped.exit_code
    except BrokenPipeError:
        console.to_nowhere(sys.stdout)
        return 1
    except Exception as error:
        if "--debug" in argv and not isinstance(error, UsageError):
            raise
        console.error(*explained(error))
        console.to_nowhere(sys.stdout)
        return getattr(error, "exit_code", 1)


def _run(argv: list[str]) -> int:
    """The exit code of a command line. Raises UsageError where it cannot be read."""
    try:
        if of_named_shell(argv):
            return 0
        # A command that keeps its own command line finds it in `obj`.
        return app(args=argv, obj=argv, prog_name="ttom", standalone_mode=False) or 0
    except typer.TyperException as error:
        if not error.format_message():  # a group without a command: its help has been shown
            return 0
        raise usage.one_line(error) from None
    except typer.Abort:
        raise TTOMError("nothing was done: there was no answer") from None
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)


def _prepare_standard_streams() -> None:
    """Where whoever started it closed one, no file of ours may take its number, and what is said there goes nowhere."""
    for number in range(3):
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or io.StringIO()
    sys.stderr = sys.stderr or io.StringIO()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: what its encoding has not is escaped
