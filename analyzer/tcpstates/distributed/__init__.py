"""Captures beyond one machine: map files to segments, share these out by connection, infer each share.

    plan        which files are read together, and what becomes of a unit once it has been read
    mapping     a unit of files -> its segments, in Parquet, by bucket of connections
    rows        these segments, each with its place
    fragments   what only several units together can tell
    skew        how far the captures' clocks are apart
    shares      one bucket of all units, or a slice of it, as one stream in the capture's order
    reducing    such a stream -> what the engine says of its connections
    driver      the order of it all; the log that every table is made of
    cluster     dask's workers and their scheduler, and how they fail
    work        what it took, in words

No second engine: a worker feeds the one there is. Since a connection's inference depends only on its own
segments and the capture's bounds, the tables are those of one process, row for row.
"""
