"""What cannot be read of a command line, in one line; the library of commands would draw a box of it."""

from __future__ import annotations

import re

import typer

from .errors import UsageError, did_you_mean
from .settings import ELSEWHERE


def one_line(error: typer.TyperException) -> UsageError:
    """What the library of commands found, in the tool's own words."""
    context, said = getattr(error, "ctx", None), " ".join(error.format_message().split()).rstrip(".")
    if context is None:  # "Option '--seed' requires an argument"
        return UsageError(said[:1].lower() + said[1:])
    path, command = context.command_path, context.command
    see = f"`{path} --help` says more"
    if hasattr(error, "possibilities"):
        return UsageError(
            f"`{path}` has no option {error.option_name}", _like_option(error.option_name, context) or see
        )
    if hasattr(error, "param_type"):
        return UsageError(f"{(error.param.metavar or error.param.name).lower()!r} is missing", see)
    if getattr(error, "param", None):
        return UsageError(f"{error.param.opts[0]}: {error.message}", see)
    if hasattr(command, "commands"):
        name = said.split("'")[1] if "'" in said else said
        return UsageError(f"there is no command `{path} {name}`", _like_command(name, context) or see)
    words = re.sub(r"^[^(]*\(s\) \((.*)\)$", r"\1", said)
    if context.params.get("prompt") is not None:
        prompt = f"{context.params['prompt']} {words}"
        return UsageError(
            f"there are several words where one prompt is taken: {prompt}", f'quote the prompt: {path} "{prompt}"'
        )
    has_one = any(param.param_type_name == "argument" and context.params.get(param.name) for param in command.params)
    return UsageError(f"`{path}` takes no {words!r}", "one at a time" if has_one else see)


def _like_option(name: str, context: typer.Context) -> str:
    """A hint for an option that the command does not have; empty where none is like it."""
    if any(name in param.opts for param in context.find_root().command.params):
        return f"it stands before the command: `ttom {name} {context.info_name} ...`"
    known = [o for param in context.command.params for o in (*param.opts, *param.secondary_opts) if o.startswith("--")]
    name = name.replace("_", "-")
    here = f"--{ELSEWHERE.get(name.removeprefix('--'), '')}"
    return f"here it is {here}" if here in known else did_you_mean(name, known)


def _like_command(name: str, context: typer.Context) -> str:
    """A hint for a command that is none; empty where none is like it."""
    if name == "help":
        return f"`{context.command_path} --help` shows them"
    if context.parent is None and " " in name:
        return f'did you mean: ttom generate "{name}"?'
    return did_you_mean(name, context.command.commands)
