"""A user's module as a net: looked at once, then passed task by task on copies of it."""
