"""Every limit of size, depth, width and time that foreign material meets in `rewards`, in one place, with what it is for."""

from __future__ import annotations

MIB = 1 << 20

# -- SQL that a model wrote: rewards/sql ---------------------------------------------------------------------------------

SQL_STEPS = 10_000_000
"""SQLite's own steps of one statement. The limit that counts: the same statement always ends the same way."""

SQL_ROWS = 500
SQL_BYTES = 20_000
"""Rows and bytes of one result."""

SQL_PROCESSOR_SECONDS = 3.0
"""Of one statement; for what a few steps can take: `instr` of a long text, LIKE over many."""

SQL_WALL_SECONDS = 15.0
"""Of one statement: five times as long, so that a busy machine ends none that its processor time would not have ended."""

SQL_ROW_SECONDS = 12.0
"""Of all statements that judging one completion takes, its own and the reference's, on all copies of the database."""

SQL_HEAP_BYTES = 128 * MIB
"""What SQLite may hold in one process: sorters, materialised tables, texts, page caches."""

SQL_PROCESS_BYTES = 208 * MIB
"""What one process may take beyond what it has after its start."""

SQL_MAPPED_BYTES = 4 * MIB
"""Of a copy of a database, read where it lies; the rest of it is read page by page."""

SQL_TEXT_BYTES = 200_000
"""Of one text, blob or row. `instr` and `replace` take its square: 0.2 s at this length."""

SQL_STATEMENT_BYTES = 20_000
SQL_PROCESSES = 4
"""At most; never more than there are processors, and only as many as are busy at a time."""

SQL_START_SECONDS = 60.0
SQL_CONNECTIONS = 20
"""Databases, copies among them, that one process keeps open."""

SQL_PAGE_CACHE_KIB = 2048
"""Of one connection: all of them together leave most of the heap to the statement."""

SQL_COPIES_BYTES = 512 * MIB
"""Of the altered copies of databases that lie in the temporary folder."""

SQL_REMEMBERED_RESULTS = 8_192
SQL_REMEMBERED_BYTES = 64 * MIB

# -- What is written: rewards/writing/writable.py ------------------------------------------------------------------------------

WRITTEN_DEPTH = 200
"""Levels of a stored value; orjson writes 254, and a row adds a few."""

MESSAGE_CHARACTERS = 4_000
"""Of what a reward function says of one completion."""

PARTS = 500
PART_NAME_CHARACTERS = 200
"""Parts of one score, and characters of the name of one."""

# -- Plugins: rewards/host and rewards/plugins.py ----------------------------------------------------------------------

PLUGIN_START_SECONDS = 60.0
"""To import a plugin and have it register; not counted against the time limit of a completion."""

PLUGIN_STARTS = 2
"""Starts in a row that may fail; after that the process is not started again."""

PLUGIN_MEMORY_GIB = 4.0
"""Of the process of one reward function."""

PLUGIN_END_SECONDS = 3.0
"""For a plugin's processes to end once they are killed."""

PLUGIN_OUTPUT_BYTES = 2_000
"""Of what a plugin prints in one process; the rest is dropped, and a line says so."""

PLUGIN_FAULTS = 3
"""Rows whose `problems()` may fail or be late before the function is asked no more."""

PROBLEM_LINES = 20
PROBLEM_CHARACTERS = 400
"""Of what a function finds wrong with one row."""

OPTION_PROBLEMS = 20
"""Of one function that are told one by one."""

# -- Configs: grpo/config ----------------------------------------------------------------------------------------------

CONFIG_BYTES = MIB
CONFIG_NODES = 20_000
"""Keys and values of a file once its anchors are written out."""

CODE_CHARACTERS = 20_000
"""Characters of an answer in which Python is looked for."""

CODE_SECONDS = 2
"""Processor seconds of a model's Python and its tests."""

CODE_WALL_SECONDS = 30
"""Seconds by the clock after which its process is ended whatever it does: only one that sleeps gets so far."""

CODE_BYTES = 512 * MIB
"""Memory of that process."""

CONFIG_PLUGINS = 200
"""Plugins that one config names: each is imported in a process of its own first."""

CONFIG_CHAIN = 20
"""Files that extend one another."""

CONFIG_PROBLEMS = 25
"""Wrong keys that are told one by one."""

CONFIG_MOST: dict[str, float] = {
    "threads": 4_096,
    "grpo.max_steps": 10_000_000,
    "grpo.num_generations": 65_536,
    "grpo.prompts_per_step": 1_000_000,
    "grpo.max_completion_length": 10_000_000,
    "grpo.temperature": 1_000.0,
    "grpo.learning_rate": 1_000.0,
    "sft_warmup.max_steps": 100_000_000,
    "model.max_sequence_length": 100_000_000,
    "model.embedded.hidden_size": 65_536,
    "model.embedded.intermediate_size": 1_048_576,
    "model.embedded.layers": 1_000,
    "model.embedded.heads": 1_024,
    "model.embedded.vocabulary": 1_000_000,
    "data.shop.train_rows": 10_000_000,
    "data.shop.held_out_rows": 1_000_000,
    "data.shop.warmup_rows": 10_000_000,
    "rewards.timeout_seconds": 86_400.0,
    "rewards.memory_gib": 65_536.0,
}
"""Numbers beyond which a key can only be a slip: far above what anybody runs, far below what nothing can hold."""

REWARD_WEIGHT = 1e9
