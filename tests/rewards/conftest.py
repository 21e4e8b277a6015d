"""The example plugin is a distribution of its own: its tests run where it is installed, in test_plugin_example.py."""

collect_ignore = ["plugin_example"]
