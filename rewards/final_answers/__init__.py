"""Final answers of explanations: where they stand, and what their numbers, units, formulas and lists mean."""
