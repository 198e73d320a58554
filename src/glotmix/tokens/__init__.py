"""Text as token ids on disk: a tokenizer, memory-mapped shards, and what the tokenizer costs each language."""
