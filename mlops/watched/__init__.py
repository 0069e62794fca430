"""What a live release has met since it was trained: rows in order of time, with its answers and the labels there are.

Two places tell: the decision log of a service, and the newest rows of the source that the model learns from. Each
row is read as the release reads it, through its own feature versions; only the rows of the windows are answered.
"""
