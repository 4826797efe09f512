"""The page of ``cropzoom view``: shows runs and trigger processes in a browser, and passes orders on.

It is a process of its own and a subscriber like any other, so that it cannot disturb the tracking. The page itself is
in ``static/``: HTML, CSS and JavaScript modules, without a build step.

* ``programs``: which runs and trigger processes there are
* ``hub``, ``endpoint``, ``camera_view``, ``trigger_feed``, ``previews``: what they send → what a page has to know;
  ``follower``: the base of their threads
* ``page_queue``, ``protocol``: what goes to a page
* ``orders``: what a page may order; ``metrics``: the same in numbers, for Prometheus
* ``app``, ``guard``, ``serve``, ``token_file``, ``browser``: the web server, and who may use it
* ``live``, ``beside``: what the commands run
* ``review``: the routes of a finished session; ``review_events``: what happened in it;
  ``review_pictures``: the picture of each frame
* ``rerun_file``: a session for the Rerun viewer
"""
