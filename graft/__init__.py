"""graft: reuse a labelled data set from one domain to get a better model in another."""

__version__ = "0.1.0"
