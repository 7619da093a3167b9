"""The slow path's headers, a reader for each; numbers in one header choose the next reader."""
