"""What commands print: one frame for all of them, amounts as a person says them, foreign text made harmless."""
