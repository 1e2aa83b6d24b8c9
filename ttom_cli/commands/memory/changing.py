"""`ttom memory rm | update | merge | prune`: what changes entries. What goes is listed before it does."""

from __future__ import annotations

import sys
from math import inf
from typing import Annotated, Optional

import typer

from ... import console
from ...errors import TTOMError
from ...memory.choice import Choice, surplus
from ...options import fill
from ...outputs import read_pattern, refuse_existing
from ...text import plain
from ..inputs import OverwriteOpt
from ..parameters import file, number, parameter, takes, whole
from .shared import BankOpt, IdArg, IdsArg, each_once, opened

YesOpt = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal to ask at.")]
DryRunOpt = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]
LISTED = 20


@takes(Choice)
def rm(
    ids: IdsArg = None,
    all_: Annotated[bool, typer.Option("--all", help="Remove every entry, and all that is set aside.")] = False,
    yes: YesOpt = False,
    dry_run: DryRunOpt = False,
    bank: BankOpt = None,
    *,
    given: dict,
) -> None:
    """Remove entries: those named, those that the options choose, or all. Prints the ids that went."""
    store, choice = opened(bank), fill(Choice, given)
    said = {"ids": bool(ids), "--all": all_, "options that choose": not choice.is_all}
    ways = [way for way, is_said in said.items() if is_said]
    if not ways:
        raise TTOMError("say which entries to remove", "give ids, or options that choose, or --all")
    if len(ways) > 1:
        raise TTOMError(f"there are both {' and '.join(ways[:2])}", "give one of them")
    chosen = [*choice.of(store.entries()), *(store.aside() if all_ else [])]
    doomed = each_once(store.doomed, ids) if ids else chosen
    if not _agreed("remove", doomed, yes, dry_run):
        return
    if all_:
        store.clear()
    else:
        store.delete([entry.id for entry in doomed])
    print("\n".join(entry.id for entry in doomed if entry.id))


def prune(
    keep: whole("keep", "Entries that stay at most.", least=0) = None,
    mb: number("mb", "Megabytes of adapters that stay at most.", least=0) = None,
    yes: YesOpt = False,
    dry_run: DryRunOpt = False,
    bank: BankOpt = None,
) -> None:  # fmt: skip
    """Make the bank smaller: what was of use seldom, or long ago, goes first. Prints the ids that went."""
    if keep is None and mb is None:
        raise TTOMError("say how much stays", "give --keep N, or --mb N")
    store = opened(bank)
    doomed = surplus(store.entries(), inf if keep is None else keep, inf if mb is None else mb * 1e6)
    if _agreed("remove", doomed, yes, dry_run):
        store.delete([entry.id for entry in doomed])
        print("\n".join(entry.id for entry in doomed))


@takes(Choice)
def merge(
    ids: IdsArg = None,
    similarity: number("similarity", "Without ids: the least likeness of scenes, objects and boxes.", least=0, most=1) = 0.95,
    yes: YesOpt = False,
    dry_run: DryRunOpt = False,
    bank: BankOpt = None,
    *,
    given: dict,
) -> None:  # fmt: skip
    """Make one entry of several: those named, or all that are alike among those that the options choose.

    The most used one stays. Its adapter becomes the mean of all, each by its similarity to it; their uses add up. Prints
    the ids that stay.
    """
    from ...memory import blend

    store, choice = opened(bank), fill(Choice, given)
    if ids and not choice.is_all:
        raise TTOMError("there are both ids and options that choose", "give one of them")
    if ids:
        named = each_once(store.find, ids)
        if len(named) < 2:
            raise TTOMError("one entry is not merged with itself", "give several ids")
        groups = [blend.together(store, named)]
    else:
        groups = list(blend.groups(store, choice.of(store.entries()), similarity))
    if not groups:
        return console.say(f"no entries are alike by {similarity:g}")
    doomed = [entry for group in groups for entry, _ in group.others]
    into = {entry.id: f"{group.kept.id}, {alike:.2f} alike" for group in groups for entry, alike in group.others}
    if _agreed("merge", doomed, yes, dry_run, lambda entry: f"into {into[entry.id]}"):
        for group in groups:
            print(blend.merge(store, group).id)


def update(
    id: IdArg,
    scene: Annotated[Optional[str], typer.Option(help="A new abstracted scene as the key.")] = None,
    optimise: Annotated[bool, typer.Option("--optimise", help="Optimise it further, on its own prompt.")] = False,
    consolidate: parameter("consolidate", "Consolidation iterations after that.") = None,
    seed: parameter("seed", "Of the noise for that; the entry's own if not given.") = None,
    out: file("--out", "-o", help="Keep the video that comes of it.") = None,
    overwrite: OverwriteOpt = False,
    bank: BankOpt = None,
) -> None:  # fmt: skip
    """Change an entry: its key, its adapter, or both. Prints its id."""
    store = opened(bank)
    entry = store.find(id)
    if scene is None and not optimise:
        raise TTOMError("nothing to update", "give --scene TEXT or --optimise")
    of_optimising = {"--consolidate": consolidate, "--seed": seed, "--out": out}
    idle = [name for name, value in of_optimising.items() if value is not None]
    if idle and not optimise:
        raise TTOMError(f"{idle[0]} is about optimising", "give --optimise as well")
    if scene is not None and not scene.strip():
        raise TTOMError("--scene is empty", "say what the scene is: without a key the entry is never found")
    if out:
        pattern = read_pattern(str(out))
        if not pattern.fixed:
            raise TTOMError(f"--out {out} is no file", "name the video, such as refined.mp4")
        refuse_existing(out, overwrite)
    if optimise:
        from ...generate import refine

        outcome = refine(store, entry, consolidate=consolidate, seed=seed, out=out, overwrite=overwrite)
        console.say(console.outcome_line(outcome))
        if outcome.trouble:
            raise outcome.trouble
        if outcome.check and not outcome.check.passed:
            raise TTOMError(f"the video does not pass, and the entry {entry.id} stays as it was", "try another --seed")
    if scene is not None:
        store.update(entry.id, scene=scene)
    print(entry.id)


def _agreed(verb: str, doomed: list, yes: bool, dry_run: bool, how=lambda entry: "") -> bool:
    """Whether to go on: what goes is listed, and a terminal is asked. Raises TTOMError where there is none to ask at."""
    listed = len(doomed) if dry_run else LISTED
    for record in doomed[:listed]:
        what = getattr(record, "prompt", None) or f"set aside: {record.reason}"
        said = " ".join(filter(None, [record.id, how(record), "", plain(what)]))
        console.say(f"{'would ' * dry_run}{verb} {console.escape(said)}")
    if len(doomed) > listed:
        console.say(f"and {len(doomed) - listed} more, which --dry-run lists")
    if not doomed:
        console.say(f"there is nothing to {verb}")
    if dry_run or not doomed:
        return False
    if yes:
        return True
    if not (sys.stdin and sys.stdin.isatty()):
        raise TTOMError(f"nothing was changed: there is no terminal to ask whether to {verb}", "say --yes")
    if not console.agreed("Go on?"):
        console.say(f"nothing was {verb}d")
        raise typer.Exit(1)
    return True
