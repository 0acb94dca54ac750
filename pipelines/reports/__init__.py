"""Images for people: sheets of batches, overlays."""
