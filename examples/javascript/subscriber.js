// Receives poses in JavaScript, with Node.js and zeromq.
//
//   npm install
//   node subscriber.js tcp://127.0.0.1:5660 snout
//
// It prints a line for each plausible pose of an animal that is found: frame, x, y, likelihood. It ends with the run.
// Write what to switch, and on which pose, into act().
import { Subscriber } from "zeromq";

const [endpoint = "tcp://127.0.0.1:5660", name = "snout"] = process.argv.slice(2);

function act(pose) {
  if (!(name in pose.keypoints)) throw new Error(`the pose has no keypoint ${name}`);
  const [x, y, likelihood] = pose.keypoints[name];
  if (pose.state !== "tracking" || !pose.plausible) return; // do nothing, or switch off; pose.doubt gives the reason
  if (x === null || ageMs(pose) > 1000) return;
  const likely = likelihood === null ? "NaN" : likelihood.toFixed(3); // a regression model gives none
  console.log(`${pose.frame} ${x.toFixed(3)} ${y.toFixed(3)} ${likely}`);
}

// All times are ns of the monotonic clock. The age is right on the machine that tracks.
function ageMs(pose) {
  return Number(process.hrtime.bigint()) / 1e6 - pose.time.captured_ns / 1e6;
}

const socket = new Subscriber();
socket.connect(endpoint);
socket.subscribe("pose/", "end/");

let expected = null;
let missed = 0;
for await (const [topic, payload] of socket) {
  const message = JSON.parse(payload.toString());
  if (topic.toString().startsWith("end/")) {
    console.error(`the run ended: ${message.reason}; ${missed} poses missed`);
    break;
  }
  if (expected !== null && message.seq > expected) missed += message.seq - expected;
  expected = message.seq + 1;
  act(message);
}
socket.close();
