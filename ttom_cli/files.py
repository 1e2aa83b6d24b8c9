"""Files that people write, text and JSON or YAML, of which every fault is one line; and the JSON that ttom writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from .errors import TTOMError

_UNUSUAL = re.compile("[^\n -~]")


def to_json(value, **more) -> str:
    """JSON as its standard has it: NaN and infinities raise ValueError. `more` goes to `json.dumps`.

    Control and bidirectional characters are escaped, whatever `more` says: a terminal shows the text, and is not
    steered by it.
    """
    return _UNUSUAL.sub(_escaped, json.dumps(value, allow_nan=False, **more))


def _escaped(found: re.Match) -> str:
    """A character of a JSON text as it is, or as its escape where it is not printable."""
    character = found[0]
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else json.dumps(character)[1:-1]


def read_text(path: Path, option: str = "") -> str:
    """A UTF-8 file's text, without a byte order mark. `option` is named where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TTOMError(f"cannot read {path}: {error.strerror}", f"check {option}" if option else "") from None
    except UnicodeDecodeError:
        raise TTOMError(f"cannot read {path}: it is not UTF-8 text") from None


def read_data(path: Path, option: str = ""):
    """The value in a JSON or YAML file."""
    return parse_data(read_text(path, option), str(path))


def parse_data(text: str, source: str):
    """The value of a text in JSON, or else in YAML, which is not quite the larger language of the two."""
    import yaml

    try:
        if text.lstrip().startswith(("{", "[")):
            try:
                return json.loads(text)
            except ValueError:
                pass
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # of YAML, dates such as 2020-99-99 are ValueErrors
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}" if mark else str(error)
        raise TTOMError(f"{source} is neither JSON nor YAML: {' '.join(where.split())[:200]}") from None
    except RecursionError:
        raise TTOMError(f"{source} is nested too deeply") from None
