"""`python -m ttom_cli` and the console script."""

import signal
import sys


def run() -> None:
    # Before anything is begun, and after all is done, Ctrl-C ends the process at once.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli import main

    sys.exit(main())


if __name__ == "__main__":
    run()
