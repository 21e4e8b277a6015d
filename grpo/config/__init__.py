"""The run's settings: their sections, and how a YAML file, a profile and --set become one RunConfig."""
