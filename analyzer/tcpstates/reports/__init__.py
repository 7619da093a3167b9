"""The log of transitions in, tables out: numpy columns first, pandas only where a DataFrame is asked for."""
