"""The main job: which mixture of languages to train on."""
