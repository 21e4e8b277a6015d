"""The words that people read in a language of theirs: one catalogue for the report, the page, reasons and decisions."""
