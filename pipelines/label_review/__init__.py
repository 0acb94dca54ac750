"""Label errors: predictions of held-out images, and scores by them."""
