"""The program metabert: `metabert --help`, or `python -m metabert --help`."""
