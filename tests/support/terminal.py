"""A terminal small enough to read: the control sequences the status line uses, and plain text, on a grid."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(r"\x1b(?:\[(?P<numbers>[0-9;]*)(?P<final>[A-Za-z])|(?P<single>[78D]))|(?P<plain>[^\x1b])")


class Terminal:
    """Rows count from 0 here, from 1 in the sequences. A sequence that is not known is an error."""

    def __init__(self, columns: int = 40, lines: int = 10) -> None:
        self.columns, self.lines = columns, lines
        self.grid = [""] * lines
        self.scrolled_off: list[str] = []
        self.row = self.column = 0
        self.saved = (0, 0)
        self.margins = (0, lines - 1)

    def write(self, text: str) -> None:
        position = 0
        while position < len(text):
            match = _SEQUENCE.match(text, position)
            assert match, f"a sequence this terminal does not know: {text[position : position + 10]!r}"
            position = match.end()
            if match["plain"]:
                self._plain(match["plain"])
            elif match["single"]:
                self._single(match["single"])
            else:
                self._control(match["final"], [int(number) for number in match["numbers"].split(";") if number])

    def screen(self) -> list[str]:
        """Everything ever shown that is not cleared, without trailing blanks and empty last rows."""
        rows = [row.rstrip() for row in (*self.scrolled_off, *self.grid)]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def _plain(self, character: str) -> None:
        if character == "\n":
            self._index()
            self.column = 0
        elif character == "\r":
            self.column = 0
        else:
            row = self.grid[self.row].ljust(self.column)
            self.grid[self.row] = row[: self.column] + character + row[self.column + 1 :]
            self.column += 1
            assert self.column < self.columns, "this terminal does not wrap"

    def _index(self) -> None:
        top, bottom = self.margins
        if self.row == bottom:
            gone = self.grid.pop(top)
            self.grid.insert(bottom, "")
            if top == 0:
                self.scrolled_off.append(gone)
        else:
            self.row = min(self.row + 1, self.lines - 1)

    def _single(self, what: str) -> None:
        if what == "7":
            self.saved = (self.row, self.column)
        elif what == "8":
            self.row, self.column = self.saved
        else:
            self._index()

    def _control(self, final: str, numbers: list[int]) -> None:
        if final == "r":
            top, bottom = numbers or (1, self.lines)
            self.margins = (top - 1, bottom - 1)
            self.row = self.column = 0
        elif final == "H":
            self.row, self.column = numbers[0] - 1, numbers[1] - 1
        elif final == "A":
            self.row = max(self.row - numbers[0], 0)
        elif final == "K":
            assert numbers == [2]
            self.grid[self.row] = ""
        else:
            assert final == "m", f"a sequence this terminal does not know: {final}"
