"""Counting: which event of which conversation comes next, and where something is missing. Pure; no I/O.

A conversation is either *live* (the next event that is pushed is handed over) or *missing* something (what is pushed only says
how far to pull, because a pulled answer holds it too).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_KNOWN = 4096
_INBOX = "inbox."
_DIRECT = "d."
Told = Callable[[str, int], None]
"""Is given a conversation and a seq."""


@dataclass(slots=True)
class _Position:
    handed: int
    """The newest seq that was handed over, without holes from where the session began."""
    target: int = 0
    """Pull up to here, when it is above `handed`."""


class Positions:
    """How far each conversation was handed over.

    It begins with what the program knows. Any other conversation begins where the session first hears of it: what came
    before is history. One that is new, though, begins where it is new to the user: a direct conversation at its first event,
    a group where the inbox says that the user joined. New is what comes up after `settle`; for a program that knows its inbox
    also what the server names before that, because it was not named when the program heard of all there was.
    `begun` is told where a conversation begins, `ended` where it ends.
    """

    def __init__(self, known: Mapping[str, int], begun: Told, ended: Told) -> None:
        self._positions = {conversation_id: _Position(seq) for conversation_id, seq in known.items()}
        self._begun = begun
        self._ended = ended
        self._behind: set[str] = set()
        self._has_inbox = any(name.startswith(_INBOX) for name in known)
        self._settled = False
        self._unplaced: set[str] = set()
        """Groups that are new and were named before the inbox was read, which says where they begin."""
        self._told_beyond: dict[str, int] = {}
        """Of groups that were left: up to where there are events beyond that, for who joins again."""

    def settle(self) -> None:
        """The server has named every conversation that there was."""
        self._settled = True

    def known(self) -> dict[str, int]:
        """What to say in Hello: at most 4,096 conversations, the inbox and those that moved last."""
        inboxes = [name for name in self._positions if name.startswith(_INBOX)]
        others = [name for name in reversed(self._positions) if not name.startswith(_INBOX)]
        return {name: self._positions[name].handed for name in (inboxes + others)[:MAX_KNOWN]}

    def was_handed(self, conversation_id: str, seq: int) -> bool:
        """Whether the event was handed over, or is history."""
        position = self._positions.get(conversation_id)
        return position is not None and seq <= position.handed

    def pushed(self, conversation_id: str, seq: int, room: bool) -> bool:
        """Whether a pushed event is to be handed over now, given that there is room for it: then call `handed`. If not, it
        was handed over before, or is missing."""
        position = self._at(conversation_id, seq - 1)
        # What is pulled comes after the inbox, which is pulled first.
        live = position.target <= position.handed and conversation_id not in self._unplaced
        if live and room and seq == position.handed + 1:
            return True
        self._target(conversation_id, position, seq)
        return False

    def handed(self, conversation_id: str, seq: int) -> None:
        """An event was handed over. Moves the conversation to the end of the order in which they moved."""
        position = self._positions.pop(conversation_id, None)
        if position is not None:  # else it was forgotten while the event waited
            position.handed = seq
            self._positions[conversation_id] = position
            self._unplaced.discard(conversation_id)
            if position.target <= seq:
                self._behind.discard(conversation_id)

    def exists(self, conversation_id: str, seq: int) -> None:
        """The conversation has events up to seq; what was not handed over is missing."""
        self._target(conversation_id, self._at(conversation_id, seq), seq)

    def joined(self, conversation_id: str, seq: int) -> None:
        """The user came into the conversation with the event seq: if it is new, it begins there."""
        position = self._positions.get(conversation_id)
        if position is not None and conversation_id in self._unplaced and seq <= position.handed:
            target = max(position.handed, position.target)
            self.forget(conversation_id)
            self._target(conversation_id, self._begin(conversation_id, seq - 1), target)
        elif position is None:
            self._begin(conversation_id, seq - 1)
        self._unplaced.discard(conversation_id)
        self.exists(conversation_id, max(seq, self._told_beyond.pop(conversation_id, 0)))

    def left(self, conversation_id: str, seq: int) -> None:
        """The user went out of the conversation with the event seq, the last one they get. The inbox may say so late: who was
        handed more has joined again since."""
        position = self._positions.get(conversation_id)
        if position is None or position.handed > seq:
            return
        if position.target > seq:
            self._told_beyond[conversation_id] = position.target
        self.forget(conversation_id)

    def forget(self, conversation_id: str) -> None:
        """The user is no longer part of it."""
        position = self._positions.pop(conversation_id, None)
        self._behind.discard(conversation_id)
        self._unplaced.discard(conversation_id)
        if position is not None:
            self._ended(conversation_id, position.handed)

    def missing(self) -> list[str]:
        """Conversations of which something is to be pulled; an inbox first, because it tells of others. A group that it will
        place waits until the server has named everything, the inbox included."""
        names = self._behind if self._settled else self._behind - self._unplaced
        return sorted(names, key=lambda name: (not name.startswith(_INBOX), name))

    @property
    def is_behind(self) -> bool:
        """Whether something is to be pulled."""
        return bool(self._behind)

    def next_missing(self, conversation_id: str) -> int | None:
        """The seq that is to be pulled next, or None when nothing is missing."""
        position = self._positions.get(conversation_id)
        return position.handed + 1 if position is not None and position.target > position.handed else None

    def nothing_there(self, conversation_id: str) -> None:
        """The server has no more events than were handed over, whatever was said: go on from here."""
        position = self._positions.get(conversation_id)
        if position is not None:
            position.target = position.handed
            self._behind.discard(conversation_id)

    def _at(self, conversation_id: str, first_heard: int) -> _Position:
        position = self._positions.get(conversation_id)
        if position is None:
            new, direct = self._settled or self._has_inbox, conversation_id.startswith(_DIRECT)
            position = self._begin(conversation_id, 0 if new and direct else first_heard)
            if new and not direct and not self._settled:
                self._unplaced.add(conversation_id)
        return position

    def _target(self, conversation_id: str, position: _Position, seq: int) -> None:
        position.target = max(position.target, seq)
        if position.target > position.handed:
            self._behind.add(conversation_id)

    def _begin(self, conversation_id: str, seq: int) -> _Position:
        position = self._positions[conversation_id] = _Position(seq)
        self._begun(conversation_id, seq)
        return position
