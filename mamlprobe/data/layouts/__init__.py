"""Data sets as other projects keep them: what tells each layout, and its reader."""
