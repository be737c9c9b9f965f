"""Is everything that the pipeline stands on as it should be? One line a check, with its cure."""
