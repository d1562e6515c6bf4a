"""Who is told about events, and how."""
