"""One file a protocol: what it sends, as rows and completions, and how it wants to hear of the scores."""
