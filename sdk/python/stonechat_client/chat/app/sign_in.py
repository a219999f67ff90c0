"""The first screen of a device that is not signed in."""

from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from stonechat_client.chat.account import NotSignedIn

Attempt = Callable[[str, bool], Awaitable[None]]
"""Sign in with a password; create the account when the second is true. Raises NotSignedIn."""


class SignIn(ModalScreen[None]):
    """Asks for the password until `attempt` succeeds. A `password` is tried first; `problem` is shown at the start."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+q", "app.quit", "Quit", show=False)]

    def __init__(
        self, username: str, server: str, attempt: Attempt, password: str, register: bool, problem: str
    ) -> None:
        super().__init__()
        self._username = username
        self._server = server
        self._attempt = attempt
        self._password = password
        self._register = register
        self._problem = problem

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(f"Sign in as {self._username}"), classes="title")
            yield Static(Content(self._server), classes="hint")
            yield Input(placeholder="password", password=True, id="password")
            yield Static(Content(self._problem), id="problem", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Sign in", variant="primary", id="sign-in")
                yield Button("Create the account", id="register")
            yield Static(Content("Enter signs in, Ctrl-Q leaves"), classes="hint")

    def on_mount(self) -> None:
        self.query_one("#register").display = False
        if self._password:
            self._try(self._password, self._register)

    @on(Input.Submitted)
    @on(Button.Pressed, "#sign-in")
    def _sign_in(self) -> None:
        self._try(self.query_one(Input).value, self._register)

    @on(Button.Pressed, "#register")
    def _create(self) -> None:
        self._try(self.query_one(Input).value or self._password, True)

    @work(exclusive=True)
    async def _try(self, password: str, register: bool) -> None:
        if not password:
            self._show("type your password first", False)
            return
        self._show("signing in …", False)
        try:
            await self._attempt(password, register)
        except NotSignedIn as error:
            self._password = password
            self._show(self._advice(error), error.may_register)
            self.query_one(Input).focus()
            return
        self.dismiss(None)

    def _advice(self, error: NotSignedIn) -> str:
        if not error.may_register:
            return str(error)
        return f"{error}. Try another password, or create the account {self._username} with this one."

    def _show(self, problem: str, may_register: bool) -> None:
        self.query_one("#problem", Static).update(Content(problem))
        self.query_one("#register").display = may_register
