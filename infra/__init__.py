"""The platform that the pipeline stands on: the store, and later server and worker, of one workspace."""
