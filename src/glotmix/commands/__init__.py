"""The sub-commands, a file each; what stands behind them is in the rooms below."""
