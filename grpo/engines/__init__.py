"""The engines of a run: what loads the policy, writes its completions and computes its steps.

Each engine is one file with one class. It is chosen by `model.engine` before torch is imported, because unsloth must be
imported before everything it patches.
"""
