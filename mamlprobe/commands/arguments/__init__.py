"""The words behind ``mamlprobe``: which options a command has, and what is wrong with the ones given."""
