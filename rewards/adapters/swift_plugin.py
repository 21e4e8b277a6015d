"""The file that ms-swift's `--external_plugins` loads."""

from rewards.adapters.swift import register

register()
