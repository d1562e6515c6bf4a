"""The page and the API of `onsight serve`."""
