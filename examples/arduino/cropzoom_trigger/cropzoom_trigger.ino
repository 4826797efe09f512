/*
  The trigger board of realtime-cropzoom, for Arduino and Teensy.

  Open this file in the Arduino IDE, set PINS, choose board and port, upload. Channel 1 is the
  first pin. docs/reference/outputs.md explains the protocol.

  Every channel is at its safe level at power-up, after a reset, when the computer asks for it, and
  when no line came for the time of the watchdog. Until the computer has set the watchdog, nothing
  can be switched on.
*/

const uint8_t PINS[] = {8, 9, 10, 11};
const bool ON_IS_HIGH = true;  // false for a device that is switched on by a low level

const uint8_t CHANNELS = sizeof(PINS);
const uint8_t MAX_LINE = 48;
const uint32_t MAX_US = 2000000000UL;

bool held[CHANNELS];
bool pulsing[CHANNELS];
uint32_t pulseBegan[CHANNELS];  // micros()
uint32_t pulseLasts[CHANNELS];  // us

char line[MAX_LINE];
uint8_t lineLength = 0;
bool lineTooLong = false;

bool watching = false;
uint32_t watchdogMs = 0;
uint32_t lastLineMs = 0;

// HIGH and LOW are written out, because they are not numbers on every board.
void show(uint8_t c) {
  bool on = held[c] || pulsing[c];
  if (on == ON_IS_HIGH) digitalWrite(PINS[c], HIGH);
  else digitalWrite(PINS[c], LOW);
}

void makeSafe(uint8_t c) {
  held[c] = pulsing[c] = false;
  show(c);
}

void makeAllSafe() {
  for (uint8_t c = 0; c < CHANNELS; c++) makeSafe(c);
}

void setup() {
  for (uint8_t c = 0; c < CHANNELS; c++) {
    makeSafe(c);  // before the pin becomes an output, so that it never glitches
    pinMode(PINS[c], OUTPUT);
    makeSafe(c);
  }
  Serial.begin(115200);
}

void endPulses() {
  for (uint8_t c = 0; c < CHANNELS; c++) {
    if (pulsing[c] && (uint32_t)(micros() - pulseBegan[c]) >= pulseLasts[c]) {
      pulsing[c] = false;
      show(c);
    }
  }
}

void watch() {
  if (watching && (uint32_t)(millis() - lastLineMs) > watchdogMs) {
    makeAllSafe();
    watching = false;  // nothing is switched on until the computer sets it again
    Serial.print("X watchdog\n");
  }
}

// A second pulse during the first one makes it last until the later of both ends.
void beginPulse(uint8_t c, uint32_t us) {
  uint32_t now = micros();
  uint32_t gone = now - pulseBegan[c];
  bool runs = pulsing[c] && gone < pulseLasts[c];  // a pulse may be over before endPulses() has ended it
  if (!runs || pulseLasts[c] - gone < us) {
    pulseBegan[c] = now;
    pulseLasts[c] = us;
  }
  pulsing[c] = true;
  show(c);
}

// Only a valid line counts as a sign of life: noise must not keep a laser on.
void acknowledge(uint32_t id, uint32_t us) {
  lastLineMs = millis();
  Serial.print("A ");
  Serial.print(id);
  Serial.print(' ');
  Serial.print(us);
  Serial.print('\n');
}

void refuse(uint32_t id, const char *why) {
  Serial.print("E ");
  Serial.print(id);
  Serial.print(' ');
  Serial.print(why);
  Serial.print('\n');
}

void identify() {
  Serial.print("I cropzoom_trigger 1 ");
  Serial.print((uint32_t)CHANNELS);
  Serial.print('\n');
}

// Reads up to three numbers, each after one space. Returns their count, or -1 if the line does not follow the protocol.
int8_t readNumbers(uint32_t numbers[3]) {
  int8_t count = 0;
  uint8_t at = 1;
  while (at < lineLength) {
    if (line[at++] != ' ' || count == 3) return -1;
    uint8_t digits = 0;
    numbers[count] = 0;
    while (at < lineLength && line[at] >= '0' && line[at] <= '9') {
      if (++digits > 10 || numbers[count] > 429496728UL) return -1;
      numbers[count] = numbers[count] * 10 + (line[at++] - '0');
    }
    if (digits == 0) return -1;
    count++;
  }
  return count;
}

void switchChannel(char what, uint32_t id, uint8_t c, uint32_t us) {
  if ((what == 'P' || what == 'N') && !watching) return refuse(id, "no watchdog");
  if (what == 'P') beginPulse(c, us);
  if (what == 'N') held[c] = true;
  if (what == 'F') held[c] = false;
  if (what == 'S') makeSafe(c);
  show(c);
  acknowledge(id, micros());
}

void obey() {
  uint32_t n[3];
  int8_t count = readNumbers(n);
  char what = lineLength ? line[0] : ' ';
  if (what == '?' && count == 0) return identify();
  if (what == 'H' && count == 1) return watching ? acknowledge(n[0], micros()) : refuse(n[0], "no watchdog");
  if (what == 'W' && count == 2) {
    watchdogMs = n[1];
    watching = n[1] > 0;
    if (!watching) makeAllSafe();
    return acknowledge(n[0], micros());
  }
  bool known = (what == 'P' && count == 3 && n[2] > 0 && n[2] <= MAX_US) ||
               ((what == 'N' || what == 'F' || what == 'S') && count == 2);
  if (!known) return refuse(count > 0 ? n[0] : 0, "what");
  if (n[1] < 1 || n[1] > CHANNELS) return refuse(n[0], "channel");
  switchChannel(what, n[0], n[1] - 1, what == 'P' ? n[2] : 0);
}

void hear() {
  while (Serial.available() > 0) {
    char c = Serial.read();
    if (c == '\n') {
      if (lineTooLong) refuse(0, "long"); else obey();
      lineLength = 0;
      lineTooLong = false;
    } else if (lineLength < MAX_LINE) {
      line[lineLength++] = c;
    } else {
      lineTooLong = true;
    }
    endPulses();
  }
}

void loop() {
  endPulses();
  hear();
  watch();
}
