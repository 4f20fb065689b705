"""The rules applied to a configuration, one after the other."""

from collections.abc import Sequence
from typing import Any

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.foreign_names import answer_to
from hrdet_cli.specs.mmdetection.account import Account, Applied, section_of
from hrdet_cli.specs.mmdetection.entries import Path
from hrdet_cli.specs.mmdetection.known_config import KnownConfig
from hrdet_cli.specs.mmdetection.rules import (
    UNSET,
    Group,
    NoCounterpartError,
    OtherNetworkError,
    Rule,
)
from hrdet_cli.specs.yaml_text import shown

_SAME = "the same in hrdet"
_UNKNOWN = "hrdet has nothing by this name"


def apply_rules(groups: Sequence[Group], known: KnownConfig) -> Applied:
    """Apply every rule.

    Args:
        groups: Of several that know a key, the first one has it.
        known: The configuration.

    Raises:
        SpecError: The network is one that hrdet has not; names every reason.
    """
    account = Account(known)
    for group in groups:
        _apply_group(group, account)
    _refuse_unknown_types(groups, account)
    if account.problems:
        raise SpecError(account.problems)
    for path in account.remaining():
        taken = account.take([path])
        name = next((part for part in reversed(path) if not part.isdigit()), path[-1])
        account.record(taken, "no counterpart", why=answer_to(name) or _UNKNOWN)
    order = {entry.written: place for place, entry in enumerate(known.entries.values())}
    account.applied.outcomes.sort(key=lambda outcome: order[outcome.leaves[0]])
    return account.applied


def _apply_group(group: Group, account: Account) -> None:
    slots = account.known.find(tuple(group.slot.split("."))) if group.slot else [((), {})]
    if not slots and (group.even_missing is None or account.known.get(group.even_missing) is None):
        return
    kinds = {_type_of(value, group) for _, value in slots} or {group.assumed}
    if group.types and (len(kinds) > 1 or kinds.isdisjoint(group.types)):
        return
    if group.types:
        taken = account.take([(*path, "type") for path, _ in slots])
        account.record(taken, "taken", ours=group.gives, why=_SAME)
    account.applied.values.update(group.gives)
    if not slots:
        account.applied.implied.update(group.gives)
    for rule in group.rules:
        _apply_rule(rule, [path for path, _ in slots], account)


def _type_of(value: Any, group: Group) -> Any:
    return value.get("type", group.assumed) if isinstance(value, dict) else group.assumed


def _apply_rule(rule: Rule, slots: Sequence[Path], account: Account) -> None:
    """Convert what a rule finds, and account for it; what a ``*`` stands for one by one."""
    if "*" in rule.key:
        for slot in slots:
            for path, value in account.known.find((*slot, *rule.key.split("."))):
                _convert(rule, [[(path, value)]], account, slot=".".join(slot))
        return
    found = [
        [item for slot in slots for item in account.known.find((*slot, *key.split(".")))] for key in rule.keys
    ]
    if any(found) or rule.absent is not UNSET:
        _convert(rule, found, account, slot=".".join(slots[0] if slots else ()))


def _convert(rule: Rule, found: Sequence[Sequence[tuple[Path, Any]]], account: Account, *, slot: str) -> None:
    taken = account.take([path for items in found for path, _ in items])
    try:
        values = [_value_of(rule, [value for _, value in items]) for items in found]
        ours = rule.convert(*values, known=account.known) if rule.sees else rule.convert(*values)
        if ours is not UNSET and rule.target is not None:
            account.set(rule.target, ours, is_given=any(found))
    except NoCounterpartError as error:
        is_settled = rule.target is None and any(found) and not taken  # other rules had all below the key
        if isinstance(error, OtherNetworkError) and not is_settled:
            _refuse(f"{_where(rule, found, account, slot=slot)}: {error}", account)
        account.record(taken, "no counterpart", why=str(error))
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
        where = _where(rule, found, account, slot=slot)
        raise SpecError([f"{where}: is not as mmdetection writes it ({type(error).__name__})"]) from error
    else:
        if ours is UNSET or rule.target is None:
            account.record(taken, "default", why=rule.why)
        else:
            account.record(taken, "taken", ours={rule.target: ours}, why=rule.why)


def _where(rule: Rule, found: Sequence[Sequence[tuple[Path, Any]]], account: Account, *, slot: str) -> str:
    """What a rule looked at, as it is written; where nothing is, the keys that are missing."""
    nodes = [path for items in found for path, _ in items]
    entries = [
        entry for path, entry in account.known.entries.items() if any(path[: len(n)] == n for n in nodes)
    ]
    if len(entries) == 1:
        return f"{entries[0].written} {shown(entries[0].value)}"
    if entries:
        return section_of([entry.written for entry in entries])
    return f"{slot} without {' and '.join(rule.keys)}".lstrip()


def _refuse(problem: str, account: Account) -> None:
    """Tell a problem, once where several of our keys follow from what has it."""
    if problem not in account.problems:
        account.problems.append(problem)


def _value_of(rule: Rule, values: Sequence[Any]) -> Any:
    """What a conversion gets for one key."""
    if not values:
        return None if rule.absent is UNSET else rule.absent
    return list(values) if rule.each_stage else _alike(values)


def _alike(values: Sequence[Any]) -> Any:
    if any(value != values[0] for value in values):
        raise NoCounterpartError("differs from stage to stage, and hrdet has one for all stages")
    return values[0]


def _refuse_unknown_types(groups: Sequence[Group], account: Account) -> None:
    """Parts of a type that no group knows: another network, or nothing that hrdet has."""
    types_by_slot: dict[str, list[str]] = {}
    for group in groups:
        if group.types:
            types_by_slot.setdefault(group.slot, []).extend(group.types)
    networks = {group.slot for group in groups if group.is_network}
    for slot, types in types_by_slot.items():
        for path, value in account.known.find(tuple(slot.split("."))):
            kind = value.get("type") if isinstance(value, dict) else None
            if kind is None or kind in types:
                continue
            why = f"hrdet has no {kind}; it has {', '.join(dict.fromkeys(types))}"
            taken = account.take([path])
            account.record(taken, "no counterpart", why=why)
            if slot in networks and taken:
                written = account.known.entries[(*path, "type")].written.rpartition(".")[0]
                account.problems.append(f"{written}: {why}")
