"""What each task does, a file for each step: how it calls the step, and the ingredients of its key.

Which task needs which is the pipeline's matter; here, needed records are looked up by their tasks' names.
"""
