"""From files to batches ready for a device, and from predictions back to files and pages."""
