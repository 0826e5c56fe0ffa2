# SPDX-License-Identifier: MIT
"""What a workload did: its tasks, how long each ran, waited and slept, and what that says about any schedule."""
