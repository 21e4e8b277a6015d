"""Every interval and test that stands beside a number."""
