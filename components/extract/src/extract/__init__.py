"""Reads a source, splits its rows, and writes sharded Parquet with a manifest."""
