"""A past model made again from its commit, and the verdict on it."""
