"""A study of settings: what it tries, how it scores them, its journal, and what comes of it."""
