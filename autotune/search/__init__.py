# SPDX-License-Identifier: MIT
"""Search by meaning over short texts, offline: words by SQLite's FTS5, and word vectors with the extra `search`."""
