"""The four stages, and what decides their bytes. Nothing here imports `predictflow`."""
