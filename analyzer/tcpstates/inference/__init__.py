"""SEGMENTS in, the log of state transitions out: flows, the engine and its compiled step."""
