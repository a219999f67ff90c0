"""For each kind of rule: values that break it, and values that just keep it."""

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from stonechat_conformance.generated.walk import Rule

Values = Callable[[Rule, Any], Iterator[Any]]
"""The rule and a good value of its field (of an item, where it is about items) → values to try."""

_LONGER_THAN_ANY = 1000


def _too_many_bytes(rule: Rule, good: Any) -> Iterator[str]:
    yield "a" * (rule.value + 1)
    yield "é" * (rule.value // 2 + 1)  # fewer letters than bytes are allowed


def _most_bytes(rule: Rule, good: Any) -> Iterator[str]:
    yield "a" * rule.value
    if rule.value % 2 == 0:
        yield "é" * (rule.value // 2)


def longest(good: str, fits: Callable[[str], bool]) -> str:
    """The good value with its last letter repeated as often as fits."""
    longest = good
    while fits(longer := longest + (good[-1:] or "a")) and len(longest) < _LONGER_THAN_ANY:
        longest = longer
    return longest


def _not_of_pattern(rule: Rule, good: Any) -> Iterator[str]:
    # What regular expressions are known to let through: a line feed behind, other letters, other cases, other digits.
    good = good or "a"
    yield from (
        "",
        f"{good}\n",
        f"{good} ",
        f" {good}",
        f"{good}~",
        f"{good}é",
        f"\n{good}",
        good.upper(),
        f"{good}\u0661",
    )
    yield good + (good[-1] * _LONGER_THAN_ANY)


BREAKING: dict[str, Values] = {
    "string.min_bytes": lambda rule, good: iter(["a" * (rule.value - 1)]),
    "string.max_bytes": _too_many_bytes,
    "string.min_len": lambda rule, good: iter(["a" * (rule.value - 1), "é" * (rule.value - 1)]),
    "string.max_len": lambda rule, good: iter(["a" * (rule.value + 1), "é" * (rule.value + 1)]),
    "string.pattern": _not_of_pattern,
    "string.in": lambda rule, good: iter([good.upper(), f"{good}x", f"{good}\n", ""]),
    "uint32.lte": lambda rule, good: iter([rule.value + 1, 2**32 - 1]),
    "uint32.gte": lambda rule, good: iter([rule.value - 1]),
    "uint64.lte": lambda rule, good: iter([rule.value + 1, 2**64 - 1]),
    "uint64.gte": lambda rule, good: iter([rule.value - 1]),
    "enum.defined_only": lambda rule, good: iter([max(_numbers(rule.leaf)) + 1, 2**31 - 1]),
    "enum.not_in": lambda rule, good: iter(rule.value),
    "repeated.min_items": lambda rule, good: iter([[good] * (rule.value - 1)]),
    "repeated.max_items": lambda rule, good: iter([_different(rule, good, rule.value + 1)]),
    "repeated.unique": lambda rule, good: iter([[good, good]]),
    "required": lambda rule, good: iter([None]),  # of a oneof: no field of it
}
"""What to try to break a rule. That it breaks just this one is checked by protovalidate before it is sent."""

LIMITS: dict[str, Values | str] = {
    "string.min_bytes": lambda rule, good: iter(["a" * rule.value]),
    "string.max_bytes": _most_bytes,
    "string.min_len": lambda rule, good: iter(["a" * rule.value, "é" * rule.value]),
    "string.max_len": lambda rule, good: iter(["a" * rule.value, "é" * rule.value]),
    "string.pattern": lambda rule, good: iter([good]),  # made as long as fits by who tries it
    "string.in": lambda rule, good: iter(rule.value),
    "uint32.lte": lambda rule, good: iter([rule.value]),
    "uint32.gte": lambda rule, good: iter([rule.value]),
    "uint64.lte": lambda rule, good: iter([rule.value]),
    "uint64.gte": lambda rule, good: iter([rule.value]),
    "enum.defined_only": lambda rule, good: iter([max(_numbers(rule.leaf))]),
    "enum.not_in": "what is defined and not in the list is tried for defined_only",
    "repeated.min_items": lambda rule, good: iter([[good] * rule.value]),
    "repeated.max_items": lambda rule, good: iter([_different(rule, good, rule.value)]),
    "repeated.unique": "a list without doubles is every other good request",
    "required": "a oneof that is set is every other good request",
}
"""What just keeps a rule, or why there is nothing to try."""

NAMES: dict[str, str] = {
    **dict.fromkeys(
        ("to", "conversation_id", "message_id", "last_message_id", "after_message_id", "page_token"),
        "it names something: the longest one names nothing that exists, and may be refused for that",
    ),
    **dict.fromkeys(("member_ids", "user_ids"), "they name users: as many as are allowed would have to exist"),
    **dict.fromkeys(("group_id", "user_id"), "it names something: the largest number is nobody's"),
}
"""Fields whose limits are not tried, and why."""


def _numbers(field: FieldDescriptor) -> list[int]:
    return [value.number for value in field.enum_type.values] if field.enum_type else []


def _different(rule: Rule, good: Any, count: int) -> list[Any]:
    """So many items: messages alike, users by different numbers."""
    if rule.leaf.message_type:
        return [good] * count
    return [f"{good[:1]}{number}" for number in range(1, count + 1)]
