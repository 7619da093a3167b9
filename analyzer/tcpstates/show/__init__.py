"""Tables and summaries in, what people look at out: terminal, notebook, files, explanations."""
