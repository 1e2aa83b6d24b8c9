"""Files that people write, text and JSON or YAML, of which every fault is one line; and the JSON that ttom writes."""

from __future__ import annotations

import codecs
import itertools
import json
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
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
LONGEST = 2**25  # bytes of a file
LONGEST_YAML, LONGEST_TEXT = 2_000_000, 100_000  # characters: of YAML, of a value
MANY_JSON, MANY_YAML = 1_000_000, 100_000  # values; YAML is read slowly
DEEPEST = 32  # lists and mappings in one another


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


def put_whole(path: Path, write: Callable[[Path], object], *, overwrite: bool = False) -> Path:
    """Have `write` write a file at the path that it is given, and move it to its place: where it is then.

    It is there whole or not at all; its folder is made. Unless `overwrite`, what stands at `path` stays, whoever put it
    there meanwhile: the file goes to the next free of 'name-2', 'name-3', and so on. With it, a link stays one, and its
    target is written over; what is no file, such as a pipe, is written to. Raises OSError.
    """
    place = Path(os.path.realpath(path)) if overwrite else path
    opened = overwrite and place.exists() and not place.is_file()
    if not opened:
        place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=None if opened else place.parent, prefix=".ttom-") as folder:
        finished = Path(folder, path.name)
        write(finished)
        if opened:
            with finished.open("rb") as whole, place.open("wb") as target:
                shutil.copyfileobj(whole, target)
            return path
        if overwrite:
            os.replace(finished, place)
            return path
        for name in numbered(path):
            with suppress(FileExistsError):
                _put_new(finished, name)
                return name
    raise AssertionError("numbers do not end")


def put_text(path: Path, text: str, *, overwrite: bool = False) -> Path:
    """Write a UTF-8 text as `put_whole` does."""
    return put_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"), overwrite=overwrite)


def once(source: str) -> Callable[[list], dict]:
    """For the reader of JSON's objects: a dict of its pairs. Raises TTOMError where a name stands in one twice."""

    def made(pairs: list) -> dict:
        value = dict(pairs)
        if len(value) < len(pairs):
            names = [name for name, _ in pairs]
            raise twice(source, next(name for name in names if names.count(name) > 1))
        return value

    return made


def twice(source: str, name) -> TTOMError:
    """What is wrong with a mapping that has a name twice."""
    return TTOMError(f"{source} has {str(name)[:80]!r} twice in one mapping", "only one of them can be meant")


def numbered(path: Path) -> Iterator[Path]:
    """The path, and 'name-2', 'name-3', and so on, without end."""
    return itertools.chain([path], (path.with_stem(f"{path.stem}-{n}") for n in itertools.count(2)))


