"""A list of what is wrong with a data set, gathered while it is read, so that all of it is told at once.

The surprising decision: lines of one file with the same trouble share an entry, or a missing column would fill pages.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice


class ErrorReport:
    """Places and what is the matter there; `noun` is what one of them is called."""

    def __init__(self, subject: str, noun: str = "problem") -> None:
        self.subject = subject
        self.noun = noun
        self.ways_out: set[str] = set()
        self.numbers: dict[tuple[str, str, str], list[int]] = {}  # (file, what, unit) -> lines or rows

    def __bool__(self) -> bool:
        return bool(self.numbers)

    def add(self, file: str | os.PathLike[str], what: str, number: int = 0, unit: str = "line") -> None:
        """`number` is the line, or whatever `unit` is, counted from 1; 0 stands for the file as a whole."""
        self.numbers.setdefault((os.fspath(file), what, unit), []).append(number)

    def of_whole_files(self) -> bool:
        return any(0 in numbers for numbers in self.numbers.values())

    def listing(self, most: int | None = None, most_numbers: int | None = None) -> str:
        count = sum(map(len, self.numbers.values()))
        lines = [f"{self.subject}: {count} {self.noun}{'s' * (count > 1)}.", *self._entries(most, most_numbers)]
        return "\n".join(lines).encode(errors="backslashreplace").decode()  # a file's name may hold unprintable bytes

    def _entries(self, most: int | None, most_numbers: int | None) -> Iterator[str]:
        for (file, what, unit), numbers in islice(self.numbers.items(), most):
            place = f"{file}:{numbers[0]}" if numbers[0] else file
            others = ", ".join(map(str, numbers[1:most_numbers]))
            unsaid = len(numbers) - most_numbers if most_numbers else 0
            same = f"{others} and {unsaid} more" if unsaid > 0 else others
            yield f"  {place}: {what}." + f" (The same at {unit} {same}.)" * bool(others)
        if most and len(self.numbers) > most:
            kinds = f" kinds of {self.noun}" * (self.noun == "problem")
            yield f"  ... and {len(self.numbers) - most} more{kinds}."

    def raise_if_any(self) -> None:
        if self:
            raise ValueError("\n".join([self.listing(most=20, most_numbers=3), *sorted(self.ways_out)]))
