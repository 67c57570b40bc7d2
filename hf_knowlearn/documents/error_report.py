"""`ErrorReport` collects the problems that occur while data are read. One error then lists all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

from hf_knowlearn.counts import number_of


class ErrorReport:
    """A list of problems with their places. Rows of one file that have the same problem share an entry.

    Args:
        subject: the data that the problems belong to, in words. The report begins with these words.
        noun: "problem" or "warning". The report counts its entries with this word.

    Attributes:
        entries: the numbers of the lines or rows, by file and message. The number 0 is the whole file.
        fixes: sentences at the end of the report that explain how to continue despite the problems.

    Example:
        >>> problems = ErrorReport("The documents at rows.csv")
        >>> problems.add("rows.csv", "text is empty", 2)
        >>> problems.add("rows.csv", "text is empty", 7)
        >>> print(problems.listing())
        The documents at rows.csv: 2 problems.
          rows.csv:2: text is empty. (Also at 7.)
    """

    def __init__(self, subject: str, noun: str = "problem") -> None:
        self.subject = subject
        self.noun = noun
        self.fixes: set[str] = set()
        self.entries: dict[tuple[str, str], list[int]] = {}

    def __bool__(self) -> bool:
        return bool(self.entries)

    def add(self, file: str | os.PathLike[str], message: str, number: int = 0) -> None:
        """Add a problem at line or row `number`, counted from 1. The number 0 means the file as a whole."""
        self.entries.setdefault((os.fspath(file), message.rstrip(".")), []).append(number)

    def has_whole_files(self) -> bool:
        """Return whether a problem concerns a whole file. Skipping rows cannot avoid such a problem."""
        return any(0 in numbers for numbers in self.entries.values())

    def listing(self, max_entries: int | None = None, max_numbers: int | None = None) -> str:
        """Return the report as text, with at most `max_entries` entries and `max_numbers` numbers per entry."""
        count = sum(map(len, self.entries.values()))
        heading = f"{self.subject}: {number_of(count, self.noun)}."
        lines = "\n".join([heading, *self._lines(max_entries, max_numbers)])
        return lines.encode(errors="backslashreplace").decode()  # Why: file names may contain unprintable bytes.

    def _lines(self, max_entries: int | None, max_numbers: int | None) -> Iterator[str]:
        for (file, message), numbers in islice(self.entries.items(), max_entries):
            place = f"{file}:{numbers[0]}" if numbers[0] else file
            others = ", ".join(map(str, numbers[1:max_numbers]))
            if max_numbers and len(numbers) > max_numbers:
                others += f" and {len(numbers) - max_numbers} more"
            yield f"  {place}: {message}." + (f" (Also at {others}.)" if others else "")
        if max_entries and len(self.entries) > max_entries:
            more = number_of(len(self.entries) - max_entries, "more entry", "more entries")
            yield f"  ... and {more}."

    def raise_if_any(self) -> None:
        """Raise ValueError with the report if there are problems."""
        if self:
            raise ValueError("\n".join([self.listing(max_entries=20, max_numbers=3), *sorted(self.fixes)]))
