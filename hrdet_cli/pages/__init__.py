"""Pages of HTML: one file each, for any browser, without a network.

How to write one:

1. Draw: a picture is a file or Pillow's; a plot is an `Svg`, of `draw_lines` (`line_plot.py` in
   `engine/visualisation`) or of any figure of matplotlib in the palette's colours (`render_svg` in `svg.py`).
2. Fill blocks (`pages/blocks.py`) with plain texts: `Highlights`, `Facts`, `Table`, `Plot`, `Picture`,
   `Text`, `Items`, `Listing`, `Grid`, `Details`. Nothing is HTML or needs escaping; numbers are texts.
3. Put them into `Section`s, and these into a `Page`. Contents and links come by themselves.
4. Write it: ``write_text(path, render_page(page))``, of `runs/output_files.py` and `pages/rendering.py`.
5. Test what the `Page` says without a browser, and how it looks with the fixture `look_at_page`
   (`tests/conftest.py`), in a real one.
"""
