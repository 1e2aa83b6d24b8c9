"""`ttom memory verify | export | import`: the bank's files, looked after, taken out and in."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import console
from ...errors import TTOMError, UsageError, unknown
from ...files import to_json
from ...memory.choice import Choice
from ...options import fill
from ...outputs import refuse_existing
from ...text import counted, plain
from ..inputs import JsonOpt, OverwriteOpt, open_bank
from ..parameters import file, takes
from .shared import BankOpt, IdsArg, each_once, opened


def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be; what cannot stays, unless its adapter is lost.")] = False,
    json_: JsonOpt = False,
    bank: BankOpt = None,
) -> None:  # fmt: skip
    """Look at every record, layout and adapter. Prints what is wrong, a line each; the exit code is 1 if anything is."""
    from ...memory import health

    store = opened(bank, must=True, tell=lambda line: None)
    with console.waiting("looking at the bank"):
        report = health.examine(store)
    done = []
    if repair and report.faults:
        for line in health.repair(store, report):
            done.append(line)
            console.say(console.escape(plain(line)))
        report = health.examine(open_bank(bank, tell=lambda line: None))
    if json_:
        print(to_json({**_plainly(report), "repaired": done}, ensure_ascii=False))
    else:
        for fault in report.faults:
            print(plain(f"{fault.kind} {fault.id}: {fault.reason}".replace(" :", ":")))
    if report.strays:
        size = sum((store.folder / name).lstat().st_size for name in report.strays)
        console.note(
            f"no entry names {len(report.strays)} of the files in {store.folder / 'adapters'} ({size / 1e6:.1f} MB); "
            "they are older than this manifest, and left alone"
        )
    wrong = counted(len(report.faults), "fault") if report.faults else "nothing is wrong"
    remedy = "; --repair mends what can be" if report.faults and not repair else ""
    console.say(f"[dim]{counted(report.sound, 'sound entry', 'sound entries')}; {wrong}{remedy}[/]")
    if report.faults:
        raise typer.Exit(1)


def _plainly(report) -> dict:
    faults = [vars(fault) for fault in report.faults]
    return {"sound": report.sound, "faults": faults, "strays": report.strays}


@takes(Choice)
def export(
    ids: IdsArg = None,
    out: file("--out", "-o", help="A .zip of entries, or a .safetensors of one as a LoRA.") = None,
    names: Annotated[str, typer.Option(help="Of a LoRA's tensors: those that diffusers loads, or comfyui.")] = "diffusers",
    overwrite: OverwriteOpt = False,
    bank: BankOpt = None,
    *,
    given: dict,
) -> None:  # fmt: skip
    """Write entries to one file: those named, those that the options choose, or all. Prints its path.

    A .zip goes into another bank with `ttom memory import`. A .safetensors is a LoRA that other tools load as well; they
    apply it in every step, and ttom in the first ones of the conditional branch.
    """
    from ...memory import trade
    from ...memory.names import CONVENTIONS

    if out is None:
        raise TTOMError("say where to export to", "give --out FILE.zip, or for one entry --out FILE.safetensors")
    if names not in CONVENTIONS:
        raise unknown("names", names, CONVENTIONS, of=UsageError)
    if out.suffix == ".zip" and names != "diffusers":
        raise TTOMError(f"--names {names} is for a .safetensors", "a .zip is for another bank")
    refuse_existing(out, overwrite)
    store, choice = opened(bank), fill(Choice, given)
    entries = each_once(store.find, ids) if ids else choice.of(store.entries())
    if not entries:
        raise TTOMError(f"there are no such entries in the bank {store.folder}", "see `ttom memory ls`")
    trade.export(store, entries, out, names)
    console.say(f"[dim]{len(entries)} of {counted(len(store.entries()), 'entry', 'entries')}[/]")
    print(out)


def import_(path: file(help="What `ttom memory export` wrote."), bank: BankOpt = None) -> None:
    """Add a file's entries to the bank, all or, where one is not sound, none. Prints the ids of those that are new."""
    from ...config import MemoryConfig
    from ...memory import trade

    store = open_bank(bank)
    added, count = trade.take_in(store, path)
    if len(added) < count:
        console.say(f"in the bank already: {count - len(added)} of {count}")
    if added:
        print("\n".join(entry.id for entry in added))
    now, usual = len(store.entries()), MemoryConfig().capacity
    if added and now > usual:
        console.note(f"the bank has {now} entries now; `ttom generate` keeps {usual} unless --capacity says more")
