"""Text with a note at the right of its first row, drawn by one widget: a conversation has hundreds of them."""

from textual.content import Content
from textual.css.styles import RulesMap
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions, Visual

_GAP = 1


class Beside(Visual):
    """`text` wraps in what `note`, which is one row, leaves of the width."""

    def __init__(self, text: Content, note: Content) -> None:
        self.text = text
        self._note = note

    def render_strips(self, width: int, height: int | None, style: Style, options: RenderOptions) -> list[Strip]:
        left = self._left(width)
        strips = self.text.render_strips(left, height, style, options)
        aside = RenderOptions(options.get_style, options.rules)
        note = self._note.render_strips(self._note.cell_length, 1, style, aside)
        base = style.rich_style
        rows = [strip.adjust_cell_length(left + _GAP, base) for strip in strips]
        if rows and note:
            rows[0] = Strip.join([rows[0], note[0]])
        return [row.adjust_cell_length(width, base) for row in rows]

    def get_optimal_width(self, rules: RulesMap, container_width: int) -> int:
        return self.text.get_optimal_width(rules, container_width) + _GAP + self._note.cell_length

    def get_height(self, rules: RulesMap, width: int) -> int:
        return self.text.get_height(rules, self._left(width))

    def _left(self, width: int) -> int:
        return max(1, width - _GAP - self._note.cell_length)
