"""Adapters that become one: the paper's update of the memory by similarity (section 3.3).

The reference code averages tensor by tensor, (old + s * new) / (1 + s) with s the similarity. That is right for
adapters of one origin. Those that were begun from different noise have no common basis, and the means of their factors
multiply to the mean of neither. So what they do to a layer, B A, is averaged here, and cut to the rank again; where the
origin is one, and A the same, the two agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import BankError
from .adapters import is_move, shapes
from .entry import Entry
from .keys import Match
from .search import ANY, candidates

if TYPE_CHECKING:
    from .adapters import State
    from .bank import MemoryBank


@dataclass(frozen=True)
class Alike:
    """Entries that could be one: the one that stays, and those that go into it, each with its similarity to it."""

    kept: Entry
    others: list[tuple[Entry, float]]


def groups(bank: MemoryBank, entries: list[Entry], least: float) -> Iterator[Alike]:
    """Those of the entries that could be hits for each other, and are similar by `least`; the most used one stays.

    No entry is in two groups. Raises LayoutError for a layout that is none.
    """
    index, wanted, bound = bank.index(), {entry.id for entry in entries}, Match(least, least, least)
    for kept in _most_used_first(entries):
        if kept.id in wanted:
            wanted.remove(kept.id)
            found = index.matches(kept.checked_layout(), model=kept.model, guide=kept.guide, least=bound)
            others = [(entry, match.likeness()) for entry, match in found if entry.id in wanted]
            wanted -= {entry.id for entry, _ in others}
            if others:
                yield Alike(kept, others)


def together(bank: MemoryBank, entries: list[Entry]) -> Alike:
    """These entries, however similar they are. Raises BankError where they could never be hits for each other."""
    kept, *others = _most_used_first(entries)
    found = candidates(bank.index(), kept.checked_layout(), model=kept.model, guide=kept.guide, least=ANY)
    beside = {candidate.entry.id: candidate for candidate in found}
    for entry in others:
        if entry.id not in beside or beside[entry.id].reasons:
            reason = beside[entry.id].reasons[0] if entry.id in beside else "its layout is damaged"
            raise BankError(f"{entry.id} cannot be merged into {kept.id}: {reason}")
    return Alike(kept, [(entry, beside[entry.id].match.likeness()) for entry in others])


def merge(bank: MemoryBank, alike: Alike) -> Entry:
    """Put the entries' mean, weighted by their similarity, in the place of all. Raises BankError; all stay then.

    What is known of the learning, its check too, is that of the one that is kept; what is known of uses is of all.
    """
    entries = [alike.kept, *(entry for entry, _ in alike.others)]
    weights = [1.0, *(similarity for _, similarity in alike.others)]
    blended = mean([bank.load(entry) for entry in entries], weights)
    consolidated = min(entry.consolidated for entry in entries)
    return bank.update(alike.kept.id, blended, of=entries, consolidated=consolidated)


def mean(states: list[State], weights: list[float]) -> State:
    """The LoRA of the first one's rank that is nearest to the weighted mean of the products B A; the means of moves.

    Raises BankError where they are not of the same layers and sizes.
    """
    import torch

    sizes, *others = map(shapes, states)
    if any(other != sizes for other in others):
        raise BankError("the adapters are of different layers or sizes, and cannot be merged")
    share, result = [weight / sum(weights) for weight in weights], {}
    for name in filter(is_move, states[0]):
        moves = torch.stack([s * state[name].double() for s, state in zip(share, states, strict=True)])
        result[name] = moves.sum(0).to(states[0][name].dtype)
    for layer in sorted({name.rsplit(".lora_", 1)[0] for name in states[0].keys() - result.keys()}):
        name_a, name_b = f"{layer}.lora_A.weight", f"{layer}.lora_B.weight"
        rank = states[0][name_a].shape[0]
        all_b = torch.cat([s * state[name_b].double() for s, state in zip(share, states, strict=True)], dim=1)
        all_a = torch.cat([state[name_a].double() for state in states])
        # The product of thin matrices, through their triangular parts: never (out, in).
        q_b, r_b = torch.linalg.qr(all_b)
        q_a, r_a = torch.linalg.qr(all_a.T)
        u, s, v = torch.linalg.svd(r_b @ r_a.T)
        root = s[:rank].sqrt()
        a, b = root[:, None] * (v[:rank] @ q_a.T), (q_b @ u[:, :rank]) * root
        for name, tensor in ((name_a, a), (name_b, b)):
            whole = torch.zeros(sizes[name], dtype=torch.float64)  # thinner than the rank where a layer is
            whole[tuple(map(slice, tensor.shape))] = tensor
            result[name] = whole.to(states[0][name].dtype)
    return result


def _most_used_first(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda e: (-e.uses, e.created))
