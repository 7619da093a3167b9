"""From captured bytes to segments: files, frames, and what the frames hold."""
