"""Many runs in one table: places, relative differences, blending voices, base against instruct: `python -m grpo.leaderboard`."""
