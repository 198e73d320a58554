"""Post-training: how many fine-tuning samples of which languages a task needs, and which unseen ones come along."""
