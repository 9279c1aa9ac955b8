"""The routes of the school lookup, by subject, and the bodies that they take and return."""
