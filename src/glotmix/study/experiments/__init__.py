"""Experiments beside the main job: each a kind of study file with questions, stages and a report of its own."""

from glotmix.study.kind import Experiment as Experiment
from glotmix.study.kind import Price as Price
from glotmix.study.kind import find_experiment as find_experiment
from glotmix.study.kind import kinds as kinds
