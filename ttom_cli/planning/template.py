"""What the LLM planner says to the model: plain files, shipped in the package and replaceable."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from string import Template

from ..errors import TTOMError
from ..files import parse_data, read_text

FILES = ("system.md", "user.md", "repair.md", "examples.yaml")


@dataclass(frozen=True)
class PromptTemplate:
    """The files' texts, by name. Placeholders: $prompt, $width and $height (user.md), $faults (repair.md)."""

    texts: tuple[tuple[str, str], ...]

    def __getitem__(self, name: str) -> str:
        return dict(self.texts)[name]

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.texts).encode()).hexdigest()[:16]

    def messages(self, prompt: str, size: tuple[int, int]) -> list[dict]:
        """The conversation that asks for a layout: the system's words, the examples as turns, the prompt."""
        made = [_message("system", self["system.md"])]
        for example in self._examples():
            made.append(_message("user", self._user(example["prompt"], size)))
            made.append(_message("assistant", example["answer"]))
        return [*made, _message("user", self._user(prompt, size))]

    def repair(self, faults: list[str]) -> dict:
        """The turn that sends a reply back with its faults."""
        listed = "\n".join(f"- {fault}" for fault in faults)
        return _message("user", Template(self["repair.md"]).safe_substitute(faults=listed))

    def _user(self, prompt: str, size: tuple[int, int]) -> str:
        return Template(self["user.md"]).safe_substitute(prompt=prompt, width=size[0], height=size[1])

    def _examples(self) -> list[dict]:
        examples = parse_data(self["examples.yaml"], "the template's examples.yaml") or []
        try:
            return [
                {"prompt": e["prompt"] + "", "answer": json.dumps(e["answer"], ensure_ascii=False)} for e in examples
            ]
        except (TypeError, KeyError, ValueError) as error:
            raise TTOMError(f"the template's examples.yaml is not a list of prompt and answer: {error}") from None


def _message(role: str, content: str) -> dict:
    return {"role": role, "content": content.strip()}


@cache
def read_template(folder: Path | None = None) -> PromptTemplate:
    """The shipped template, with the files that `folder` holds in their place. Raises TTOMError."""
    shipped = resources.files(__package__) / "templates"
    texts = {name: (shipped / name).read_text(encoding="utf-8") for name in FILES}
    if folder is not None:
        own = [name for name in FILES if (folder / name).is_file()]
        if not own:
            raise TTOMError(
                f"the template {folder} holds none of {', '.join(FILES)}",
                "begin with `ttom plan --show-template --out FOLDER`",
            )
        texts |= {name: read_text(folder / name, "--template") for name in own}
    return PromptTemplate(tuple(texts.items()))
