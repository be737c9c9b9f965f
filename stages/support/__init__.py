"""What every stage needs: params, files, hashes, errors, the environment."""
