# SPDX-License-Identifier: MIT
"""Events of a session on their way to its listener; warnings are kept for the record."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from autotune.events import Dropped, Event, Listener, Warned
from autotune.verdict.standing import Standing


class Reporter:
    """Passes events on; reports each warning and each dropped candidate only once."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._dropped: set[str] = set()
        self.warnings: list[str] = []

    def report(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.warn(event.text)
        else:
            self._listener(event)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
            self._listener(Warned(text))

    def report_drops(self, standings: Iterable[Standing], note_of: Callable[[Standing], str]) -> None:
        for standing in standings:
            if standing.dropped is not None and standing.key not in self._dropped:
                self._dropped.add(standing.key)
                self.report(Dropped(standing.key, note_of(standing)))
