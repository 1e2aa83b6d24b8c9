"""`ttom plan`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from .. import console
from ..errors import TTOMError
from .inputs import JsonOpt, LayoutOpt, PlannerOpt, PromptArg, PromptsOpt, plan_item, read_source


def plan(
    prompt: PromptArg = None,
    prompts: PromptsOpt = None,
    layout: LayoutOpt = None,
    planner: PlannerOpt = "rules",
    preview: Annotated[
        Optional[Path], typer.Option(help="Draw the layout: a .gif or .mp4 that moves, or a .png.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a layout.")] = False,
    json_: JsonOpt = False,
) -> None:
    """Turn prompts into layouts and print them as JSON: one prompt indented, several (or --json) one a line."""
    from ..layout.parse import layout_schema

    if schema:
        print(json.dumps(layout_schema(), indent=2))
        return
    source = read_source(prompt, prompts, layout)
    if preview and source.batch:
        raise TTOMError("--preview draws one layout, and there may be several prompts", "plan them one at a time")
    indent = None if json_ or source.batch else 2

    def work(item: dict) -> None:
        made = plan_item(item, planner)
        print(json.dumps(made.to_json(), indent=indent, ensure_ascii=False), flush=True)
        if preview:
            from ..layout.draw import preview as draw

            draw(made, preview)
            console.say(f"drawn to {preview}")

    source.each(work)
