// Types of what `cropzoom view` sends, for editors that check JSDoc. `view/protocol.py` is their source.

/** @typedef {"searching"|"tracking"|"coasting"|"lost"} PoseState */
/** @typedef {"live"|"stalled"|"reconnecting"|"ended"|"silent"} StreamState */
/** @typedef {[number, number, number|null]} Keypoint  x, y (frame pixels), likelihood */

/**
 * One pose, read from a row of a `poses` or `history` message.
 * @typedef {object} Pose
 * @property {number} frame            capture index
 * @property {number} timeMs           Unix time of its capture
 * @property {PoseState} state
 * @property {[number, number, number, number]|null} box  x, y, width, height (frame pixels)
 * @property {number|null} boxAgeMs
 * @property {(Keypoint|null)[]} points
 * @property {number|null} latencyMs   captured → received by the server
 * @property {boolean|null} plausible
 * @property {number} subject          place of the animal, from 0
 * @property {boolean} uncertain       whether it may have been taken for another animal
 * @property {number} meetings         how often that was so
 */

/** One of several animals. @typedef {{name: string, outline: [number, number][]}} SubjectMessage  corners of its region; empty without one */

/**
 * @typedef {object} CameraMessage
 * @property {string} camera
 * @property {string} endpoint
 * @property {string} name            name of the camera in its run; `camera` is unique in this page
 * @property {"connected"|"waiting"|"refused"} link
 * @property {string} run
 * @property {string} source
 * @property {string[]} keypoint_names
 * @property {[string, string][]} skeleton
 * @property {number} width
 * @property {number} height
 * @property {number|null} fps
 * @property {string} version
 * @property {string|null} control    name of the run's socket for orders; null if it takes none from here
 * @property {boolean} preview        whether the run can send pictures
 * @property {SubjectMessage[]} [subjects]  the animals, if there are several
 */

/**
 * @typedef {object} StatusMessage
 * @property {string} camera
 * @property {StreamState} stream
 * @property {PoseState} state
 * @property {Record<string, number>} counts
 * @property {number} fps
 * @property {number} detector_fps
 * @property {number} backlog
 * @property {Record<string, number>} losses
 * @property {string|null} recording
 * @property {number|null} recording_since_unix_ms
 * @property {number} recording_frames
 * @property {number|null} disk_free_bytes
 * @property {number|null} disk_hours
 * @property {boolean} publishing
 * @property {number} age_s
 */

/** @typedef {{camera: string, edges_ms: number[], counts: number[], p50: number|null, p99: number|null}} LatencyMessage */
/** @typedef {{camera: string, grid_w: number, grid_h: number, counts: number[]}} MapMessage */

/** @typedef {{endpoint: string, link: "connected"|"waiting"|"refused", problem: string|null}} EndpointMessage */

/**
 * @typedef {object} EventMessage
 * @property {string|null} camera
 * @property {string|null} trigger
 * @property {number} t_unix_ms
 * @property {number} number
 * @property {string} what    marker, recording_started, fired, refused, order, run_ended, missed …
 * @property {string} text
 * @property {number|null} frame
 * @property {string|null} by
 */

/** @typedef {{name: string, zones: string[], outputs: string[], armed: boolean, holding: boolean}} RuleState */
/** @typedef {{kind: string, level?: number|boolean|string|null, error?: string|null}} OutputState */
/** @typedef {Record<string, number[]|number[][]>} ZoneSpec  as in the rules file: {circle_px: [x, y, radius]} */

/**
 * @typedef {object} TriggerMessage
 * @property {string} name            name of its socket for orders
 * @property {"connected"|"gone"} link
 * @property {string} rules_file
 * @property {string|null} camera      the one camera it listens to; null: any
 * @property {string[]} armed          names of the armed rules
 * @property {RuleState[]} rules
 * @property {Record<string, ZoneSpec>} zones
 * @property {Record<string, OutputState>} outputs
 * @property {boolean} dry_run
 */

/** @typedef {{value: number|number[], least: number, most: number, unit: string|null}} Settable */
/** @typedef {{ok: boolean, error?: string|null, state?: any}} Answer */
/** @typedef {{version: string, orders: boolean, now_unix_ms: number, endpoints: string[]}} WelcomeMessage */

export {};
