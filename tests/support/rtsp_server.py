"""An RTSP server of GStreamer's, for the system's Python: ``python3 rtsp_server.py PORT VIDEO.mp4``."""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer(service=sys.argv[1], address="127.0.0.1")
factory = GstRtspServer.RTSPMediaFactory()
video = json.dumps(sys.argv[2], ensure_ascii=False)  # quoted, as a folder may have a space in its name
factory.set_launch(f"( filesrc location={video} ! qtdemux ! h264parse config-interval=1 ! rtph264pay name=pay0 )")
factory.set_shared(True)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
GLib.MainLoop().run()
