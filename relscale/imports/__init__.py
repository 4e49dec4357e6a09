"""Your own database: files or SQL tables to a RelBench 3 folder with tasks, and a report."""
