"""Whether a send was answered with the place where its message stands."""

from collections import OrderedDict

from stonechat_client.problems import Problem, ProblemKind

_REMEMBERED = 1000


class Answers:
    """Remembers the places of the newest own messages, as answers and events say them."""

    def __init__(self) -> None:
        self._places: OrderedDict[tuple[str, str], int] = OrderedDict()

    def note(self, conversation_id: str, client_message_id: str, seq: int) -> Problem | None:
        """An answer or an event says that the message stands there."""
        if not client_message_id:
            return None
        before = self._places.setdefault((conversation_id, client_message_id), seq)
        if len(self._places) > _REMEMBERED:
            self._places.popitem(last=False)
        if before == seq:
            return None
        text = f"{client_message_id} stands in {conversation_id} at {before} and at {seq}"
        return Problem(ProblemKind.ANSWER, text, conversation_id, seq)
