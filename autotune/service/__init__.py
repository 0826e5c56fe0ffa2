# SPDX-License-Identifier: MIT
"""The service on a machine that several people tune: a queue of sessions, and leases on schedulers (docs/DAEMON.md)."""
