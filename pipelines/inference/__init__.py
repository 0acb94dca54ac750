"""From networks to predictions in image coordinates, and their files."""
