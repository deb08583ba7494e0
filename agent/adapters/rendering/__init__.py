"""Rendering: text into what a page or a terminal shows, by libraries that are imported at their first use.

`qr` makes QR codes, `markdown` trees of a few elements.
"""
