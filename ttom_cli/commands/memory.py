"""`ttom memory ls | show | rm | update`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from .. import console
from ..errors import TTOMError
from ..files import to_json
from ..outputs import read_pattern, refuse_existing
from ..text import plain
from .inputs import JsonOpt, open_bank
from .parameters import parameter, whole

BankOpt = parameter("bank")
IdArg = Annotated[str, typer.Argument(help="An id, or the beginning of one.")]

app = typer.Typer(help="The memory bank: adapters learnt on earlier prompts.", no_args_is_help=True)


@app.command("ls")
def memory_ls(bank: BankOpt = None, json_: JsonOpt = False) -> None:
    """List the entries, most used first."""
    store = open_bank(bank)
    entries = sorted(store.entries(), key=lambda e: (-e.uses, e.created))
    if json_:
        print(to_json([_entry_json(e, brief=True) for e in entries], ensure_ascii=False))
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
            e.id, str(e.uses), plain(Path(e.model).name), plain(e.prompt),
            f"{e.losses[0]:.2f} → {e.losses[-1]:.2f}", f"{e.bytes / 1e3:.0f} kB", e.last_used[:16].replace("T", " "),
        )  # fmt: skip
    width = None if sys.stdout.isatty() else 160
    Console(highlight=False, markup=False, width=width).print(table)


@app.command("show")
def memory_show(id: IdArg, bank: BankOpt = None) -> None:
    """Print all that is known of an entry, as JSON."""
    print(to_json(_entry_json(open_bank(bank).find(id)), indent=2, ensure_ascii=False))


@app.command("rm")
def memory_rm(
    ids: Annotated[Optional[list[str]], typer.Argument(help="Ids, or beginnings of ids.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Remove every entry.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    bank: BankOpt = None,
) -> None:
    """Remove entries. Prints the ids that went."""
    from ..memory import Entry

    store = open_bank(bank)
    if bool(ids) == all_:
        raise TTOMError("say which entries to remove", "give ids, or --all")
    doomed = [*store.entries(), *store.aside()] if all_ else [store.doomed(i) for i in ids]
    for e in doomed:
        what = e.prompt if isinstance(e, Entry) else f"set aside: {e.reason}"
        console.say(f"{'would remove' if dry_run else 'remove'} {e.id}  {console.escape(plain(what))}")
    if dry_run or not doomed:
        return
    if not yes and sys.stdin.isatty() and not typer.confirm("Go on?", err=True):
        raise typer.Exit(1)
    if all_:
        store.clear()
    else:
        store.delete([e.id for e in doomed])
    print("\n".join(e.id for e in doomed if e.id))


@app.command("update")
def memory_update(
    id: IdArg,
    scene: Annotated[Optional[str], typer.Option(help="A new abstracted scene as the key.")] = None,
    optimise: Annotated[bool, typer.Option("--optimise", help="Optimise it further, on its own prompt.")] = False,
    consolidate: whole("consolidate", "Consolidation iterations after that.", least=0) = None,
    seed: parameter("seed", "Of the noise for that; the entry's own if not given.") = None,
    out: Annotated[Optional[Path], typer.Option("--out", "-o", help="Keep the video that comes of it.")] = None,
    bank: BankOpt = None,
) -> None:  # fmt: skip
    """Change an entry: its key, its adapter, or both. Prints its id."""
    store = open_bank(bank)
    entry = store.find(id)
    if scene is None and not optimise:
        raise TTOMError("nothing to update", "give --scene TEXT or --optimise")
    if scene is not None and not scene.strip():
        raise TTOMError("--scene is empty", "say what the scene is: without a key the entry is never found")
    if out:
        pattern = read_pattern(str(out))
        if not pattern.fixed:
            raise TTOMError(f"--out {out} is no file", "name the video, such as refined.mp4")
        refuse_existing(out, hint="name another file")
    if optimise:
        from ..generate import refine

        outcome = refine(store, entry, consolidate=consolidate, seed=seed, out=out)
        console.say(console.outcome_line(outcome))
        if outcome.trouble:
            raise outcome.trouble
        if outcome.check and not outcome.check.passed:
            raise TTOMError(f"the video does not pass, and the entry {entry.id} stays as it was", "try another --seed")
    if scene is not None:
        store.update(entry.id, scene=scene)
    print(entry.id)


def _entry_json(entry, brief: bool = False) -> dict:
    data = entry.to_record(layout=not brief) | {"file": entry.file}
    return {k: v for k, v in data.items() if not (brief and k == "guide")}
