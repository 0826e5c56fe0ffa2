# SPDX-License-Identifier: MIT
"""The layer between a session and its listener.

What always holds here:
- an event is redacted before the listener gets it;
- a listener that fails does not end the session: its failure is reported as a Problem when the session is over;
- the finished session and the logs of schedulers are kept, whatever happens later.
"""

from __future__ import annotations

from autotune.errors import AutotuneError
from autotune.events import Event, Finished, Listener, Notice, Problem
from autotune.records import Session
from autotune.secrecy import event_without_secrets
from autotune.views.logs import SchedulerLogs


class Recorder:
    """Passes events on to the listener. `session` and `error` are those of Finished: the result, and what ended the
    session early or failed after it."""

    def __init__(self, listener: Listener) -> None:
        self.session: Session | None = None
        self.error: BaseException | None = None
        self._listener = listener
        self._failed: Exception | None = None
        self._logs = SchedulerLogs(self._pass)

    def __call__(self, event: Event) -> None:
        event = event_without_secrets(event)
        if isinstance(event, Finished):
            self.session, self.error = event.session, event.error
        self._logs(event)
        self._pass(event)

    def notice(self, text: str) -> None:
        """Report an action before or after the session."""
        self(Notice(text))

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
