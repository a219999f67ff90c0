"""The open conversation: whom it is with, and which messages were shown of it. Pure."""

from dataclasses import dataclass, field

_REMEMBERED = 1000


@dataclass(slots=True)
class Room:
    """`to` is what messages are sent to: the other user, or the group. Seqs are 0 while nothing was shown."""

    conversation_id: str
    to: str
    title: str
    newest_seq: int = 0
    """Everything up to here was shown, or is no message."""
    oldest: str = ""
    """The message id of the oldest message shown."""
    _shown: dict[int, tuple[str, bool]] = field(default_factory=dict)

    def shown(self, seq: int, message_id: str, own: bool) -> None:
        """A message was shown. The last thousand are remembered."""
        if not self._shown or seq < min(self._shown):
            self.oldest = message_id
        self._shown[seq] = (message_id, own)
        if len(self._shown) > _REMEMBERED:
            del self._shown[min(self._shown)]

    def message_id(self, seq: int | None, own: bool = False) -> str | None:
        """The id of a message that was shown; without a seq of the newest one, or of the newest own one."""
        if seq is None:
            seq = max((number for number, (_, mine) in self._shown.items() if mine or not own), default=0)
        return self._shown.get(seq, (None, False))[0]
