"""Images from files that others made: folders and zips of classes, read in memory."""
