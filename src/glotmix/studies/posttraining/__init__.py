"""Post-training: how many fine-tuning samples of which languages a task needs."""
