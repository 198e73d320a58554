"""Experiments beside the main job: each a kind of study file with questions, stages and a report of its own."""

from glotmix.study.experiments.experiment import Experiment as Experiment
from glotmix.study.experiments.experiment import Price as Price
from glotmix.study.experiments.experiment import find_experiment as find_experiment
from glotmix.study.experiments.experiment import kinds as kinds
