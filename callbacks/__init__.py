"""What is watched while a run goes on: scores per task, decisions, tracking."""
