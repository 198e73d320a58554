"""Studies run as the command line runs them."""

from pathlib import Path

from glotmix.studies import KINDS
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import run_study


def kind_of(name):
    return KINDS.find(name)()


def ran(kind, config, base, directory):
    """The page of a study of a kind."""
    return run_study(kind_of(kind), config, StudyDirectory(directory, Path(base))).report
