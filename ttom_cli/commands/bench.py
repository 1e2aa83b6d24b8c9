"""`ttom bench shapes | memory | stream | plan | speed`"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from .. import console
from ..config import CheckConfig, LoadConfig, PlannerConfig
from ..errors import TTOMError, UsageError, unknown
from ..files import put_text, to_json
from ..outputs import refuse_existing
from ..settings import resolve_slice
from .inputs import JsonOpt, OverwriteOpt, settle
from .parameters import file, number, parameter, takes, whole

if TYPE_CHECKING:
    from ..bench.report import Table

MarkdownOpt = file("--markdown", help="Write the tables as Markdown too.")

app = typer.Typer(help="Measurements that anyone can repeat.", no_args_is_help=True)


@app.command("shapes")
def bench_shapes(
    each: whole(
        "each",
        "Prompts a category; with fewer the intervals are wider; all 22 by default, over an hour a model.",
        least=1,
    ) = None,
    only: Annotated[Optional[str], typer.Option(help="Of found,guide,memory,tries: the tables to make.")] = None,
    set_: Annotated[
        str, typer.Option("--set", help="Of prompts and noises: tune (defaults are chosen on it), validate or report.")
    ] = "report",
    model: Annotated[
        Optional[str],
        typer.Option("--model", "-m", help="Embedded models or folders of such, by comma; both by default."),
    ] = None,
    json_: JsonOpt = False,
    markdown: MarkdownOpt = None,
    overwrite: OverwriteOpt = False,
) -> None:
    """Are the embedded models sound, does the guide guide, does the memory remember, do more tries help."""
    from ..bench import report, shapes
    from ..bench.suite import EACH
    from ..catalog import CARDS

    makers = {
        "found": shapes.found_table, "guide": shapes.guide_tables, "memory": shapes.memory_table,
        "tries": shapes.tries_table,
    }  # fmt: skip
    if each is not None and each > EACH:
        raise TTOMError(f"a category has {EACH} prompts, not {each}")
    wanted = _names(only) if only is not None else list(makers)
    for name in wanted:
        if name not in makers:
            raise unknown("table", name, makers, of=UsageError)
    results = Results(json_, markdown, overwrite)
    models = _names(model) if model is not None else [card.name for card in CARDS.values() if card.embedded]
    for name in models:
        _of_the_world(name, set_)
    with console.waiting("loading the models"):
        runtimes = {name: _opened(name) for name in models}
    for name in wanted:
        parts = {}
        for label, runtime in runtimes.items():
            with console.status() as tell:
                parts[label] = makers[name](runtime, name=set_, each=each or EACH, tell=tell)
        for same in zip(*parts.values(), strict=True):
            results.add(report.joined(dict(zip(parts, same, strict=True))))
    results.close()


def _of_the_world(model: str, set_: str) -> str:
    """The model's name. Raises TTOMError for one that is none of the shapes world, and for an unknown set."""
    from ..bench.suite import SETS
    from ..catalog import find_card

    if set_ not in SETS:
        raise unknown("set", set_, SETS, of=UsageError)
    if find_card(model).world != "shapes":
        raise TTOMError(f"{model} is no model of the shapes world", "give shapes, shapes-cog, or a folder of one")
    return model


def _opened(model: str):
    from ..runtime import Runtime

    return Runtime.open(model, check=CheckConfig())


def _names(text: str) -> list[str]:
    """Of a list by commas. Raises TTOMError where it has none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise TTOMError("no name in an empty list", "leave the option out for all")
    return names


@app.command("speed")
@takes("model", "size", "frames", "steps", LoadConfig)
def bench_speed(
    count: Annotated[
        bool, typer.Option("--count", help="Count operations at the model's real size; needs neither weights nor GPU.")
    ] = False,
    repeats: whole("repeats", "Videos an arm, after one to warm up.", least=1) = 3,
    seed: parameter("seed", "Of the noise.") = 0,
    json_: JsonOpt = False,
    markdown: MarkdownOpt = None,
    overwrite: OverwriteOpt = False,
    *,
    given: dict,
) -> None:
    """What guidance costs, beside plain sampling and the reference's way."""
    from ..bench import speed
    from ..runtime import Runtime

    results = Results(json_, markdown, overwrite)
    card, settings = settle(given)
    card = replace(card, sample=settings.sample, guide=settings.guide)
    if count:
        table = speed.count_table(card)
    else:
        runtime = replace(Runtime.open(settings.run.model, load=settings.load), card=card)
        with console.status() as tell:
            table = speed.speed_table(runtime, repeats=repeats, seed=seed, tell=tell)
    results.add(table)
    results.close()


