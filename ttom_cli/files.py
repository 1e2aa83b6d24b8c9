"""Files that people write, text and JSON or YAML, of which every fault is one line; and the JSON that ttom writes."""

from __future__ import annotations

import codecs
import itertools
import json
import os
import re
from contextlib import suppress
from pathlib import Path

from .errors import TTOMError

UTF_16 = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
KINDS = (  # (offset, bytes there, what begins so)
    (4, b"ftyp", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"GIF8", "a GIF"),
    (0, b"\x89PNG", "a picture"),
    (0, b"\xff\xd8\xff", "a picture"),
    (0, b"RIFF", "a picture, video or sound"),
    (0, b"%PDF-", "a PDF"),
    (0, b"PK\x03\x04", "an archive or office document"),
    (0, b"\x1f\x8b", "compressed"),
)
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


def put(finished: Path, path: Path, *, overwrite: bool = False) -> Path:
    """Move a finished file to its place: where it is then. Raises OSError.

    Unless `overwrite`, what stands at `path` stays, whoever put it there meanwhile: the file goes to the next free of
    'name-2', 'name-3', and so on.
    """
    if overwrite:
        os.replace(finished, path)
        return path
    for name in itertools.chain([path], (path.with_stem(f"{path.stem}-{n}") for n in itertools.count(2))):
        with suppress(FileExistsError):
            _put_new(finished, name)
            return name
    raise AssertionError("numbers do not end")


def _put_new(finished: Path, path: Path) -> None:
    """Move a file to a name that is free. Raises FileExistsError where it is not."""
    try:
        os.link(finished, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(finished, path)


def read_text(path: Path, option: str = "", limit: int = 2**25) -> str:
    """A UTF-8 file's text, without a byte order mark. `option` is named where it cannot be read.

    Raises TTOMError also for more than `limit` bytes, and for what is another kind of file, by its content.
    """
    check = f"check {option}" if option else ""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise TTOMError(f"cannot read {str(path)[:200]}: {reason}", check) from None
    if kind := next((kind for at, start, kind in KINDS if content[at:].startswith(start)), None):
        raise TTOMError(f"cannot read {path}: it is {kind}, not text", check)
    if b"\0" in content[:4096] and not content.startswith(UTF_16):
        raise TTOMError(f"cannot read {path}: it is binary, not text", check)
    if len(content) > limit:
        raise TTOMError(f"cannot read {path}: it has more than {limit >> 20} MiB", check)
    try:
        text = content.decode("utf-16" if content.startswith(UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        raise TTOMError(f"cannot read {path}: it is not UTF-8 text", check) from None
    if re.match(r"\s*<(!doctype|html|\?xml|svg)\b", text[:1000], re.IGNORECASE):
        raise TTOMError(f"cannot read {path}: it is a web page or other XML, not plain text", check)
    return text


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
