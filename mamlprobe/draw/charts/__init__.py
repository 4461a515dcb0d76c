"""One kind of chart a file: curves, bars, heat maps, points."""
