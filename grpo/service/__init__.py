"""The training service: a queue of runs, an HTTP interface and a page over a folder of runs.

A run stays what `python -m grpo.run` makes of it, a folder written by a process of its own. The service starts, stops, resumes
and reads; it holds nothing that the folder does not.
"""
