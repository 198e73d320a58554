"""The shell of a study of any kind: its directory, its price, its status, its mirror, and what trains proxies."""
