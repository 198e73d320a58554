"""Frames drawn as SVG: small, themed by the page's CSS variables, readable without scripts."""
