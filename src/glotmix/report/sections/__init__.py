"""The page's sections, each from evidence to HTML; empty where there is nothing to say."""
