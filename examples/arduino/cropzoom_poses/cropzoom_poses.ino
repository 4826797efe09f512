// Receives poses over USB serial on an Arduino or Teensy, and switches a pin with them.
//
// On the computer:  python examples/poses_to_serial.py /dev/ttyACM0 --keypoint snout
//
// Each line is a pose: frame, x, y, likelihood and age in ms, such as "1203 312.4 201.9 0.98 3.1". While the animal is
// not found, x, y and likelihood are "nan". If no line comes for SILENCE_MS, the pin goes low.
//
// To switch by rules, with an acknowledgement of every pulse, use the sketch cropzoom_trigger instead.

const int PIN = LED_BUILTIN;
const unsigned long SILENCE_MS = 200;
const float MIN_LIKELIHOOD = 0.6;
const float MAX_AGE_MS = 30;

char line[80];
unsigned int length = 0;
unsigned long heard_ms = 0;

// Decides for which poses the pin is high. Comparisons with nan are false.
bool wanted(long frame, float x, float y, float likelihood, float age_ms) {
  (void)frame;
  (void)y;
  return likelihood >= MIN_LIKELIHOOD && age_ms <= MAX_AGE_MS && x > 320;
}

void take(char *text) {
  char *end = text;
  long frame = strtol(text, &end, 10);
  if (end == text) return;  // not a pose
  float values[4];
  for (int i = 0; i < 4; i++) {
    char *start = end;
    values[i] = strtod(start, &end);
    if (end == start) return;  // an incomplete line
  }
  heard_ms = millis();
  digitalWrite(PIN, wanted(frame, values[0], values[1], values[2], values[3]) ? HIGH : LOW);
}

void setup() {
  pinMode(PIN, OUTPUT);
  digitalWrite(PIN, LOW);
  Serial.begin(115200);
}

void loop() {
  while (Serial.available() > 0) {
    char c = (char)Serial.read();
    if (c == '\n') {
      line[length] = '\0';
      take(line);
      length = 0;
    } else if (length < sizeof(line) - 1) {
      line[length++] = c;
    }
  }
  if (millis() - heard_ms > SILENCE_MS) digitalWrite(PIN, LOW);
}
