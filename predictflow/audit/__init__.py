"""What does not agree, what mends it, and what the gate says."""
