"""`ttom probe`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .. import console
from .inputs import (
    JsonOpt,
    LayoutOpt,
    LLMModelOpt,
    LLMUrlOpt,
    ModelOpt,
    PlannerOpt,
    PromptArg,
    PromptsOpt,
    given_options,
    own_options,
    plan_item,
    read_source,
)


def probe(
    prompt: PromptArg = None,
    prompts: PromptsOpt = None,
    layout: LayoutOpt = None,
    model: ModelOpt = "shapes",
    seed: Annotated[int, typer.Option(help="Of the first video's noise; the next ones count up.")] = 0,
    json_: JsonOpt = False,
    planner: PlannerOpt = None,
    llm_model: LLMModelOpt = None,
    llm_base_url: LLMUrlOpt = None,
) -> None:
    """Find the blocks whose attention tells where objects end up, best first."""
    from ..generate import Job
    from ..probe import probe as run
    from ..runtime import Runtime
    from ..settings import resolve, resolve_planner

    flags = given_options(locals())
    items = read_source(prompt, prompts, layout).items
    layouts = [plan_item(item, *resolve_planner(own_options(item), flags)) for item in items]
    with console.waiting("loading the model"):
        runtime = Runtime.open(model)
    settings = resolve(runtime.card)
    jobs = [
        Job(
            layout=made,
            seed=seed + i,
            path=Path("-"),
            sample=settings.sample,
            guide=settings.guide,
            memory=settings.memory,
        )
        for i, made in enumerate(layouts)
    ]
    with console.progress() as live, console.report(live, f"{len(jobs)} videos") as report:
        scores = run(runtime, jobs, report)
    if json_:
        print(json.dumps([{"block": s.block, "soft_iou": s.mean, "interval": s.interval} for s in scores]))
        return
    for s in sorted(scores, key=lambda s: -s.mean):
        print(f"block {s.block:2d}  soft IoU {s.mean:.3f} ± {s.interval:.3f}  {'█' * round(s.mean * 60)}")