@app.command("memory")
def bench_memory(
    growth: Annotated[
        bool, typer.Option("--growth", help="What the bank costs at 100, 1 000 and 10 000 entries.")
    ] = False,
    eviction: Annotated[
        bool, typer.Option("--eviction", help="What goes from a full bank: rules compared on made-up streams.")
    ] = False,
    reuse: Annotated[
        bool, typer.Option("--reuse", help="When reuse helps: how alike two scenes are, against what it brings.")
    ] = False,
    model: Annotated[
        str, typer.Option("--model", "-m", help="For --reuse: an embedded model, or a folder of one.")
    ] = "shapes",
    each: number("each", "For --reuse: prompts of each of five categories.", kind=int, least=1, most=22) = 10,
    seed: parameter("seed", "Of made-up entries and streams.") = 0,
    json_: JsonOpt = False,
    markdown: MarkdownOpt = None,
    overwrite: OverwriteOpt = False,
) -> None:
    """What the memory bank costs as it grows, what should go from it, and when what it holds is of use."""
    from ..bench.eviction import eviction_tables
    from ..bench.growth import growth_tables
    from ..bench.reuse import reuse_tables

    def reused(seed, tell):
        runtime = _opened(_of_the_world(model, "validate"))
        return reuse_tables(runtime, each=each, tell=tell)

    makers = [
        maker for wanted, maker in ((growth, growth_tables), (eviction, eviction_tables), (reuse, reused)) if wanted
    ]
    if not makers:
        raise TTOMError("say what to measure", "give --growth, --eviction or --reuse, or several of them")
    results = Results(json_, markdown, overwrite)
    for maker in makers:
        with console.status() as tell:
            made = maker(seed=seed, tell=tell)
        for table in made:
            results.add(table)
    results.close()


@app.command("stream")
def bench_stream(
    count: whole("count", "Prompts of the stream.", least=1) = 120,
    model: Annotated[str, typer.Option("--model", "-m", help="An embedded model, or a folder of one.")] = "shapes",
    set_: Annotated[str, typer.Option("--set", help="Of tune, validate or report: where the compositions are of.")] = "report",
    seed: parameter("seed", "Of the order, and of how the boxes are moved.") = 0,
    plot: file("--plot", help="Draw seconds and score by prompt, as .png or what its name ends in.") = None,
    json_: JsonOpt = False,
    markdown: MarkdownOpt = None,
    overwrite: OverwriteOpt = False,
) -> None:  # fmt: skip
    """Does a stream of prompts get better and cheaper with the memory: seconds, score and hits as it goes on."""
    from ..bench import stream

    results = Results(json_, markdown, overwrite)
    if plot:
        refuse_existing(plot, overwrite)
    name = _of_the_world(model, set_)
    with console.waiting("loading the model"):
        runtime = _opened(name)
    with console.status() as tell:
        runs = stream.run_stream(runtime, name=set_, prompts=count, seed=seed, tell=tell)
    for table in stream.stream_tables(runs, f"{name}, set {set_}, seed {seed}"):
        results.add(table)
    results.close()
    if plot:
        try:
            stream.plot(runs, plot, f"{name}: a stream of {count} prompts")
        except (OSError, ValueError) as error:  # such as a format that matplotlib does not know
            raise TTOMError(f"cannot draw {plot}: {error}", "choose another --plot, such as stream.png") from None


@app.command("plan")
@takes("planner", "planner-fallback", "llm-model", "llm-base-url", "llm-total-timeout", "llm-max-tokens")
def bench_plan(
    path: Annotated[
        Optional[Path],
        typer.Argument(
            metavar="[FOLDER|FILE]",
            help="T2V-CompBench's metadata, VBench's list, or a YAML of answers; by default the prompts shipped.",
        ),
    ] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="List the prompts that are planned wrong, and why.")] = False,
    json_: JsonOpt = False,
    markdown: MarkdownOpt = None,
    overwrite: OverwriteOpt = False,
    *,
    given: dict,
) -> None:
    """How right a planner's layouts are, by the benchmarks' own metadata, or by answers beside the prompts."""
    from ..bench import plans
    from ..planning import make_planner

    results = Results(json_, markdown, overwrite)
    config = resolve_slice(PlannerConfig, given)
    verdicts = plans.judge_path(path or plans.OWN, lambda tell: make_planner(config, tell=tell))
    results.add(plans.plans_table(verdicts, config.label))
    if wrong:
        for verdict in (v for v in verdicts if v.grade != "right"):
            console.note(f"{verdict.category}, {verdict.grade}: {verdict.prompt!r}: {verdict.reason}")
    results.close()


class Results:
    """Where tables go, one by one: to standard output, or as JSON at the end, and to a file of Markdown.

    Raises TTOMError for a file that is there and may not be written over, or that cannot be written.
    """

    def __init__(self, json_: bool, markdown: Path | None, overwrite: bool):
        self.json, self.markdown, self.tables = json_, markdown, []
        if markdown:
            refuse_existing(markdown, overwrite)

    def add(self, table: Table) -> None:
        from ..bench import report

        self.tables.append(table)
        if not self.json:
            report.show(table)
        if self.markdown:
            try:
                text = "\n".join(map(report.markdown, self.tables))
                put_text(self.markdown, text, overwrite=True)
            except OSError as error:
                raise TTOMError(
                    f"cannot write {self.markdown}: {error.strerror}", "choose another --markdown"
                ) from None

    def close(self) -> None:
        if self.json:
            print(to_json([table.to_json() for table in self.tables]))
