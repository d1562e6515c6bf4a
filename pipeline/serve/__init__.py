"""What is left running: several cameras, a page to watch them, and a memory of what was seen."""
