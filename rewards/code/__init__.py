"""Python that a model wrote: what of it may run, and the process that runs it."""