def _put_new(finished: Path, path: Path) -> None:
    """Move a file to a name that is free. Raises FileExistsError where it is not."""
    try:
        os.link(finished, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(finished, path)


def read_text(path: Path, option: str = "", limit: int = LONGEST) -> str:
    """A UTF-8 text, of `-` standard input, without a byte order mark. `option` is named where it cannot be read.

    Raises TTOMError also for more than `limit` bytes, and for what is another kind of file, by its content.
    """
    check = f"check {option}" if option else ""
    try:
        with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise TTOMError(f"cannot read {str(path)[:200]}: {reason}", check) from None
    if kind := no_text(content):
        raise TTOMError(f"cannot read {path}: it is {kind}, not text", check)
    if len(content) > limit:
        raise TTOMError(f"cannot read {path}: it has more than {limit >> 20} MiB", check)
    try:
        text = content.decode("utf-16" if content.startswith(UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        raise TTOMError(f"cannot read {path}: it is not UTF-8 text", check) from None
    return text


def no_text(content: bytes) -> str:
    """What a content is that is no text, by how it begins; '' of text."""
    if kind := next((kind for at, start, kind in KINDS if content[at:].startswith(start)), ""):
        return kind
    begins = content[:4096]
    begins = begins.decode("utf-16", "ignore").encode() if begins.startswith(UTF_16) else begins
    if b"\0" in begins:
        return "binary"
    page = re.match(rb"(?:\xef\xbb\xbf)?\s*<(!doctype|html|\?xml|svg)\b", begins, re.IGNORECASE)
    return "a web page or other XML" if page else ""


def read_data(path: Path, option: str = ""):
    """The value in a JSON or YAML file."""
    return parse_data(read_text(path, option), str(path))


def parse_data(text: str, source: str):
    """The value of a text in JSON, or else in YAML, which is not quite the larger language of the two."""
    if text.lstrip().startswith(("{", "[")):
        with suppress(ValueError):
            return parse_json(text, source)
    return _parse_yaml(text, source)


def parse_json(text: str, source: str):
    """The value of a text in JSON, of bounded size. Raises ValueError for what is no JSON, TTOMError for too much."""
    try:
        value = json.loads(text, object_pairs_hook=once(source))
    except RecursionError:
        raise _too_deep(source) from None
    count, level = 0, [value]
    for _ in range(DEEPEST):
        count += len(level)
        if count > MANY_JSON:
            raise _too_many(source, MANY_JSON)
        for found in level:
            if isinstance(found, str) and len(found) > LONGEST_TEXT:
                raise _too_long(source)
            if isinstance(found, float) and not math.isfinite(found):
                raise ValueError(f"{found} is no number of JSON")
        level = [part for found in level for part in _parts(found)]
        if not level:
            return value
    raise _too_deep(source)


def _parts(value) -> Iterable:
    return (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()


def _parse_yaml(text: str, source: str):
    import yaml

    class Bounded(yaml.SafeLoader):
        """YAML's plain values, as many and as deep as a file that someone wrote has, and none twice by an alias."""

        count = depth = 0

        def compose_node(self, parent, index):
            if self.check_event(yaml.AliasEvent):
                raise TTOMError(
                    f"{source}, {_place(self.peek_event().start_mark)}: YAML's aliases are not read",
                    "write the value out",
                )
            self.count, self.depth = self.count + 1, self.depth + 1
            if self.count > MANY_YAML:
                raise _too_many(source, MANY_YAML, "as JSON it may be larger")
            if self.depth > DEEPEST:
                raise _too_deep(source)
            if self.check_event(yaml.ScalarEvent) and len(self.peek_event().value) > LONGEST_TEXT:
                raise _too_long(source)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_yaml_int(self, node):
            """Decimal numbers as YAML 1.2, JSON and the command line have them: 010 is ten, and 1:30 no number."""
            text = node.value.replace("_", "").lower()
            return int(text) if re.fullmatch(r"[-+]?\d+", text) else int(text, 0) if ":" not in text else node.value

        def construct_mapping(self, node, deep=False):
            made = super().construct_mapping(node, deep)
            if len(made) < len(node.value):
                names = [key.value for key, _ in node.value]
                name = next((name for name in names if names.count(name) > 1), names[-1])
                raise twice(f"{source}, {_place(node.start_mark)}:", name)
            return made

    Bounded.add_constructor("tag:yaml.org,2002:int", Bounded.construct_yaml_int)
    powers = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$")  # 1e-4, which YAML 1.1 has for a word
    Bounded.add_implicit_resolver("tag:yaml.org,2002:float", powers, list("-+0123456789"))
    if len(text) > LONGEST_YAML:
        raise TTOMError(f"{source} is no JSON, and as YAML it is too long: more than {LONGEST_YAML:,} characters")
    try:
        return yaml.load(text, Bounded)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # of YAML, dates such as 2020-99-99 are ValueErrors
        mark = getattr(error, "problem_mark", None)
        where = f"{_place(mark)}: {error.problem}" if mark else str(error)
        raise TTOMError(f"{source} is neither JSON nor YAML: {' '.join(where.split())[:200]}") from None


def _place(mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _too_deep(source: str) -> TTOMError:
    return TTOMError(f"{source} is nested too deeply: more than {DEEPEST} lists and mappings in one another")


def _too_long(source: str) -> TTOMError:
    return TTOMError(f"{source} holds a text of more than {LONGEST_TEXT:,} characters")


def _too_many(source: str, most: int, hint: str = "") -> TTOMError:
    return TTOMError(f"{source} holds more than {most:,} values", hint)
