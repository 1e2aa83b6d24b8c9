"""`ttom --show-completion SHELL` and `--install-completion SHELL`: the library has that of the shell at hand alone."""

from __future__ import annotations

from . import console
from .errors import UsageError, unknown

SHELLS = "bash", "zsh", "fish", "powershell", "pwsh"
SHOW, INSTALL = "--show-completion", "--install-completion"


def of_named_shell(argv: list[str]) -> bool:
    """Show or install the completion of a shell that is named; False for any other command line.

    Raises UsageError for a shell that is unknown.
    """
    from typer import completion

    if len(argv) != 2 or argv[0] not in (SHOW, INSTALL):
        return False
    if argv[1] not in SHELLS:
        raise unknown("shell", argv[1], SHELLS, of=UsageError)
    if argv[0] == SHOW:
        print(completion.get_completion_script(prog_name="ttom", complete_var="_TTOM_COMPLETE", shell=argv[1]))
    else:
        console.say(
            f"installed in {console.escape(str(completion.install(argv[1], 'ttom')[1]))}; a new terminal has it"
        )
    return True
