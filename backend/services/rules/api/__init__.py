"""The routes of rule releases, by audience: author, approver, and all who may read them."""
