"""One file a command: its options, its answer, its drawing. Nobody imports a command."""
