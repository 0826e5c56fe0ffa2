# SPDX-License-Identifier: MIT
"""The user's directories, as texts, for what must start within milliseconds: `resources` has them as paths. Nothing is
imported here that Python does not need by itself."""

from __future__ import annotations

import os


def home() -> str:
    """Return the user's home: HOME, or what the account says where that is unset, empty or no absolute path, and would
    lead into whatever the current directory is. A user without an account has the root directory, as in a container."""
    given = os.environ.get("HOME", "")
    if os.path.isabs(given):
        return given
    import pwd  # seldom needed, and starting is slow under emulation

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return "/"


def cache() -> str:
    """Return the directory for what can be made again: kernels, compiled objects."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def state() -> str:
    """Return the directory for what was learned."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def data() -> str:
    """Return the directory for what was installed: scheduler programs."""
    return _xdg("XDG_DATA_HOME", ".local/share")


def _xdg(variable: str, fallback: str) -> str:
    """Return `$VARIABLE/autotune`, or the fallback below the home directory when it is unset or, against the
    specification, relative. Root keeps its files in its own home when sudo left it another user's (`sudo -E`), who
    could change what root then loads, and could not change what root had left there."""
    given = os.environ.get(variable, "")
    base = given if os.path.isabs(given) else os.path.join(home(), fallback)
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "0") != "0" and _owner(base) == os.environ["SUDO_UID"]:
        import pwd  # seldom needed, and starting is slow under emulation

        base = os.path.join(pwd.getpwuid(0).pw_dir, fallback)
    return os.path.join(base, "autotune")


def _owner(path: str) -> str:
    """Return the number of the user to whom a directory belongs, or would when it were made; empty when not known."""
    while True:
        try:
            return str(os.stat(path).st_uid)
        except FileNotFoundError:
            above = os.path.dirname(path.rstrip("/"))
            if above == path:
                return ""
            path = above
        except OSError:
            return ""
