"""Send one keypoint of every pose over a serial line, for the sketch arduino/cropzoom_poses.

    python examples/poses_to_serial.py /dev/ttyACM0 --keypoint snout

Each line is: frame, x, y, likelihood, age in ms. If the animal is not found, or the pose is not plausible, x, y and
likelihood are nan.
"""

import argparse
import math

import serial  # pip install pyserial

from realtime_cropzoom import Subscriber


def main() -> None:
    """Send until the run ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", help="/dev/ttyACM0 on Linux, COM3 on Windows")
    parser.add_argument("--keypoint", default="snout")
    parser.add_argument("--endpoint", default="tcp://127.0.0.1:5660")
    arguments = parser.parse_args()
    with serial.Serial(arguments.port, 115200, write_timeout=0.5) as board, Subscriber(arguments.endpoint) as poses:
        for message in poses:
            found = message.state == "tracking" and message.plausible  # a pose that jumps or has no shape must not fire
            values = message.keypoints[arguments.keypoint] if found else (None, None, None)
            x, y, likelihood = (math.nan if value is None else value for value in values)
            line = f"{message.frame} {x:.1f} {y:.1f} {likelihood:.2f} {poses.age_ms(message):.1f}\n"
            board.write(line.encode())


if __name__ == "__main__":
    main()
