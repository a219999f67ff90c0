"""What F1 shows."""

from collections.abc import Sequence

from stonechat_client.chat.commands import COMMANDS

_KEYS = {
    "Enter": "send; Shift-Enter, Alt-Enter or Ctrl-J begins a new row",
    "Ctrl-K, Ctrl-P": "all that can be done, and every conversation",
    "Ctrl-B": "to the conversations and back",
    "Alt-Up, Alt-Down": "the conversation above or below",
    "Esc": "to the messages: there the arrows choose one, Enter or a click shows what can be done",
    "PageUp, PageDown": "scroll; what is older is read when the first row is in sight",
    "Up, Down": "what you wrote before",
    "Ctrl-Q": "quit",
}
_MARKS = {"○": "waits to be sent", "✓": "stored: it is not lost any more", "✓✓": "read", "✗": "refused"}


def help_rows() -> Sequence[tuple[str, str]]:
    """Two columns; a row with one is a heading."""
    return [
        ("Keys", ""),
        *_KEYS.items(),
        ("Your messages", ""),
        *_MARKS.items(),
        ("Commands, for those who like to type", ""),
        *COMMANDS.items(),
    ]
