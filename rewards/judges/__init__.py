"""What judges share: the request, its patience, and the cache of verdicts."""
