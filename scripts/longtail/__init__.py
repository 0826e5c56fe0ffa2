# SPDX-License-Identifier: MIT
"""Batches with a long tail: many short jobs and a long one that starts last, as people run them.

The eight are those that the SchedCP paper (arXiv 2509.01245) measured its generated schedulers with, in code of our
own: compression, a test suite, checksums, git add, video, a group-by with a hot key, parsing of logs with a spike, and
a join with a product that everybody buys.
"""
