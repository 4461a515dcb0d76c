"""Floor 0: what every other module uses: errors, settings, files, seeds, shapes."""
