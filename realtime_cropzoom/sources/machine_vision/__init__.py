"""Industrial cameras: GenICam cameras through Aravis or their vendor's producer, and Basler cameras through pypylon.

In reading order:

* ``spec``: parses the name of a camera.
* ``camera_setup``, ``feature_nodes``: the steps in which a camera gets its settings, and these steps over nodes.
* ``genicam``: GigE Vision and USB3 Vision cameras of any vendor.
* ``aravis``, ``aravis_camera``: Aravis' C interface, and one camera through it.
* ``basler``: Basler cameras.
* ``gentl``, ``gentl_nodes``: cameras through the GenTL producer of their vendor, and its nodes.
* ``pixel_formats``: converts mono, Bayer and RGB formats to 8-bit RGB.
* ``read_timeout``: decides when a silent camera is treated as lost.
* ``frame_loss``: finds lost frames from frame ids and device time stamps.
"""
