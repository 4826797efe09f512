"""Files on disk: how they are found, read and written. Every other sub-package may import this one.

Which files a session has is in ``sessions.files``.

In reading order:

* ``paths``: paths as users type them, and questions about them that never raise.
* ``formats``: the file endings of videos and images, and the natural order of a folder.
* ``csv_text``: CSV text that spreadsheets and other programs wrote, with one-line errors.
* ``atomic``: files that are complete or absent, and CSV files that ``--resume`` continues.
* ``atomic_images``: images that are complete or absent.
* ``append``: a CSV file that grows during a run.
* ``locks``: locks on open files.
* ``replacing``: replaces a file that a reader may have open.
* ``names``: names that Windows cannot give to a file.
"""
