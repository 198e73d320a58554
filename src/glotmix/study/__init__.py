"""A study: corpus → tokens → design → proxies → measurements → transfer → laws → optimum → closed loop → report."""

from glotmix.study.narrator import Narrator as Narrator
from glotmix.study.training import Study as Study
