# SPDX-License-Identifier: MIT
"""Any server with the chat completions API and tools, such as a local model's, as the service of the conversation."""
