# SPDX-License-Identifier: MIT
"""Schedules of a real run's tasks on machines that are not here: simulated, never measured."""
