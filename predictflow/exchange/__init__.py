"""Models handed to other tools, each under a name that pins its content."""
