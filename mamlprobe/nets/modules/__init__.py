"""A user's module as a net: inspected once, then run task by task on copies of it."""
