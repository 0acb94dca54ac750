"""Pictures for people: sheets of batches, overlays."""
