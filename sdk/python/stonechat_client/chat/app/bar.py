"""The first row: who chats with whom, and the state of the connection in words and colour."""

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from stonechat_client.items import StateChanged
from stonechat_client.state import State

_COLOURS = {
    State.CONNECTING: "$text-warning",
    State.CATCHING_UP: "$text-warning",
    State.LIVE: "$text-success",
    State.OFFLINE: "$text-error",
    State.SIGNED_OUT: "$text-error",
    State.CLOSED: "$text-error",
}


def state_in_words(state: StateChanged, seconds_ago: float) -> str:
    """What a person is told of the connection, `seconds_ago` after it came to be so."""
    if state.state is State.OFFLINE and state.retry_in is not None:
        left = state.retry_in - seconds_ago
        return f"offline · next try in {left:.0f} s" if left >= 0.5 else "offline · trying now"
    return state.state.value + (" …" if state.state in (State.CONNECTING, State.CATCHING_UP) else "")


class Bar(Horizontal):
    """`show` replaces what it says."""

    def compose(self) -> ComposeResult:
        yield Static(id="who", markup=False)
        yield Static(id="state", markup=False)

    def show(self, who: str, state: StateChanged, seconds_ago: float, waiting: int) -> None:
        """`waiting` messages are not acknowledged."""
        self.query_one("#who", Static).update(
            Content.assemble(("● ", "$text-accent"), ("Stonechat", "bold"), f"  {who}")
        )
        parts: list[str | tuple[str, str]] = []
        if waiting:
            parts.append((f"{waiting} waiting  ", "$text-warning"))
        parts.append((f"● {state_in_words(state, seconds_ago)}", f"bold {_COLOURS[state.state]}"))
        self.query_one("#state", Static).update(Content.assemble(*parts))
