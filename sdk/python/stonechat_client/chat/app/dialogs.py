"""Small screens over the others: ask for text, choose one of several, read something. Escape leaves each."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

_LEAVE = Binding("escape", "dismiss(None)", "Back")


class Ask(ModalScreen[list[str] | None]):
    """Asks for one or more lines; the result has them in order, or is None. `fields` are labels and what stands in them."""

    BINDINGS: ClassVar[list[BindingType]] = [_LEAVE]

    def __init__(self, title: str, fields: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self._fields = fields

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="title")
            for label, hint in self._fields:
                yield Static(Content(label), classes="label")
                yield Input(placeholder=hint)
            yield Static(Content("Enter goes on, Esc leaves"), classes="hint")

    @on(Input.Submitted)
    def _next(self, event: Input.Submitted) -> None:
        inputs = list(self.query(Input))
        if event.input is not inputs[-1]:
            inputs[inputs.index(event.input) + 1].focus()
            return
        self.dismiss([one.value.strip() for one in inputs])


class Choose(ModalScreen[str | None]):
    """Asks for one of several; the result is the first of its pair, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [_LEAVE]

    def __init__(self, title: str, choices: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self._choices = choices

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="title")
            yield OptionList(*[Option(Content(label), id=key) for key, label in self._choices], markup=False)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)


class Tell(ModalScreen[None]):
    """Shows something to read: rows of one or two columns."""

    BINDINGS: ClassVar[list[BindingType]] = [_LEAVE, Binding("enter,f1,q", "dismiss(None)", show=False)]

    def __init__(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self._rows = rows

    def compose(self) -> ComposeResult:
        width = max((len(left) + 2 for left, right in self._rows if left and right), default=0)
        with VerticalScroll(classes="dialog -wide"):
            yield Static(Content(self._title), classes="title")
            for left, right in self._rows:
                if not right:
                    yield Static(Content(left), classes="label")
                    continue
                with Horizontal(classes="row"):
                    yield Static(Content(f"{left:<{width}}"), classes="left")
                    yield Static(Content(right), classes="right")
            yield Static(Content("Esc leaves"), classes="hint")
