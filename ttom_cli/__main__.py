"""`python -m ttom_cli` and the console script."""

import sys


def run() -> None:
    try:
        from .cli import main
    except KeyboardInterrupt:  # before anything is begun
        sys.exit(130)
    sys.exit(main())


if __name__ == "__main__":
    run()
