"""The command line: each command puts its options together, calls the library, and prints."""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from . import __version__, console
from .errors import TTOMError, unknown

app = typer.Typer(
    name="ttom",
    help="Text-to-video with the right objects in the right places, moving the right way.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
memory_app = typer.Typer(help="The memory bank: adapters learnt on earlier prompts.", no_args_is_help=True)
app.add_typer(memory_app, name="memory")
bench_app = typer.Typer(help="Measurements that anyone can repeat.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")

GUIDE, SAMPLE, MEMORY, OUTPUT = "Guidance", "Sampling", "Memory", "Output"

PromptArg = Annotated[Optional[str], typer.Argument(help="The prompt; without one, lines on standard input.")]
PromptsOpt = Annotated[Optional[Path], typer.Option("--prompts", help="Prompts: one a line, or a YAML list.")]
LayoutOpt = Annotated[Optional[Path], typer.Option("--layout", help="A layout in JSON or YAML, in place of a planner.")]
PlannerOpt = Annotated[str, typer.Option(help="What makes the layout: rules.")]
ModelOpt = Annotated[str, typer.Option("--model", "-m", help="shapes, a hub id, or a diffusers folder.")]
BankOpt = Annotated[Optional[Path], typer.Option("--bank", envvar="TTOM_BANK", help="The memory bank's folder.")]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def _version(value: bool) -> None:
    if value:
        print(f"ttom {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    pass


# ---------------------------------------------------------------- plan


@app.command()
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
    """Turn prompts into layouts and print them as JSON: indented, or with --json one a line."""
    from .layout.parse import layout_schema

    if schema:
        print(json.dumps(layout_schema(), indent=2))
        return
    items = _items(prompt, prompts, layout)
    if preview and len(items) > 1:
        raise TTOMError("--preview draws one layout, and there are several prompts", "plan them one at a time")
    failed = 0
    for item in items:
        try:
            made = _layout(item, planner)
            batch = json_ or len(items) > 1
            print(json.dumps(made.to_json(), indent=None if batch else 2, ensure_ascii=False), flush=True)
            if preview:
                from .layout.draw import preview as draw

                draw(made, preview)
                console.say(f"drawn to {preview}")
        except TTOMError as error:
            if len(items) == 1:
                raise
            failed += 1
            console.error(f"{item['prompt']!r}: {error.message}", error.hint)
    if failed:
        raise typer.Exit(1)


def _items(prompt: str | None, prompts: Path | None, layout: Path | None) -> list[dict]:
    """The prompts asked for, each a dict with `prompt` and perhaps its own options."""
    from .settings import parse_lines, read_prompts

    if prompt is not None and prompts is not None:
        raise TTOMError("there are both a prompt and --prompts", "give one of them")
    if prompts is not None:
        items = read_prompts(prompts)
    elif prompt is not None:
        items = [{"prompt": prompt}]
    elif layout is not None:
        items = [{"prompt": None}]
    elif not sys.stdin.isatty():
        items = parse_lines(sys.stdin.read())
    else:
        items = []
    if not items:
        raise TTOMError("there is no prompt", "give one as an argument, with --prompts, or on standard input")
    if layout is not None:
        items = [{"layout": str(layout), **item} for item in items]
    return items


def _layout(item: dict, planner: str):
    """The layout of an item: its own, its file's, or the planner's."""
    from .layout import layout_from_json, read_layout
    from .planning import make_planner

    prompt, given = item["prompt"], item.get("layout")
    if prompt is not None and not prompt.strip():
        raise TTOMError("the prompt is empty", "say what the video shows")
    if isinstance(given, dict):
        return layout_from_json(given, prompt=prompt)
    if given:
        return read_layout(Path(given), prompt)
    return make_planner(planner).plan(prompt)


# ---------------------------------------------------------------- generate


@app.command()
def generate(
    prompt: PromptArg = None,
    prompts: PromptsOpt = None,
    layout: LayoutOpt = None,
    planner: PlannerOpt = "rules",
    model: ModelOpt = "shapes",
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder, or for one prompt an .mp4.", rich_help_panel=OUTPUT)] = Path("videos"),
    compare: Annotated[bool, typer.Option("--compare", help="Also write unguided beside guided, with the boxes drawn.", rich_help_panel=OUTPUT)] = False,
    replay: Annotated[Optional[Path], typer.Option(help="Make the video of this MP4 again, from the recipe in it.", rich_help_panel=OUTPUT)] = None,
    json_: JsonOpt = False,
    config: Annotated[Optional[Path], typer.Option(help="Options from a YAML file.")] = None,
    seed: Annotated[Optional[int], typer.Option(help="Of the noise; drawn and shown if not given.", rich_help_panel=SAMPLE)] = None,
    size: Annotated[Optional[str], typer.Option(help="WIDTHxHEIGHT in pixels.", rich_help_panel=SAMPLE)] = None,
    frames: Annotated[Optional[int], typer.Option(rich_help_panel=SAMPLE)] = None,
    fps: Annotated[Optional[int], typer.Option(rich_help_panel=SAMPLE)] = None,
    steps: Annotated[Optional[int], typer.Option(help="Denoising steps.", rich_help_panel=SAMPLE)] = None,
    cfg: Annotated[Optional[float], typer.Option(help="Scale of classifier-free guidance.", rich_help_panel=SAMPLE)] = None,
    shift: Annotated[Optional[float], typer.Option(help="Of the flow-matching noise levels.", rich_help_panel=SAMPLE)] = None,
    negative_prompt: Annotated[Optional[str], typer.Option(rich_help_panel=SAMPLE)] = None,
    enlarge: Annotated[Optional[int], typer.Option(help="Times each side is enlarged in the MP4.", rich_help_panel=SAMPLE)] = None,
    device: Annotated[Optional[str], typer.Option(help="cpu, cuda, ...", rich_help_panel=SAMPLE)] = None,
    dtype: Annotated[Optional[str], typer.Option(help="float32, bfloat16 or float16.", rich_help_panel=SAMPLE)] = None,
    guide: Annotated[Optional[str], typer.Option(help="params, latents, both, or off.", rich_help_panel=GUIDE)] = None,
    loss: Annotated[Optional[str], typer.Option(help="jsd or l2.", rich_help_panel=GUIDE)] = None,
    blocks: Annotated[Optional[str], typer.Option(help="Blocks whose attention is aligned: 2,3,4.", rich_help_panel=GUIDE)] = None,
    adapt: Annotated[Optional[str], typer.Option(help="Blocks that carry the adapter.", rich_help_panel=GUIDE)] = None,
    projections: Annotated[Optional[str], typer.Option(help="Of q,k,v,o: those that carry it.", rich_help_panel=GUIDE)] = None,
    self_attention: Annotated[Optional[bool], typer.Option(help="Adapt self-attention too.", rich_help_panel=GUIDE)] = None,
    rank: Annotated[Optional[int], typer.Option(help="Of the adapter.", rich_help_panel=GUIDE)] = None,
    lr: Annotated[Optional[float], typer.Option(help="Learning rate on the adapter.", rich_help_panel=GUIDE)] = None,
    latent_lr: Annotated[Optional[float], typer.Option(help="Step length on the latents.", rich_help_panel=GUIDE)] = None,
    guided_steps: Annotated[Optional[int], typer.Option(help="Denoising steps that are guided.", rich_help_panel=GUIDE)] = None,
    iterations: Annotated[Optional[int], typer.Option(help="Optimisation iterations a guided step.", rich_help_panel=GUIDE)] = None,
    stop_loss: Annotated[Optional[float], typer.Option(help="A step ends early below this loss.", rich_help_panel=GUIDE)] = None,
    both_branches: Annotated[Optional[bool], typer.Option(help="Adapter on the unconditional branch as well.", rich_help_panel=GUIDE)] = None,
    keep_on: Annotated[Optional[bool], typer.Option(help="Adapter on after the guided steps.", rich_help_panel=GUIDE)] = None,
    bank: BankOpt = None,
    memory: Annotated[Optional[bool], typer.Option(help="Use the memory bank.", rich_help_panel=MEMORY)] = None,
    on_hit: Annotated[Optional[str], typer.Option(help="skip (use as is) or continue (optimise further).", rich_help_panel=MEMORY)] = None,
    consolidate: Annotated[Optional[int], typer.Option(help="Iterations after the video, so that what was learnt holds for other noise.", rich_help_panel=MEMORY)] = None,
    capacity: Annotated[Optional[int], typer.Option(help="Entries at most; the least used goes first.", rich_help_panel=MEMORY)] = None,
) -> None:  # fmt: skip
    """Make videos: plan, recall or optimise, write the MP4, remember. Prints the paths.

    One model load serves all prompts; a prompt that fails is reported and the rest are done.
    """
    from .settings import OPTIONS, read_config

    given = locals()
    flags = {name: given[name.replace("-", "_")] for name in OPTIONS}
    flags = {name: value for name, value in flags.items() if value is not None}
    if replay:
        return _replay(replay, out, model_bank=bank, device=device, dtype=dtype, json_=json_)
    items = _items(prompt, prompts, layout)
    if out.suffix == ".mp4" and len(items) > 1:
        raise TTOMError(f"--out {out} is one file, and there are {len(items)} prompts", "give a folder")
    config_layer = read_config(config)
    for item in items:
        item.setdefault("seed", seed if seed is not None else random.randrange(2**31))
    jobs = _jobs(items, model, planner, out, compare, config_layer, flags)
    _run_jobs(jobs, model, bank, device, dtype, json_)


def _jobs(items, model, planner, out, compare, config, flags):
    """Yields (prompt, a function that makes the job), so that a bad prompt does not stop the others."""
    from .catalog import find_card
    from .settings import resolve

    card = find_card(model)
    resolve(card, config, flags)  # bad options are said before a model is loaded
    taken: set[Path] = set()

    def make(item):
        from .generate import Job, file_name

        own = {k: v for k, v in item.items() if k not in ("prompt", "seed", "layout", "out")}
        sample, guide, memory = resolve(card, config, own, flags)
        made = _layout(item, planner)
        name = item.get("out") or file_name(made.prompt, item["seed"])
        path = out if out.suffix == ".mp4" else out / name
        while path in taken:
            path = path.with_name(f"{path.stem}-again.mp4")
        taken.add(path)
        return Job(
            layout=made, seed=item["seed"], path=path, sample=sample, guide=guide, memory=memory,
            planner="file" if item.get("layout") else planner, compare=compare,
        )  # fmt: skip

    titles = [item["layout"] if item["prompt"] is None else item["prompt"] for item in items]
    return [(title, lambda item=item: make(item)) for title, item in zip(titles, items, strict=True)]


def _run_jobs(jobs, model, bank, device, dtype, json_) -> None:
    from .generate import generate as run

    runtime, failed = None, 0
    with console.progress() as live:
        for title, make in jobs:
            report = console.ProgressReport(live, title)
            try:
                report.stage("plan")
                job = make()
                if runtime is None:
                    runtime = _open_runtime(model, bank, device, dtype, job.memory)
                outcome = run(runtime, job, report)
            except TTOMError as error:
                failed += 1
                console.error(f"{title!r}: {error.message}" if len(jobs) > 1 else error.message, error.hint)
                continue
            finally:
                report.close()
            console.say(console.outcome_line(outcome))
            paths = [job.path, *outcome.extra_paths]
            print(json.dumps(outcome.to_json()) if json_ else "\n".join(map(str, paths)), flush=True)
    if failed:
        raise typer.Exit(1)


def _open_runtime(model, bank, device, dtype, memory):
    from .runtime import Runtime

    return Runtime.open(model, bank=_bank(bank, memory), device=device, dtype=dtype)


def _bank(folder: Path | None, memory=None):
    from .config import MemoryConfig
    from .memory import MemoryBank
    from .memory.bank import default_folder

    memory = memory or MemoryConfig()
    return MemoryBank(
        folder or default_folder(), capacity=memory.capacity,
        scene=memory.scene, objects=memory.objects, overlap=memory.overlap,
    )  # fmt: skip


def _replay(source: Path, out: Path, *, model_bank, device, dtype, json_) -> None:
    """Make a video again, and say whether the frames are the same."""
    from .generate import digest, replay_job
    from .generate import generate as run
    from .video import read_recipe

    recipe = read_recipe(source)
    path = out if out.suffix == ".mp4" else out / f"{source.stem}.replay.mp4"
    job = replay_job(recipe, path, _bank(model_bank))
    runtime = _open_runtime(
        recipe["model"], model_bank, device or recipe["device"], dtype or recipe["dtype"], job.memory
    )
    with console.progress() as live:
        outcome = run(runtime, job, console.ProgressReport(live, job.layout.prompt))
    same = digest(outcome.frames) == recipe["frames_sha256"]
    console.say(
        "the frames are the same" if same else "[yellow]the frames differ[/] (another machine or other versions?)"
    )
    print(json.dumps(outcome.to_json() | {"same_frames": same}) if json_ else path)


# ---------------------------------------------------------------- memory


@memory_app.command("ls")
def memory_ls(bank: BankOpt = None, json_: JsonOpt = False) -> None:
    """List the entries, most used first."""
    store = _bank(bank)
    entries = sorted(store.entries(), key=lambda e: (-e.uses, e.created))
    if json_:
        print(json.dumps([_entry_json(e, brief=True) for e in entries], ensure_ascii=False))
        return
    if not entries:
        console.say(f"the bank {store.folder} is empty")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for name in ("id", "uses", "model", "prompt", "loss", "size", "last used"):
        table.add_column(name, justify="right" if name in ("uses", "size") else "left", no_wrap=name != "prompt")
    for e in entries:
        table.add_row(
            e.id, str(e.uses), console.plain(Path(e.model).name), console.plain(e.prompt),
            f"{e.losses[0]:.2f} → {e.losses[-1]:.2f}", f"{e.bytes / 1e3:.0f} kB", e.last_used[:16].replace("T", " "),
        )  # fmt: skip
    width = None if sys.stdout.isatty() else 160
    Console(highlight=False, markup=False, width=width).print(table)


@memory_app.command("show")
def memory_show(id: str, bank: BankOpt = None) -> None:
    """Print all that is known of an entry, as JSON."""
    print(json.dumps(_entry_json(_bank(bank).find(id)), indent=2, ensure_ascii=False))


@memory_app.command("rm")
def memory_rm(
    ids: Annotated[Optional[list[str]], typer.Argument(help="Ids, or beginnings of ids.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Remove every entry.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    bank: BankOpt = None,
) -> None:
    """Remove entries. Prints the ids that went."""
    store = _bank(bank)
    if bool(ids) == all_:
        raise TTOMError("say which entries to remove", "give ids, or --all")
    doomed = store.entries() if all_ else [store.find(i) for i in ids]
    for e in doomed:
        console.say(f"{'would remove' if dry_run else 'remove'} {e.id}  {console.plain(e.prompt)}")
    if dry_run or not doomed:
        return
    if not yes and sys.stdin.isatty() and not typer.confirm("Go on?", err=True):
        raise typer.Exit(1)
    store.delete([e.id for e in doomed])
    print("\n".join(e.id for e in doomed))


@memory_app.command("update")
def memory_update(
    id: Annotated[str, typer.Argument(help="An id, or the beginning of one.")],
    scene: Annotated[Optional[str], typer.Option(help="A new abstracted scene as the key.")] = None,
    optimise: Annotated[bool, typer.Option("--optimise", help="Optimise the adapter further, on its own prompt and layout.")] = False,
    consolidate: Annotated[Optional[int], typer.Option(help="Consolidation iterations after that.")] = None,
    seed: Annotated[Optional[int], typer.Option(help="Of the noise that it is optimised on; the entry's own if not given.")] = None,
    out: Annotated[Optional[Path], typer.Option("--out", "-o", help="Keep the video that comes of it.")] = None,
    bank: BankOpt = None,
) -> None:  # fmt: skip
    """Change an entry: its key, its adapter, or both. Prints its id."""
    store = _bank(bank)
    entry = store.find(id)
    if scene is None and not optimise:
        raise TTOMError("nothing to update", "give --scene TEXT or --optimise")
    if optimise:
        from .generate import refine

        outcome = refine(store, entry, consolidate=consolidate, seed=seed, out=out)
        console.say(console.outcome_line(outcome))
    if scene is not None:
        store.update(entry.id, scene=scene)
    print(entry.id)


def _entry_json(entry, brief: bool = False) -> dict:
    from dataclasses import asdict

    data = asdict(entry) | {"file": entry.file}
    hidden = ("embedding", "layout", "guide", "extra") if brief else ("embedding", "extra")
    return {k: v for k, v in data.items() if k not in hidden}


# ---------------------------------------------------------------- probe and bench


@app.command()
def probe(
    prompt: PromptArg = None,
    prompts: PromptsOpt = None,
    layout: LayoutOpt = None,
    planner: PlannerOpt = "rules",
    model: ModelOpt = "shapes",
    seed: Annotated[int, typer.Option(help="Of the first video's noise; the next ones count up.")] = 0,
    json_: JsonOpt = False,
) -> None:
    """Find the blocks whose attention tells where objects end up, best first."""
    from .generate import Job
    from .probe import probe as run
    from .runtime import Runtime
    from .settings import resolve

    items = _items(prompt, prompts, layout)
    layouts = [_layout(item, planner) for item in items]
    runtime = Runtime.open(model)
    sample, guide, memory = resolve(runtime.card)
    jobs = [
        Job(layout=made, seed=seed + i, path=Path("-"), sample=sample, guide=guide, memory=memory)
        for i, made in enumerate(layouts)
    ]
    with console.progress() as live:
        scores = run(runtime, jobs, console.ProgressReport(live, f"{len(jobs)} videos"))
    if json_:
        print(json.dumps([{"block": s.block, "soft_iou": s.mean, "interval": s.interval} for s in scores]))
        return
    for s in sorted(scores, key=lambda s: -s.mean):
        print(f"block {s.block:2d}  soft IoU {s.mean:.3f} ± {s.interval:.3f}  {'█' * round(s.mean * 60)}")


@bench_app.command("shapes")
def bench_shapes(
    full: Annotated[
        bool, typer.Option("--full/--quick", help="All prompts (about an hour on two cores), or a few.")
    ] = False,
    only: Annotated[Optional[str], typer.Option(help="Of found,guide,memory: the tables to make.")] = None,
    model: ModelOpt = "shapes",
    seed: Annotated[int, typer.Option(help="Of the prompts and the noises.")] = 0,
    json_: JsonOpt = False,
    markdown: Annotated[Optional[Path], typer.Option(help="Write the tables as Markdown too.")] = None,
) -> None:
    """Is the embedded model sound, does the guide guide, does the memory remember: three tables."""
    from .bench import report, shapes
    from .runtime import Runtime

    makers = {  # name: (function, prompts a category when quick, and when full)
        "found": (shapes.found_table, 8, 32),
        "guide": (shapes.guide_table, 4, 24),
        "memory": (shapes.memory_table, 2, 12),
    }
    wanted = only.split(",") if only else list(makers)
    for name in wanted:
        if name not in makers:
            raise unknown("table", name, makers)
    runtime, tables = Runtime.open(model), []
    for name in wanted:
        make, few, many = makers[name]
        with console.status() as tell:
            tables.append(make(runtime, count=many if full else few, seed=seed, tell=tell))
        report.show(tables[-1], console.err)
    if markdown:
        markdown.write_text("\n".join(report.markdown(t) for t in tables), encoding="utf-8")
    if json_:
        print(json.dumps([t.to_json() for t in tables]))


# ---------------------------------------------------------------- the one boundary


def main(argv: list[str] | None = None) -> int:
    """Run a command line; one clear line on stderr for what the user can mend."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        app(args=argv)
        return 0
    except SystemExit as done:  # usage errors have been printed by then
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except TTOMError as error:
        if "--debug" in argv:
            raise
        console.error(error.message, error.hint)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
