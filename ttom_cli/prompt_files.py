"""Prompts as people keep them: a line each, YAML, JSON (VBench's and T2V-CompBench's too), JSON lines, and tables."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from .errors import TTOMError
from .files import once, parse_data, parse_json, read_text, twice
from .options import shown
from .settings import OPTIONS, PER_PROMPT, Layer, unknown_option

MOST = 100_000  # prompts of a file
PROMPT = "prompt", "prompt_en"  # what a prompt is called; the second by VBench
PLAIN = "", ".txt", ".text", ".list", ".prompts"  # suffixes of a prompt a line
NEAR = 0.8  # as like as that to an option's name, a name is taken for a slip


def read_prompts(path: Path, tell: Callable[[str], None] = lambda line: None) -> list[Layer]:
    """The prompts of a file, each with its options; the form is told by the suffix and the content.

    An item is a layer with `prompt`, which is None where its layout alone has it, and perhaps `layout` and options.
    `tell` is given a line about what is left alone. Raises TTOMError for what is no list of prompts.
    """
    return prompts_in(read_text(path, "--prompts"), path, path.suffix.lower(), tell)


def prompts_in(text: str, path: Path | str, kind: str, tell: Callable[[str], None]) -> list[Layer]:
    """As `read_prompts`, of a text; `path` is what errors name, `kind` its suffix."""
    if kind in (".csv", ".tsv") or (kind in PLAIN and _heads_table(text)):
        rows = _table(text, path)
    elif kind in (".yaml", ".yml") or (kind in PLAIN and _is_list(text)):
        rows = _listed(parse_data(text, str(path)), path)
    elif text.lstrip().startswith(("[", "{")) and (data := _json(text, str(path))) is not None:
        rows = _listed(data, path)
    elif kind == ".json" and _json(text.lstrip().partition("\n")[0], str(path)) is None:
        hint = "a list of prompts, or of objects with a prompt"
        try:
            raise TTOMError(f"{path} holds {shown(parse_json(text, str(path)))}, and no prompts", hint)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise TTOMError(f"{path}, {where}: it is not JSON: {error.msg}", hint) from None
    elif kind not in (*PLAIN, ".json", ".jsonl", ".ndjson"):
        raise TTOMError(
            f"{path} is no file of prompts by its name", "those end in .txt, .yaml, .json, .jsonl, .csv or .tsv"
        )
    else:
        rows = _lines(text.splitlines(), path, objects=kind in (".jsonl", ".ndjson"))
    items, left = [], {}
    for place, entry in rows:
        if len(items) == MOST:
            raise TTOMError(f"{path} has more than {MOST} prompts", "split it")
        items.append(as_item(entry, f"{path}, {place}", None if kind in (".yaml", ".yml") else left))
    if left:
        tell(f"{path}: {left_alone(left)}")
    return items


def is_whole(line: str) -> bool:
    """Whether a first line begins a list or a table, which lines one at a time do not say."""
    begun = re.match(r"""[\[{]\s*$|\[\s*["\[{]""", line.strip())
    return bool(begun) or _is_list(line) or _heads_table(line)


def _is_list(text: str) -> bool:
    """Whether a text is a list of YAML's, perhaps below `prompts:`: what is not indented, and no comment, begins with
    a dash."""
    begun = re.findall(r"^(?!#)(\S+)", text, re.MULTILINE)
    if begun[:1] == ["prompts:"]:
        begun[0] = "-"
    return bool(begun) and {"-", "---"}.issuperset(begun)


def left_alone(names: Iterable[str]) -> str:
    """A line on names that are no options; one that is a little like one's may be a slip."""
    known = (*PER_PROMPT, *OPTIONS)
    hints = {name: unknown_option(name.replace("_", "-"), known).hint for name in names}
    said = [f"{name} ({hint})" if hint else name for name, hint in hints.items()]
    return f"what is no option is left alone: {', '.join(said)}"


def entry_of(line: str, source: str, *, objects: bool = False) -> str | dict | None:
    """What stands on a line: a prompt, as it is or as JSON's text in quotes, or an object of JSON; None of a blank one
    or a comment, which `#` begins at the start or between blanks. With `objects` all must be JSON. Raises TTOMError.
    """
    text = line.strip()
    if not text or text.startswith("#"):
        return None
    if not re.match(r'\{\s*"', text) and not objects:
        quoted = re.fullmatch(r'("(?:[^"\\]|\\.)*")(?:\s+#\s.*)?', text)
        told = _json(quoted[1], source) if quoted else None
        return re.sub(r"\s+#\s.*", "", text) if told is None else told
    try:
        return json.loads(text, object_pairs_hook=once(source))
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
        raise TTOMError(f"{source}: it is not JSON: {reason}", "an object a line, or a prompt a line") from None


def as_item(entry, source: str, left: dict | None) -> Layer:
    """An entry as a layer; names that are no options are gathered in `left`, or refused where that is None.

    Raises TTOMError for an entry that is no prompt.
    """
    if isinstance(entry, str):
        entry = {"prompt": entry}
    if not isinstance(entry, dict):
        raise TTOMError(f"{source}: {shown(entry)} is no prompt", "a text, or an object with a prompt and options")
    if _is_layout(entry):
        entry = {"prompt": entry.get("prompt"), "layout": entry}
    prompt = next((entry[name] for name in PROMPT if name in entry), None)
    if not isinstance(prompt, str) and not (prompt is None and isinstance(entry.get("layout"), (str, dict))):
        raise TTOMError(f"{source} has no prompt", "write 'prompt: a red ball rolls right'")
    item = Layer({"prompt": prompt}, source)
    for key, value in entry.items():
        name, known = str(key).replace("_", "-"), (*PER_PROMPT, *OPTIONS)
        if name in known:
            if name in item and name not in PROMPT:
                raise twice(source, name)
            item.setdefault(name, value)
        elif key not in PROMPT and str(key) not in (left or ()):
            if left is None or difflib.get_close_matches(name, known, cutoff=NEAR):
                error = unknown_option(name, known)
                raise TTOMError(f"{source}: {error.message}", error.hint)
            left[str(key)] = True
    return item


def _lines(lines: Iterable[str], path: Path | str, *, objects: bool) -> Iterator[tuple[str, str | dict]]:
    for number, line in enumerate(lines, start=1):
        place = f"line {number}"
        if (entry := entry_of(line, f"{path}, {place}", objects=objects)) is not None:
            yield place, entry


def _json(text: str, source: str):
    """The value of a text that is JSON as a whole; None of another. Raises TTOMError as `once` does."""
    try:
        return json.loads(text, object_pairs_hook=once(source))
    except (ValueError, RecursionError):
        return None


def _listed(data, path: Path | str) -> Iterator[tuple[str, object]]:
    """The entries of a list, that of a single object, or those of an object's one list of `prompts`."""
    if isinstance(data, dict) and isinstance(data.get("prompts"), list) and len(data) == 1:
        data = data["prompts"]
    if isinstance(data, dict) and (_is_layout(data) or set(data) & set(PROMPT)):
        data = [data]
    if not isinstance(data, list) or not data:
        raise TTOMError(f"{path} must hold a list of prompts", "texts, or objects with a prompt and options")
    yield from ((f"prompt {number}", entry) for number, entry in enumerate(data, start=1))


def _table(text: str, path: Path | str) -> Iterator[tuple[str, dict]]:
    """The rows of a table, by the names in its first one; cells are read as on the command line."""
    first = text.lstrip().partition("\n")[0]
    divider = max(",;\t", key=lambda d: (_cells(first, d) & set(PROMPT) != set(), first.count(d)))
    rows = csv.DictReader(io.StringIO(text.lstrip(), newline=""), delimiter=divider, strict=True)
    try:
        names = [name.strip().lower() for name in rows.fieldnames or ()]
        if not set(names) & set(PROMPT):
            raise TTOMError(f"{path}: its first row has no 'prompt': {shown(', '.join(names))}", "it names the columns")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise TTOMError(f"{path}: its first row has {twice!r} twice", "")
        rows.fieldnames = names
        for row in rows:
            place = f"line {rows.line_num}"
            if None in row or None in row.values():
                raise TTOMError(
                    f"{path}, {place}: it has not {len(names)} cells, as the first row has",
                    "quote what has commas in it",
                )
            given = {name: cell.strip() for name, cell in row.items() if cell.strip()}
            if given:
                yield place, _cells_read(given)
    except csv.Error as error:
        raise TTOMError(f"{path}, line {rows.line_num}: {error}", "it is read as a table") from None


def _heads_table(text: str) -> bool:
    """Whether the first line is a table's, which names a column of prompts and another that is known."""
    first = text.lstrip().partition("\n")[0]
    names = next((cells for d in ",;\t" if len(cells := _cells(first, d)) > 1), set())
    return bool(names & set(PROMPT)) and bool({n.replace("_", "-") for n in names} & {*OPTIONS, *PER_PROMPT[1:]})


def _cells(row: str, divider: str) -> set[str]:
    return {cell.strip(' "\r').lower() for cell in row.split(divider)}


def _cells_read(row: dict) -> dict:
    """A row's cells, of options as the command line would have them; a wrong one stays, and its prompt is refused."""
    read = {}
    for name, cell in row.items():
        option, read[name] = OPTIONS.get(name.replace("_", "-")), cell
        if option and option.name not in ("layout", "out"):
            with suppress(TTOMError):
                read[name] = option.parse(cell)
    return read


def _is_layout(entry: dict) -> bool:
    """Whether it is a layout, as `ttom plan` writes it."""
    objects = entry.get("objects")
    return isinstance(objects, list) and all(isinstance(o, dict) and "boxes" in o for o in objects)
