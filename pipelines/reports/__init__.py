"""Reports: pages, plots and sheets of images."""
