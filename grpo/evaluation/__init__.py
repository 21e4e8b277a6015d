"""Any model on any rows: its answers, every metric of them, what was wrong, and a record that a comparison reads."""
