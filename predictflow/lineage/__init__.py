"""What is known of models and data, joined by content: the answers of the commands that ask."""
