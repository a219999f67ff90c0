"""The state of a session, told whenever it changes."""

import asyncio
from collections.abc import Callable

from stonechat_client.items import StateChanged
from stonechat_client.state import State

_UP = frozenset({State.CATCHING_UP, State.LIVE})


class Status:
    """`tell` is given every change, but no state twice in a row."""

    def __init__(self, tell: Callable[[StateChanged], None]) -> None:
        self._tell = tell
        self._up_since: float | None = None
        self.state = State.CONNECTING

    def set(self, state: State, why: str = "", retry_in: float | None = None) -> None:
        """The session is in this state now. A stream is up from CATCHING_UP to the next CONNECTING."""
        if state is State.CONNECTING:
            self._up_since = None
        elif state in _UP and self._up_since is None:
            self._up_since = asyncio.get_running_loop().time()
        if state is not self.state or state is State.OFFLINE:
            self.state = state
            self._tell(StateChanged(state, why, retry_in))

    @property
    def is_up(self) -> bool:
        """Whether the server has answered Hello on the stream that there is."""
        return self.state in _UP

    @property
    def was_up(self) -> bool:
        """Whether the stream that there is or was last has ever been up."""
        return self._up_since is not None

    def seconds_up(self) -> float:
        """How long the last stream has been up; 0 when it never was."""
        return 0.0 if self._up_since is None else asyncio.get_running_loop().time() - self._up_since
