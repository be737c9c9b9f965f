"""The receipts: their format, their chain, who writes them, and what origin has."""
