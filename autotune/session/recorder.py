# SPDX-License-Identifier: MIT
"""The layer between a session and its listener.

What always holds here:
- an event is redacted before the listener gets it;
- a listener that fails does not end the session: its failure is reported as a Problem when the session is over;
- a run is in the knowledge store before the listener hears that it ended;
- the finished session and the logs of schedulers are kept, whatever happens later.
"""

from __future__ import annotations

from autotune.errors import AutotuneError
from autotune.events import Event, Finished, Listener, Notice, Problem, Unmeasured, Warned
from autotune.records import Session
from autotune.secrecy import event_without_secrets
from autotune.views.logs import SchedulerLogs


class Recorder:
    """Passes events on to the journal, when there is one, and to the listener. `session` and `error` are those of
    Finished: the result, and what ended the session early or failed after it. `unmeasured` is the session of Unmeasured
    instead."""

    def __init__(self, listener: Listener, journal: Listener | None = None) -> None:
        self.unmeasured: Session | None = None
        self.session: Session | None = None
        self.error: BaseException | None = None
        self._journal = journal
        self._listener = listener
        self._failed: Exception | None = None
        self._said: set[str] = set()
        self._logs = SchedulerLogs(self._pass)

    def __call__(self, event: Event) -> None:
        event = event_without_secrets(event)
        if isinstance(event, Finished):
            self.session, self.error = event.session, event.error
        elif isinstance(event, Unmeasured):
            self.unmeasured = event.session
        if self._journal is not None:
            self._journal(event)
        self._logs(event)
        self._pass(event)

    def notice(self, text: str) -> None:
        """Report an action before or after the session."""
        self(Notice(text))

    def about_knowledge(self, text: str) -> None:
        """Report what the knowledge store says of its file, once, however often it is opened."""
        if text in self._said:
            return
        self._said.add(text)
        over = self.session is not None or self.unmeasured is not None
        self(Problem("knowledge", AutotuneError(text, stage="history")) if over else Warned(text))

    def close(self) -> None:
        """Report the listener's own failure, once."""
        failed, self._failed = self._failed, None
        if failed is not None:
            self(Problem("listener", beside("some events could not be shown", failed)))
            self._failed = None

    def _pass(self, event: Event) -> None:
        try:
            self._listener(event)
        except Exception as error:
            self._failed = self._failed or error


def beside(what: str, error: BaseException) -> AutotuneError:
    """Return an error that does not end the session: ours as it is, any other as a bug."""
    if isinstance(error, AutotuneError):
        return error
    text = f"{what}: {type(error).__name__}: {error}"
    return AutotuneError(text, hint="this is a bug in autotune; the other results are not affected", stage="internal")
