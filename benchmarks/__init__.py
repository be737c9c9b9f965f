"""What the pipeline costs, and what its models reach. benchmarks/README.md tells how it is measured."""
