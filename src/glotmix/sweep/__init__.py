"""A design becomes runs: jobs on an executor, each run a directory that is complete or is redone."""
