// Nothing of it is read: see README.md.
