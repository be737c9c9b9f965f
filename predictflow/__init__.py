"""The commands: what only reads, compares or publishes. May import `stages`, never the other way round."""
